"""Files of encrypted frames: appended to, and read up to the last whole frame.

Each file is one libsodium secretstream (XChaCha20-Poly1305): frames cannot be changed, reordered,
left out or moved to another file or recording without failing their check, since recording id and
number of the file are authenticated with every frame. The last frame of a file that was closed says
so; a file without it ended early, by a crash or because somebody cut it, and says that.

A frame's bytes are kept until the kernel has all of them. When it takes only some, the file goes
back to its last whole frame and the next try continues the same stream.

References
----------
libsodium, "Encrypted streams and file encryption"; D. Arciszewski, draft-irtf-cfrg-xchacha-03.
"""

from __future__ import annotations

import contextlib
import errno
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final
from uuid import UUID

from nacl import bindings as sodium
from nacl.exceptions import CryptoError

from voicemask.errors import RecordingError
from voicemask.recording import layout

_push = sodium.crypto_secretstream_xchacha20poly1305_push
_pull = sodium.crypto_secretstream_xchacha20poly1305_pull
_TAG_MESSAGE: Final = sodium.crypto_secretstream_xchacha20poly1305_TAG_MESSAGE
_TAG_FINAL: Final = sodium.crypto_secretstream_xchacha20poly1305_TAG_FINAL
SEAL_BYTES: Final = sodium.crypto_secretstream_xchacha20poly1305_ABYTES
NONCE_BYTES: Final = sodium.crypto_secretstream_xchacha20poly1305_HEADERBYTES

MAGIC: Final = b"VMSEG\x00\x00\x01"
NOTES: Final = 0xFFFFFFFF
"""Number of the file of notes; audio files count from 0."""
MAX_FRAME_BYTES: Final = 1 << 17
_HEAD: Final = struct.Struct("<8s16sI")
HEAD_BYTES: Final = _HEAD.size + NONCE_BYTES
_LENGTH: Final = struct.Struct("<II")
_INVERT: Final = 0xFFFFFFFF
_MAC_BYTES: Final = 16
_NO_ROOM: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def _bound(recording_id: UUID, number: int) -> bytes:
    """What is authenticated with every frame: the file's head."""
    return _HEAD.pack(MAGIC, recording_id.bytes, number)


class FrameWriter:
    """Appends frames to a new file.

    Parameters
    ----------
    path : file to make; mode 0600.
    key : of the recording.
    recording_id, number : what the file is bound to.
    holds_lock : show others, by a lock on the file, that it is being written.

    Attributes
    ----------
    is_ended : its last frame was appended.
    """

    def __init__(
        self, path: Path, key: bytes, recording_id: UUID, number: int, *, holds_lock: bool = False
    ) -> None:
        self.path = path
        self.is_ended = False
        self._needs_lock = holds_lock
        self._bound = _bound(recording_id, number)
        self._state = sodium.crypto_secretstream_xchacha20poly1305_state()
        self._pending = self._bound + sodium.crypto_secretstream_xchacha20poly1305_init_push(
            self._state, key
        )
        self._n_whole = 0
        self._descriptor: int | None = None
        self._is_made = False
        self._is_locked = False

    @property
    def n_bytes(self) -> int:
        """Bytes of the file, whole frames only."""
        return self._n_whole

    def append(self, data: bytes, *, is_final: bool = False) -> None:
        """Encrypt a frame and hand it to the kernel.

        Raises
        ------
        RecordingError
            It was not taken. The frame is kept for `retry`, the file ends with the last whole one.
        """
        sealed = _push(self._state, data, self._bound, _TAG_FINAL if is_final else _TAG_MESSAGE)
        length = _LENGTH.pack(len(sealed), len(sealed) ^ _INVERT)
        self._pending += length + sealed
        self.is_ended = is_final
        self.retry()

    def retry(self) -> None:
        """Hand over what the kernel did not take yet.

        Raises
        ------
        RecordingError
            It still does not.
        """
        if not self._pending and self._is_made:
            return
        try:
            descriptor = self._open()
            n_written = 0
            while n_written < len(self._pending):
                rest = self._pending[n_written:]
                n_written += os.pwrite(descriptor, rest, self._n_whole + n_written)
        except OSError as error:
            self._back_to_whole(error)
            raise disk_error(self.path, error) from error
        self._n_whole += n_written
        self._pending = b""

    def _open(self) -> int:
        if self._descriptor is not None:
            return self._descriptor
        flags = os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW
        if not self._is_made:
            flags |= os.O_CREAT | os.O_EXCL
        descriptor = os.open(self.path, flags, 0o600)
        if os.fstat(descriptor).st_size < self._n_whole:
            os.close(descriptor)
            raise OSError(errno.EIO, "it is shorter than what was written")
        self._is_made = True
        self._descriptor = descriptor
        self._is_locked = not self._needs_lock or layout.lock(descriptor)
        return descriptor

    def _back_to_whole(self, error: OSError) -> None:
        if self._descriptor is None:
            return
        with contextlib.suppress(OSError):
            os.ftruncate(self._descriptor, self._n_whole)
        if error.errno not in _NO_ROOM:
            # the disk may have gone and come back: the next try opens the file by its name
            self._drop()

    def _drop(self) -> None:
        if self._descriptor is not None:
            with contextlib.suppress(OSError):
                os.close(self._descriptor)
            self._descriptor = None

    def sync(self) -> None:
        """Make what was appended outlive a power failure; this may take long.

        Raises
        ------
        RecordingError
            The disk failed; what became of the latest frames is not known.
        """
        if self._descriptor is None:
            return
        # whoever looked whether it is live may have held the lock for that moment
        self._is_locked = self._is_locked or layout.lock(self._descriptor)
        try:
            os.fdatasync(self._descriptor)
        except OSError as error:
            self._drop()
            raise disk_error(self.path, error) from error

    def close(self) -> None:
        """Close the file as it is."""
        self._drop()
        self._pending = b""


class FrameReader:
    """Reads the frames of a file.

    Parameters
    ----------
    path : file.
    key : of the recording.
    recording_id, number : what it has to be bound to.

    Attributes
    ----------
    is_final : after iteration, whether the file was closed by its writer; False is a file that
        ended early, or is still written to.
    """

    def __init__(self, path: Path, key: bytes, recording_id: UUID, number: int) -> None:
        self._path = path
        self._key = key
        self._bound = _bound(recording_id, number)
        self._subject = f"recording {recording_id}, file {path.name}"
        self.is_final = False

    def __iter__(self) -> Iterator[bytes]:
        """Give the content of each whole frame, in order.

        Raises
        ------
        RecordingError
            A frame was changed, reordered, left out or put in; or the file cannot be read.
        """
        try:
            with self._path.open("rb") as file:
                yield from self._frames(file)
        except OSError as error:
            reason = (error.strerror or "it failed").lower()
            raise RecordingError(self._subject, f"cannot be read: {reason}") from error

    def _frames(self, file: BinaryIO) -> Iterator[bytes]:
        head = file.read(HEAD_BYTES)
        if len(head) < HEAD_BYTES or _was_never_written(head[_HEAD.size :], file):
            return
        if not head.startswith(self._bound):
            raise self._damaged("does not belong here")
        state = sodium.crypto_secretstream_xchacha20poly1305_state()
        nonce = head[_HEAD.size :]
        sodium.crypto_secretstream_xchacha20poly1305_init_pull(state, nonce, self._key)
        while (sealed := self._next(file)) is not None:
            try:
                data, tag = _pull(state, sealed, self._bound)
            except CryptoError:
                if _was_never_written(sealed[-_MAC_BYTES:], file):
                    return
                raise self._damaged("was changed") from None
            if tag == _TAG_FINAL:
                if file.read(1):
                    raise self._damaged("goes on behind its end")
                self.is_final = True
            yield data
            if self.is_final:
                return

    def _next(self, file: BinaryIO) -> bytes | None:
        """Give the next sealed frame; None where the file ends before it does."""
        prefix = file.read(_LENGTH.size)
        # the last byte is 255, frames being as short as they are
        if len(prefix) < _LENGTH.size or _was_never_written(prefix[-1:], file):
            return None
        length, inverted = _LENGTH.unpack(prefix)
        if length != inverted ^ _INVERT or not SEAL_BYTES <= length <= MAX_FRAME_BYTES:
            raise self._damaged("was changed")
        sealed = file.read(length)
        return sealed if len(sealed) == length else None

    def _damaged(self, what: str) -> RecordingError:
        return RecordingError(self._subject, what, "use a backup, or export what lies before it")


def _was_never_written(tail: bytes, file: BinaryIO) -> bool:
    """Tell whether zeros go on to the end: what a power failure leaves of blocks not yet written.

    `tail` is something just read that is not all zeros where it was written.
    """
    if any(tail):
        return False
    place = file.tell()
    while block := file.read(1 << 16):
        if any(block):
            file.seek(place)
            return False
    return True


def has_tail(path: Path) -> bool:
    """Tell whether the end of a file was written, not left as zeros by a power failure.

    Raises
    ------
    OSError
        It cannot be read.
    """
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _MAC_BYTES))
        return any(file.read())


def disk_error(path: Path, error: OSError) -> RecordingError:
    """Say why a recording cannot be written."""
    reason = (error.strerror or "it failed").lower()
    cure = "free space there" if error.errno in _NO_ROOM else "see to that disk and its rights"
    return RecordingError(str(path), f"cannot be written: {reason}", cure)
