"""The values of live masking: how a stream is masked, and a packet that may leave."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from voicemask.audio.codecs import Codec
from voicemask.audio.g711 import Law
from voicemask.capture.policy import Fill, Method

if TYPE_CHECKING:
    from voicemask.live.stream import LiveStream

LONGEST_HOLD_MS: Final = 40
"""A packet whose successor has not come by then leaves, its end filled."""


@dataclass(frozen=True, slots=True)
class LiveMeans:
    """How a stream is masked.

    Parameters
    ----------
    method : of `capture`; None is `mute`: all is fill.
    fill : what stands in.
    hold_ms : hold asked for; what masking needs is the least.
    """

    method: Method | None
    fill: Fill
    hold_ms: int = 0


class Like(NamedTuple):
    """What packets have in common that are rendered together."""

    is_octets: bool
    rate_hz: int
    n_packet: int
    suppresses: bool
    fill: Fill
    law: Law | None
    """None: codecs, each packet by its own."""


class Slot(Enum):
    """What a packet on its way out is made of."""

    RENDERED = "rendered"
    """Of its row of audio."""
    PASSED = "passed"
    """The bytes it came with."""
    FILLED = "filled"
    """Of fill alone."""


@dataclass(slots=True)
class Ready:
    """A packet that may leave as soon as its payload is made.

    Parameters
    ----------
    stream : the stream it belongs to.
    slot : what it is made of.
    head, tail : bytes before and after the payload.
    payload : as it came.
    position, n_samples : the stretch of stream time it stands for.
    coder : law or codec the payload is written in.
    row : its audio with the lead on either side: octets of `coder`'s law, or float32; None for
        fill alone.
    unsafe : hops of the row that are fill, None for none.
    suppresses : the tones' span is taken out of what is not fill.
    """

    stream: LiveStream
    slot: Slot
    head: bytes
    payload: bytes
    tail: bytes = b""
    position: int = 0
    n_samples: int = 0
    coder: Law | Codec | None = None
    row: bytes | NDArray[np.float32] | None = None
    unsafe: NDArray[np.bool_] | None = None
    suppresses: bool = True


SteadyReady = tuple["LiveStream", bytes, bytes, int]
"""The same of an unbroken G.711 stream: stream, header, row of octets, position."""
