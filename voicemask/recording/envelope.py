"""The envelope: the file ``key`` of a recording, with its own key, wrapped.

It is the only part of a recording outside its encryption: id, start and key id, so that recordings
can be found and aged without a private key. The same id and start are sealed in beside the key, so
that an envelope cannot be moved to another recording or given another date unnoticed. It is a file
of its own because it alone has to be overwritten to erase a recording, and replaced to rewrap it.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from voicemask.errors import RecordingError
from voicemask.recording.keys import ID_BYTES, KEY_BYTES, KeyRing

MAGIC: Final = b"VMKEY\x00\x00\x01"
"""Seven letters and the version of the format."""
_SECRET: Final = struct.Struct(f"<{KEY_BYTES}s16sQ")
_SEAL_BYTES: Final = 48
"""What a sealed box adds: an X25519 public key and a Poly1305 tag."""
_LAYOUT: Final = struct.Struct(f"<8s16sQ{ID_BYTES}s{_SECRET.size + _SEAL_BYTES}s")
ENVELOPE_BYTES: Final = _LAYOUT.size
_YEAR_9999_MS: Final = 253_370_764_800_000


@dataclass(frozen=True, slots=True)
class Envelope:
    """What the file ``key`` holds.

    Parameters
    ----------
    recording_id : of the recording.
    started_ms : Unix time of its first sample, in milliseconds.
    key_id : of the pair that wraps its key.
    sealed : key, id and start, sealed.
    """

    recording_id: UUID
    started_ms: int
    key_id: str
    sealed: bytes = field(repr=False)

    @property
    def started_at(self) -> float:
        """Unix time of the first sample, in seconds."""
        return self.started_ms / 1000

    @classmethod
    def wrap(cls, recording_id: UUID, started_ms: int, key: bytes, ring: KeyRing) -> Envelope:
        """Wrap a recording's key with the current key of a ring."""
        secret = _SECRET.pack(key, recording_id.bytes, started_ms)
        return cls(recording_id, started_ms, ring.current, ring.seal(secret))

    def unwrap(self, ring: KeyRing) -> bytes:
        """Give the recording's key.

        Raises
        ------
        RecordingError
            The ring cannot open it, or it was sealed for another recording or start.
        """
        secret = ring.open(self.key_id, self.sealed)
        if len(secret) != _SECRET.size:
            raise self._foreign()
        key, recording_id, started_ms = _SECRET.unpack(secret)
        if recording_id != self.recording_id.bytes or started_ms != self.started_ms:
            raise self._foreign()
        return bytes(key)

    def _foreign(self) -> RecordingError:
        return RecordingError(
            f"recording {self.recording_id}", "its key file was changed", "use a backup"
        )

    def rewrapped(self, ring: KeyRing) -> Envelope:
        """Give the envelope wrapped with the current key of a ring.

        Raises
        ------
        RecordingError
            As `unwrap` does.
        """
        return Envelope.wrap(self.recording_id, self.started_ms, self.unwrap(ring), ring)

    def serialize(self) -> bytes:
        """Give the bytes of the file."""
        key_id = bytes.fromhex(self.key_id)
        head = (MAGIC, self.recording_id.bytes, self.started_ms)
        return _LAYOUT.pack(*head, key_id, self.sealed)


def parse_envelope(data: bytes, subject: str) -> Envelope:
    """Read the bytes of a file ``key``.

    Raises
    ------
    RecordingError
        It is cut, erased, of another version, or something else altogether.
    """
    if len(data) != ENVELOPE_BYTES or not data.startswith(MAGIC[:-1]):
        raise RecordingError(subject, "its key file is cut or erased", "use a backup, or delete it")
    magic, recording_id, started_ms, key_id, sealed = _LAYOUT.unpack(data)
    if started_ms >= _YEAR_9999_MS:
        raise RecordingError(subject, "its key file was changed", "use a backup")
    if magic != MAGIC:
        raise RecordingError(
            subject, f"has format {magic[-1]}, known is {MAGIC[-1]}", "use a later voicemask"
        )
    return Envelope(UUID(bytes=recording_id), started_ms, key_id.hex(), sealed)
