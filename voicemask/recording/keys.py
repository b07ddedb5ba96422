"""The key file: pairs of keys that wrap the keys of recordings.

A recording has one random key. It is sealed to the public key that is current when the recording
begins (libsodium's sealed box: X25519, XSalsa20-Poly1305), so writing needs public keys only and a
machine that records need not be able to listen. A key's id is a hash of its public part; nothing
can go by a wrong id. Keys that are no longer current stay in the file to open what they wrapped.

A file with private keys that others may read is refused, and so is any that others may write.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import stat
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from hashlib import blake2b
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from nacl.bindings import (
    crypto_box_keypair,
    crypto_box_seal,
    crypto_box_seal_open,
    crypto_scalarmult_base,
)
from nacl.exceptions import CryptoError

from voicemask.errors import RecordingError

KEY_BYTES: Final = 32
ID_BYTES: Final = 8
_OTHERS_READ: Final = stat.S_IRWXG | stat.S_IRWXO
_OTHERS_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH
_HEAD: Final = """\
# Keys of voicemask recordings. Whoever has a private key can listen to what it wraps; without it
# nobody can. Keep a copy in a safe place, and keep this file away from the recordings.
version = 1
"""


@dataclass(frozen=True, slots=True)
class KeyPair:
    """One pair; `private` is None in a file that can only write."""

    public: bytes
    private: bytes | None = field(repr=False)
    created: str = ""

    @property
    def id(self) -> str:
        """Hash of the public key, 16 hexadecimal places."""
        return blake2b(self.public, digest_size=ID_BYTES).hexdigest()

    @classmethod
    def new(cls) -> KeyPair:
        """Make a random pair."""
        public, private = crypto_box_keypair()
        return cls(public, private, datetime.now(UTC).isoformat(timespec="seconds"))


@dataclass(frozen=True, slots=True)
class KeyRing:
    """The pairs of a key file, by id, and which of them wraps new recordings."""

    current: str
    pairs: Mapping[str, KeyPair]

    @classmethod
    def new(cls) -> KeyRing:
        """Make a ring of one random pair."""
        pair = KeyPair.new()
        return cls(pair.id, MappingProxyType({pair.id: pair}))

    def rotated(self) -> KeyRing:
        """Give the ring with a new current pair."""
        pair = KeyPair.new()
        return KeyRing(pair.id, MappingProxyType({**self.pairs, pair.id: pair}))

    def without(self, key_id: str) -> KeyRing:
        """Give the ring without a pair: what it wrapped can never be opened again.

        Raises
        ------
        RecordingError
            The pair is not there, or is the current one.
        """
        if key_id not in self.pairs:
            raise _not_there(key_id)
        if key_id == self.current:
            raise RecordingError(f"key {key_id}", "is the current one", "rotate first")
        rest = {known: pair for known, pair in self.pairs.items() if known != key_id}
        return KeyRing(self.current, MappingProxyType(rest))

    def public_only(self) -> KeyRing:
        """Give the current pair without its private part, for a machine that only writes."""
        pair = replace(self.pairs[self.current], private=None)
        return KeyRing(self.current, MappingProxyType({pair.id: pair}))

    def can_open(self, key_id: str) -> bool:
        """Tell whether what this key wrapped can be opened."""
        pair = self.pairs.get(key_id)
        return pair is not None and pair.private is not None

    def seal(self, secret: bytes) -> bytes:
        """Wrap a secret with the current public key."""
        return crypto_box_seal(secret, self.pairs[self.current].public)

    def open(self, key_id: str, sealed: bytes) -> bytes:
        """Unwrap what a key of the ring wrapped.

        Raises
        ------
        RecordingError
            The key or its private part is not here, or what was wrapped has changed.
        """
        pair = self.pairs.get(key_id)
        if pair is None:
            raise _not_there(key_id)
        if pair.private is None:
            raise RecordingError(
                f"key {key_id}", "has no private part here", "use a key file that has it"
            )
        try:
            return crypto_box_seal_open(sealed, pair.public, pair.private)
        except CryptoError:
            raise RecordingError(
                f"key {key_id}", "does not open what it is said to have wrapped", "use a backup"
            ) from None


def _not_there(key_id: str) -> RecordingError:
    return RecordingError(
        f"key {key_id}", "is not in the key file", "name the key file of these recordings"
    )


def serialize_keys(ring: KeyRing) -> str:
    """Give a ring as the text of a key file."""
    parts = [_HEAD, f'current = "{ring.current}"\n']
    for key_id, pair in ring.pairs.items():
        parts.append(f'\n[keys.{key_id}]\ncreated = "{pair.created}"\n')
        parts.append(f'public = "{pair.public.hex()}"\n')
        if pair.private is not None:
            parts.append(f'private = "{pair.private.hex()}"\n')
    return "".join(parts)


def parse_keys(text: str, subject: str) -> KeyRing:
    """Read the text of a key file.

    Raises
    ------
    RecordingError
        It is none, or its keys do not belong together. No part of a key is in the message.
    """
    try:
        body = tomllib.loads(text)
        pairs = [_parse_pair(key_id, entry) for key_id, entry in body["keys"].items()]
        ring = KeyRing(str(body["current"]), MappingProxyType({pair.id: pair for pair in pairs}))
        is_whole = body["version"] == 1 and ring.current in ring.pairs
    except (ValueError, KeyError, TypeError, AttributeError):
        is_whole = False
    if not is_whole:
        raise RecordingError(subject, "is not a whole key file", "restore it from its backup")
    return ring


def _parse_pair(key_id: str, entry: Mapping[str, Any]) -> KeyPair:
    private = bytes.fromhex(entry["private"]) if "private" in entry else None
    created = datetime.fromisoformat(entry["created"]).isoformat(timespec="seconds")
    pair = KeyPair(bytes.fromhex(entry["public"]), private, created)
    if len(pair.public) != KEY_BYTES or pair.id != key_id:
        raise ValueError("id")
    if private is not None and (
        len(private) != KEY_BYTES or crypto_scalarmult_base(private) != pair.public
    ):
        raise ValueError("pair")
    return pair


def key_file_beside(recordings: Path) -> Path:
    """Give the key file of a folder of recordings that was given none: never inside it."""
    return recordings.with_name(f"{recordings.name}.key")


def load_keys(path: Path) -> KeyRing:
    """Read a key file.

    Raises
    ------
    RecordingError
        It is missing or broken, or others may read its private keys or write it.
    """
    try:
        with path.open(encoding="utf-8") as file:
            mode = os.fstat(file.fileno()).st_mode
            text = file.read()
    except FileNotFoundError:
        raise RecordingError(
            str(path), "is not there", "make it with 'voicemask recordings keys create'"
        ) from None
    except (OSError, ValueError) as error:
        raise _unusable(path, error, "cannot be read") from None
    ring = parse_keys(text, str(path))
    has_private = any(pair.private is not None for pair in ring.pairs.values())
    if mode & (_OTHERS_READ if has_private else _OTHERS_WRITE):
        others = "others may read it" if has_private else "others may write it"
        raise RecordingError(str(path), others, f"chmod 600 {path}")
    return ring


def create_keys(path: Path, ring: KeyRing | None = None) -> KeyRing:
    """Write a new key file, mode 0600: a ring, or one new pair.

    Raises
    ------
    RecordingError
        A file is there already, or none can be written.
    """
    ring = ring or KeyRing.new()
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with _new_text(path, serialize_keys(ring)) as part:
            # unlike a rename, a link never replaces keys that somebody else has just made
            os.link(part, path)
            sync_folder(path.parent)
    except OSError as error:
        if path.exists():
            raise RecordingError(
                str(path), "is there already", "add a key to it with 'rotate', or name another file"
            ) from None
        raise _unusable(path, error, "cannot be written") from None
    return ring


def load_or_create_keys(path: Path) -> KeyRing:
    """Read a key file; where there is none, make one.

    Raises
    ------
    RecordingError
        As `load_keys` and `create_keys` do.
    """
    if not path.exists():
        try:
            return create_keys(path)
        except RecordingError:
            if not path.exists():
                raise
            # somebody else was faster: theirs is read
    return load_keys(path)


def rotate_keys(path: Path) -> KeyRing:
    """Add a new current pair to a key file.

    Raises
    ------
    RecordingError
        The file cannot be read or written.
    """
    with _locked(path):
        return _replace_keys(path, load_keys(path).rotated())


def remove_key(path: Path, key_id: str) -> KeyRing:
    """Remove a pair from a key file; what it wrapped is erased with it.

    Raises
    ------
    RecordingError
        The pair is not there or is current, or the file cannot be read or written.
    """
    with _locked(path):
        return _replace_keys(path, load_keys(path).without(key_id))


def _replace_keys(path: Path, ring: KeyRing) -> KeyRing:
    try:
        with _new_text(path, serialize_keys(ring)) as part:
            part.replace(path)
            sync_folder(path.parent)
    except OSError as error:
        raise _unusable(path, error, "cannot be written") from None
    return ring


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Let one process at a time change a key file."""
    try:
        descriptor = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise _unusable(path, error, "cannot be read") from None
    try:
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _new_text(path: Path, text: str) -> Iterator[Path]:
    """Give a synced file of mode 0600 beside `path`, removed if it was not moved."""
    part = path.with_name(f".{secrets.token_hex(8)}.part")
    try:
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(descriptor)
        yield part
    finally:
        part.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Make a folder's entries outlive a power failure."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _unusable(path: Path, error: Exception, what: str) -> RecordingError:
    reason = (getattr(error, "strerror", None) or "it is not text").lower()
    return RecordingError(str(path), f"{what}: {reason}", "name another key file")
