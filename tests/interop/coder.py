"""How a phone writes 20 ms of audio, by the name of its codec."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.interop.description import MAPS
from voicemask.audio.codecs import make_codec
from voicemask.rtp.sdp import PayloadType

PACKET_MS = 20
G729_BYTES = 20


class Coder:
    """One direction of one codec.

    Attributes
    ----------
    rate_hz, clock_hz : of its audio and of its RTP timestamps.
    n_samples, n_ticks : of one packet.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.payload_type = MAPS[name][0]
        self.encode: Callable[[NDArray[np.float32]], bytes]
        self.decode: Callable[[bytes], NDArray[np.float32]]
        if name == "G729":
            # nobody here can code it; what matters is that its bytes are known again
            random = np.random.default_rng(29)
            self.rate_hz = self.clock_hz = 8000
            self.encode = lambda _: random.bytes(G729_BYTES)
        else:
            codec: Any = make_codec(payload_type(name))
            self.rate_hz, self.clock_hz = codec.rate_hz, codec.clock_hz
            self.encode, self.decode = codec.encode, codec.decode
        self.n_samples = PACKET_MS * self.rate_hz // 1000
        self.n_ticks = PACKET_MS * self.clock_hz // 1000


def payload_type(name: str) -> PayloadType:
    """Give what a description says of a codec."""
    number, rtpmap = MAPS[name]
    encoding, clock, *channels = rtpmap.split("/")
    return PayloadType(number, encoding, int(clock), int(*channels or "1"))
