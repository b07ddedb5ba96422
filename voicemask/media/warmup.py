"""What is slow the first time, done before the first call needs it.

Libraries that are imported when they are needed, tables that are made once, the first call of BLAS:
each would stall every call of the process when one of them goes into its first capture.
"""

from __future__ import annotations

import importlib
import threading
from collections.abc import Callable
from typing import Final

import numpy as np

from voicemask.audio.codecs import make_codec
from voicemask.audio.resample import StreamResampler
from voicemask.capture.policy import Fill, Method
from voicemask.dtmf.arbiter import KeyPress
from voicemask.live.batch import make_payloads
from voicemask.live.ears import Ears
from voicemask.live.stream import LiveStream
from voicemask.live.values import LiveMeans, Ready, SteadyReady
from voicemask.media.loop import Loop
from voicemask.rtp.sdp import PayloadType

_NARROW: Final = (PayloadType(0, "PCMU", 8000), PayloadType(8, "PCMA", 8000))
_WIDE: Final = (PayloadType(9, "G722", 8000), PayloadType(96, "OPUS", 48000, 2))
_N_PACKETS: Final = 12
_LOOK_S: Final = 0.05


class WarmUp:
    """Warms up while calls may already go on: long imports in a thread, the rest in the loop.

    Parameters
    ----------
    loop : of the calls.
    on_done : called when nothing is cold any more.
    """

    def __init__(self, loop: Loop, on_done: Callable[[], None]) -> None:
        self._loop = loop
        self._on_done = on_done
        _warm(_NARROW)
        # the resampler of wideband codecs: most of a second, mostly of others' start-up
        self._thread = threading.Thread(
            target=importlib.import_module, args=("scipy.signal",), daemon=True
        )
        self._thread.start()
        loop.call_later(_LOOK_S, self._look)

    def _look(self) -> None:
        if self._thread.is_alive():
            self._loop.call_later(_LOOK_S, self._look)
            return
        _warm(_WIDE)
        self._on_done()


def _warm(payload_types: tuple[PayloadType, ...]) -> None:
    """Run a short masked leg of each codec, and hear it."""
    for payload_type in payload_types:
        for method in Method:
            _run_leg(payload_type, method)


def _run_leg(payload_type: PayloadType, method: Method) -> None:
    codec = make_codec(payload_type)
    ready: list[Ready | SteadyReady] = []
    pressed: list[tuple[LiveStream, KeyPress]] = []
    means = LiveMeans(method, Fill.NOISE)
    stream = LiveStream({payload_type.number: payload_type}, 20, means, ready, pressed)
    ears = Ears()
    ears.add(stream)
    n_packet = codec.rate_hz // 50
    time_s = np.arange(n_packet * _N_PACKETS) / codec.rate_hz
    # a tone that is no key, loud enough for every branch of the renderer
    audio = (0.2 * np.sin(2 * np.pi * 800 * time_s)).astype(np.float32)
    if codec.rate_hz != 8000:
        StreamResampler(1, codec.rate_hz, 8000).push(audio[np.newaxis])
    for k in range(_N_PACKETS):
        payload = codec.encode(audio[k * n_packet : (k + 1) * n_packet])
        ticks = k * payload_type.clock_hz // 50
        head = bytes([0x80, payload_type.number]) + k.to_bytes(2, "big") + ticks.to_bytes(4, "big")
        stream.push(head + bytes(4) + payload, k / 50)
        ears.step()
        make_payloads(ready)
        ready.clear()
    stream.flush()
    make_payloads(ready)
