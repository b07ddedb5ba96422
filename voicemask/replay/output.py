"""Output that appears only when it is whole.

A file is written under a hidden name beside its place, synced, and renamed onto it: a reader sees
the old state or the new one, never half. Nothing is left behind when writing fails.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from voicemask.errors import AudioFileError

PART_SUFFIX: Final = ".voicemask-part"


@contextlib.contextmanager
def whole_file(target: Path) -> Iterator[Path]:
    """Give the path to write to; on leaving without an error it becomes `target`.

    Raises
    ------
    AudioFileError
        The folder is missing or may not be written, or the disk is full.
    """
    part = target.with_name(f".{secrets.token_hex(8)}{PART_SUFFIX}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        part.touch(exist_ok=False)
        yield part
        _sync(part)
        part.replace(target)
        _sync(target.parent)
    except OSError as error:
        raise _explained(target, error) from error
    finally:
        with contextlib.suppress(OSError):
            part.unlink()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _explained(target: Path, error: OSError) -> AudioFileError:
    reason = (error.strerror or "cannot be written").lower()
    cures = {
        errno.ENOSPC: "free space on that disk or choose another OUT",
        errno.EDQUOT: "free space on that disk or choose another OUT",
        errno.EFBIG: "choose an OUT on a file system that takes files of this size",
        errno.EACCES: "choose an OUT you may write to",
        errno.EPERM: "choose an OUT you may write to",
        errno.EROFS: "choose an OUT you may write to",
    }
    return AudioFileError(
        str(target),
        f"cannot be written: {reason}",
        cures.get(error.errno or 0, "choose another OUT"),
    )
