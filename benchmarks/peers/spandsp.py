"""spandsp's DTMF receiver (Debian's libspandsp2, 0.0.6) through ctypes.

It is given what it is made for: 16-bit samples at 8 kHz, its default limits (twist, level), its
dial-tone filter off as by default, in one call or in blocks. A real-time callback reports when a
tone begins and ends; the queue of digits is what an ordinary application reads. Both agree.
"""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

Audio = NDArray[np.float32]

BLOCK_SAMPLES: Final = 102
"""The receiver decides once per 102 samples (12.75 ms); feeding it so gives times on that grid."""

LATENCY_SAMPLES: Final = 2 * BLOCK_SAMPLES
"""A tone is reported at the end of its second block."""

_Report = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int, ctypes.c_int, ctypes.c_int)


class SpandspMissingError(RuntimeError):
    """libspandsp is not installed."""


@cache
def library() -> ctypes.CDLL:
    """Load the library and declare what is used of it.

    Raises
    ------
    SpandspMissingError
        Names the package to install.
    """
    try:
        lib = ctypes.CDLL("libspandsp.so.2")
    except OSError as error:
        raise SpandspMissingError("not installed: run: apt-get install libspandsp2") from error
    lib.dtmf_rx_init.restype = ctypes.c_void_p
    lib.dtmf_rx_init.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)
    lib.dtmf_rx_set_realtime_callback.argtypes = (ctypes.c_void_p, _Report, ctypes.c_void_p)
    lib.dtmf_rx_parms.argtypes = (ctypes.c_void_p, *(ctypes.c_int,) * 4)
    lib.dtmf_rx.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int)
    lib.dtmf_rx_get.argtypes = (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int)
    lib.dtmf_rx_get.restype = ctypes.c_size_t
    lib.dtmf_rx_free.argtypes = (ctypes.c_void_p,)
    return lib


def to_pcm(audio: Audio) -> NDArray[np.int16]:
    """Give float32 of +-1.0 as the 16-bit samples spandsp reads."""
    return np.clip(np.round(audio * 32768.0), -32768, 32767).astype(np.int16)


def new_receiver() -> int:
    """Make a receiver with the default limits; free it with `free_receiver`."""
    receiver: int = library().dtmf_rx_init(None, None, None)
    return receiver


def free_receiver(receiver: int) -> None:
    library().dtmf_rx_free(receiver)


def decode_queue(pcm: NDArray[np.int16]) -> str:
    """Decode one stretch of samples with one call per 10 s; give the keys in order."""
    lib, receiver = library(), new_receiver()
    digits = ctypes.create_string_buffer(129)
    keys = ""
    pcm = np.ascontiguousarray(pcm)
    for start in range(0, pcm.size, 80_000):
        block = pcm[start : start + 80_000]
        lib.dtmf_rx(receiver, block.ctypes.data, block.size)
        n_digits = lib.dtmf_rx_get(receiver, digits, 128)
        keys += digits.raw[:n_digits].decode("ascii")
    free_receiver(receiver)
    return keys


def detect(audio: Audio) -> list[tuple[str, int, int]]:
    """Decode with times: ``(key, start, end)`` in samples, by the real-time reports."""
    lib, receiver = library(), new_receiver()
    pcm = to_pcm(audio)
    found: list[tuple[str, int, int]] = []
    now, current = 0, ("", 0)

    def report(_user: int | None, code: int, _level: int, _delay: int) -> None:
        nonlocal current
        key, start = current
        if key:
            found.append((key, start, max(start + 1, now - BLOCK_SAMPLES)))
        current = (chr(code), max(0, now - LATENCY_SAMPLES)) if code else ("", 0)

    callback = _Report(report)
    lib.dtmf_rx_set_realtime_callback(receiver, callback, None)
    for start in range(0, pcm.size, BLOCK_SAMPLES):
        block = pcm[start : start + BLOCK_SAMPLES]
        now = start + block.size
        lib.dtmf_rx(receiver, block.ctypes.data, block.size)
    if current[0]:
        found.append((current[0], current[1], pcm.size))
    free_receiver(receiver)
    return found
