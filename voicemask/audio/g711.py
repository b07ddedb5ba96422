"""G.711 by table: companded octets to 16-bit samples and back, whole arrays at once.

Decoding a byte and encoding it again gives the byte, but for µ-law's negative zero (0x7F), which
comes back as positive zero (0xFF). So callers that leave audio alone keep its bytes and encode
only what they replaced.

References
----------
ITU-T G.711 (11/88) tables 1a, 1b (A-law), 2a, 2b (µ-law); the 16-bit alignment and the decision
by truncation are those of G.191's g711 module (A-law 13 bits, µ-law 14 bits, left-aligned).
"""

from __future__ import annotations

from enum import Enum
from typing import Final

import numpy as np
from numpy.typing import NDArray

_N_CODES: Final = 256
_N_SAMPLES: Final = 1 << 16
_MU_BIAS: Final = 33
_MU_CLIP: Final = 0x1FFF
_A_TOGGLE: Final = 0x55


class Law(Enum):
    """Companding law."""

    MU = "mu"
    A = "a"


def _build_mu_decode() -> NDArray[np.int16]:
    """Table 2a/2b: sign, 3 bits of segment, 4 of step, all inverted on the line."""
    code = ~np.arange(_N_CODES) & 0xFF
    segment, step = code >> 4 & 7, code & 0xF
    magnitude = ((2 * step + _MU_BIAS) << segment) - _MU_BIAS
    return (np.where(code & 0x80, -magnitude, magnitude) << 2).astype(np.int16)


def _build_a_decode() -> NDArray[np.int16]:
    """Table 1a/1b: even bits inverted on the line; sign bit set for positive."""
    code = np.arange(_N_CODES) ^ _A_TOGGLE
    segment, step = code >> 4 & 7, code & 0xF
    magnitude = np.where(segment == 0, 2 * step + 1, (2 * step + 33) << np.maximum(segment - 1, 0))
    return (np.where(code & 0x80, magnitude, -magnitude) << 3).astype(np.int16)


def _build_mu_encode() -> NDArray[np.uint8]:
    """Index: the sample as uint16."""
    sample = np.arange(_N_SAMPLES, dtype=np.uint16).view(np.int16).astype(np.int32)
    magnitude = np.where(sample < 0, ~sample, sample) >> 2
    biased = np.minimum(magnitude + _MU_BIAS, _MU_CLIP)
    segment = np.floor(np.log2(biased)).astype(np.int32) - 5
    step = biased >> (segment + 1) & 0xF
    code = np.where(sample < 0, 0x80, 0) | segment << 4 | step
    return np.asarray(~code & 0xFF, np.uint8)


def _build_a_encode() -> NDArray[np.uint8]:
    """Index: the sample as uint16."""
    sample = np.arange(_N_SAMPLES, dtype=np.uint16).view(np.int16).astype(np.int32)
    magnitude = np.where(sample < 0, ~sample, sample) >> 4
    segment = np.floor(np.log2(np.maximum(magnitude, 16) >> 4)).astype(np.int32) + 1
    segment = np.where(magnitude < 16, 0, segment)
    step = magnitude >> np.maximum(segment - 1, 0) & 0xF
    code = np.where(sample < 0, 0, 0x80) | segment << 4 | step
    return np.asarray(code ^ _A_TOGGLE, np.uint8)


_DECODE: Final = {Law.MU: _build_mu_decode(), Law.A: _build_a_decode()}
_ENCODE: Final = {Law.MU: _build_mu_encode(), Law.A: _build_a_encode()}


def decode(octets: NDArray[np.uint8], law: Law) -> NDArray[np.int16]:
    """Expand companded octets.

    Parameters
    ----------
    octets : any shape, uint8.
    law : µ-law or A-law.

    Returns
    -------
    Same shape, int16; µ-law spans ±32124, A-law ±32256.
    """
    return _DECODE[law][octets]


def encode(samples: NDArray[np.int16], law: Law) -> NDArray[np.uint8]:
    """Compand samples.

    Parameters
    ----------
    samples : any shape, int16.
    law : µ-law or A-law.

    Returns
    -------
    Same shape, uint8.
    """
    return _ENCODE[law][samples.view(np.uint16)]
