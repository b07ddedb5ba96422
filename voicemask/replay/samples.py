"""Sample formats: raw frames of a file to float32 and back, whole arrays at once.

`decode` gives what detection hears; `encode` rounds to the nearest value the format holds, without
dither. Only replaced samples are ever encoded, so a pass over unmasked audio changes no byte.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from voicemask.audio import g711
from voicemask.replay import riff
from voicemask.replay.riff import WavLayout

Raw = NDArray[Any]
Audio = NDArray[np.float32]

_ABSURD: Final = 1e6
"""Float samples beyond 120 dB over full scale are damage; they are analysed as if clipped."""


@dataclass(frozen=True, slots=True)
class SampleFormat:
    """How samples lie in memory.

    Parameters
    ----------
    name : for people and reports.
    dtype : of one sample.
    decode : raw (n_frames, n_channels) to float32 (n_channels, n_frames), full scale ±1.
    encode : float32 (n,) to raw (n,), clipped at full scale where the format has one.
    """

    name: str
    dtype: np.dtype[Any]
    decode: Callable[[Raw], Audio]
    encode: Callable[[Audio], Raw]


class AudioWriter(Protocol):
    """Takes raw frames (n_frames, n_channels) in order."""

    def write(self, raw: Raw) -> None:
        """Append frames."""


def _scaled(raw: Raw, scale: float) -> Audio:
    audio = np.empty(raw.shape[::-1], np.float32)
    np.multiply(raw.T, np.float32(scale), out=audio, casting="unsafe")
    return audio


def _rounded(audio: Audio, n_bits: int) -> NDArray[np.float64]:
    full_scale = float(1 << (n_bits - 1))
    return np.clip(np.rint(audio.astype(np.float64) * full_scale), -full_scale, full_scale - 1)


def linear(n_bits: int) -> SampleFormat:
    """Signed little-endian integers of 16 or 32 bits."""
    dtype = np.dtype(f"<i{n_bits // 8}")
    return SampleFormat(
        f"PCM {n_bits}",
        dtype,
        lambda raw: _scaled(raw, 2.0 ** (1 - n_bits)),
        lambda audio: _rounded(audio, n_bits).astype(dtype),
    )


def left_aligned(n_bits: int, name: str) -> SampleFormat:
    """Give n-bit samples in the upper bits of native int32, as libsndfile hands them over."""
    return SampleFormat(
        name,
        np.dtype(np.int32),
        lambda raw: _scaled(raw, 2.0**-31),
        lambda audio: _rounded(audio, n_bits).astype(np.int32) << (32 - n_bits),
    )


def _decode_u8(raw: Raw) -> Audio:
    return _scaled(raw.astype(np.int16) - 128, 2.0**-7)


def _encode_u8(audio: Audio) -> Raw:
    return (_rounded(audio, 8) + 128).astype(np.uint8)


def _decode_24(raw: Raw) -> Audio:
    wide = np.zeros((*raw.shape, 4), np.uint8)
    wide[..., 1:] = raw.view(np.uint8).reshape(*raw.shape, 3)
    return _scaled(wide.view("<i4")[..., 0], 2.0**-31)


def _encode_24(audio: Audio) -> Raw:
    octets = _rounded(audio, 24).astype("<i4").view(np.uint8).reshape(-1, 4)[:, :3]
    return np.ascontiguousarray(octets).view("V3")[:, 0]


def floating(n_bits: int, *, clip: bool = False) -> SampleFormat:
    """Give IEEE floats; `clip` for codecs that would wrap beyond full scale."""
    dtype = np.dtype(f"<f{n_bits // 8}")

    def encode(audio: Audio) -> Raw:
        return (np.clip(audio, -1, 1) if clip else audio).astype(dtype)

    return SampleFormat(f"float {n_bits}", dtype, _decode_float, encode)


def _decode_float(raw: Raw) -> Audio:
    with np.errstate(over="ignore", invalid="ignore"):
        audio = np.ascontiguousarray(raw.T, np.float32)
        if audio.size and not float(np.abs(audio).max()) <= _ABSURD:  # NaN compares false
            audio = np.nan_to_num(audio, nan=0, posinf=_ABSURD, neginf=-_ABSURD)
            audio = np.clip(audio, -_ABSURD, _ABSURD)
    return audio


def companded(law: g711.Law) -> SampleFormat:
    """G.711 octets; 0x7F and 0xFF of µ-law both decode to zero and both stay what they are."""
    table = g711.decode(np.arange(256, dtype=np.uint8), law).astype(np.float32) / 32768

    def encode(audio: Audio) -> Raw:
        return g711.encode(_rounded(audio, 16).astype(np.int16), law)

    name = "µ-law" if law is g711.Law.MU else "A-law"
    return SampleFormat(name, np.dtype(np.uint8), lambda raw: np.take(table, raw.T), encode)


def format_of(layout: WavLayout) -> SampleFormat | None:
    """Give the sample format of a WAV; None when its samples are not one number each."""
    width, rest = divmod(layout.frame_bytes, layout.n_channels)
    maker = _MAKERS.get((layout.format_tag, width))
    return None if rest or maker is None else maker()


_MAKERS: Final[dict[tuple[int, int], Callable[[], SampleFormat]]] = {
    (riff.PCM, 1): lambda: SampleFormat("PCM 8", np.dtype(np.uint8), _decode_u8, _encode_u8),
    (riff.PCM, 2): lambda: linear(16),
    (riff.PCM, 3): lambda: SampleFormat("PCM 24", np.dtype("V3"), _decode_24, _encode_24),
    (riff.PCM, 4): lambda: linear(32),
    (riff.IEEE_FLOAT, 4): lambda: floating(32),
    (riff.IEEE_FLOAT, 8): lambda: floating(64),
    (riff.A_LAW, 1): lambda: companded(g711.Law.A),
    (riff.MU_LAW, 1): lambda: companded(g711.Law.MU),
}
