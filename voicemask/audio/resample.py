"""Resampling to the detector's rate, sample for sample the same however the input is batched.

A polyphase filter (scipy's `upfirdn`) over the new input and the taps' worth of input before it;
outputs are computed once all the input they need is there, so each is one sum over the same
products in the same order.
"""

from __future__ import annotations

from functools import cache
from math import gcd
from typing import Final

import numpy as np
from numpy.typing import NDArray

from voicemask.errors import CodecError

Audio = NDArray[np.float32] | NDArray[np.int16]

_ZERO_CROSSINGS: Final = 16
"""Of the sinc on either side: the pass band is flat to 3.4 kHz at 8 kHz out."""
_KAISER_BETA: Final = 8.0
"""Stop band 80 dB down (Kaiser's formula)."""


@cache
def _taps(up: int, down: int) -> NDArray[np.float32]:
    """Low-pass prototype at ``up`` times the input rate, gain ``up``, odd length."""
    # lazily: a file at the detector's own rate needs no scipy, which takes long to import
    from scipy.signal import firwin  # noqa: PLC0415

    widest = max(up, down)
    n_half = _ZERO_CROSSINGS * widest
    # the edge lies a little below the lower Nyquist rate, or the band above it folds in
    taps = firwin(2 * n_half + 1, 0.94 / widest, window=("kaiser", _KAISER_BETA)) * up
    return np.asarray(taps, np.float32)


class StreamResampler:
    """Streaming rate change of several channels.

    Parameters
    ----------
    n_channels : channels fed together.
    from_hz, to_hz : sample rates; `from_hz` at least `to_hz`.

    Raises
    ------
    CodecError
        The input rate is lower than the output rate.

    Notes
    -----
    Output sample ``k`` lies at the input's time ``k / to_hz``: the filter's delay is taken out.
    """

    def __init__(self, n_channels: int, from_hz: int, to_hz: int) -> None:
        if from_hz < to_hz:
            raise CodecError(
                f"sample rate {from_hz} Hz",
                f"is below the {to_hz} Hz of a telephone line",
                "give the recording at its original rate",
            )
        common = gcd(from_hz, to_hz)
        self._up, self._down = to_hz // common, from_hz // common
        self._is_same = self._up == self._down
        self._n_channels = n_channels
        if self._is_same:
            return
        self._taps = _taps(self._up, self._down)
        self._half = (len(self._taps) - 1) // 2
        # input samples either side of an output's position that its filter reaches
        self._reach = -(-self._half // self._up) + 1
        self._held = np.zeros((n_channels, self._reach), np.float32)
        self._held_from = -self._reach  # input index of the first held sample
        self._n_in = 0
        self._n_out = 0

    def push(self, audio: Audio) -> Audio:
        """Feed (n_channels, n); give the (n_channels, m) that can be computed.

        Raises
        ------
        CodecError
            The audio has another shape.
        """
        if audio.ndim != 2 or audio.shape[0] != self._n_channels:
            raise CodecError(
                f"audio of shape {audio.shape}",
                f"is not (channels, samples) with {self._n_channels} channels",
                "give every channel of the stream in each call",
            )
        if self._is_same:
            return audio
        if audio.dtype == np.int16:
            audio = audio.astype(np.float32) / np.float32(32768)
        self._n_in += audio.shape[1]
        self._held = np.concatenate([self._held, audio.astype(np.float32, copy=False)], axis=1)
        # output k needs input up to k * down / up + reach
        return self._produce((self._n_in - self._reach) * self._up // self._down)

    def flush(self) -> Audio:
        """End of the input: silence follows it; gives the rest of the output."""
        if self._is_same:
            return np.zeros((self._n_channels, 0), np.float32)
        padding = np.zeros((self._held.shape[0], 2 * self._reach + self._down), np.float32)
        self._held = np.concatenate([self._held, padding], axis=1)
        return self._produce(-(-self._n_in * self._up // self._down))

    def _produce(self, n_total: int) -> NDArray[np.float32]:
        from scipy.signal import upfirdn  # noqa: PLC0415

        n_channels = self._held.shape[0]
        if n_total <= self._n_out:
            return np.zeros((n_channels, 0), np.float32)
        # start at an input sample whose phase is that of output `base`
        base = self._n_out // self._up * self._up
        first_in = base * self._down // self._up
        lead = self._reach
        begin = first_in - lead - self._held_from
        # zeros before the taps bring the first output onto a multiple of `down`
        offset = lead * self._up + self._half
        n_zeros = -offset % self._down
        taps = np.concatenate([np.zeros(n_zeros, np.float32), self._taps])
        filtered = upfirdn(taps, self._held[:, begin:], up=self._up, down=self._down, axis=1)
        first = (offset + n_zeros) // self._down + self._n_out - base
        result = filtered[:, first : first + n_total - self._n_out]
        self._n_out = n_total
        keep_from = n_total // self._up * self._up * self._down // self._up - self._reach
        drop = max(0, keep_from - self._held_from)
        self._held = self._held[:, drop:]
        self._held_from += drop
        return np.ascontiguousarray(result, dtype=np.float32)
