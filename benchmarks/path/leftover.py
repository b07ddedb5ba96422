"""Milliseconds of a tone that are left in what came out.

The attacker's view (`benchmarks.leak.attacks`) says what can be guessed; this says how much of the
tone's own waveform is there. Three signals are known: y, what came out; r, the tone pair as it was
sent; v, the rest of what was sent. In a window, y and r are freed of v (least squares), and what is
left of them correlated. A window *leaks* from a correlation of 0.9 on: then the tone explains over
80 % of the power that the rest does not. Windows are

- 4 ms anywhere within the tone, every 0.5 ms, and
- at either end its first or last 0.5, 1, ... 4 ms together with the 2 ms outside it, where r is
  nothing, so that half a millisecond let through before a mask is seen.

Steps of 0.5 ms that any leaking window covers are added up: a leftover is mostly told up to 0.75 ms
too long, at worst 2.5 ms (a pair beats, and its loud part speaks for quiet steps beside it), never
too short by more than 0.5 ms. A tone let through whole gives its length.

What came out is placed by RTP timestamp. Relays may shift those where packets were lost or late, so
a tone is also looked for up to three packets of 20 ms to either side, and the most counts. What
chance gives is measured alike, with a tone of another row and column in place of r; it means
something where nothing leaks.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.leak.press import Float32, Int64, samples

STEP_MS: Final = 0.5
WINDOW_MS: Final = 4.0
OUTSIDE_MS: Final = 2.0
THRESHOLD: Final = 0.9
SHIFTS: Final = range(-3, 4)
SHIFT_MS: Final = 20.0
FLOOR: Final = (1 / 32768) ** 2
"""Power of one 16-bit step: a rounding error is no leak."""

_STEP: Final = samples(STEP_MS)
_WINDOW: Final = samples(WINDOW_MS)
_OUTSIDE: Final = samples(OUTSIDE_MS)

Float64 = NDArray[np.float64]


class Correlator:
    """Partial correlation of what came out with the tones, over any windows, by running sums."""

    def __init__(self, heard: Float32, tones: Float32, rest: Float32) -> None:
        y, r, v = (np.asarray(x, np.float64) for x in (heard, tones, rest))
        self.size = y.size
        pairs = ((y, y), (y, r), (y, v), (r, r), (r, v), (v, v))
        self._sums = [np.concatenate(([0.0], np.cumsum(a * b))) for a, b in pairs]

    def __call__(self, first: Int64, stop: Int64) -> Float64:
        """Correlate over windows [first, stop), both (n,); gives (n,)."""
        yy, yr, yv, rr, rv, vv = (s[stop] - s[first] for s in self._sums)
        floor = FLOOR * (stop - first)
        vv = vv + floor
        left_y = yy - yv * yv / vv + floor
        left_r = rr - rv * rv / vv + floor
        return np.asarray((yr - yv * rv / vv) / np.sqrt(left_y * left_r))


def _windows(start: int, end: int) -> tuple[Int64, Int64, Int64, Int64]:
    """Windows of one tone, and the steps [first, stop) of it that each covers."""
    n_steps = (end - start) // _STEP
    width = min(_WINDOW // _STEP, n_steps)
    inner = np.arange(n_steps - width + 1)
    edge = np.arange(1, width + 1)
    first_step = np.concatenate((inner, np.zeros(width, np.int64), n_steps - edge))
    stop_step = np.concatenate((inner + width, edge, np.full(width, n_steps)))
    first = start + first_step * _STEP
    stop = start + stop_step * _STEP
    first[inner.size : inner.size + width] -= _OUTSIDE
    stop[inner.size + width :] += _OUTSIDE + (end - start) % _STEP
    return first, stop, first_step, stop_step


def leaked_ms(heard: Float32, tones: Float32, rest: Float32, start: Int64, end: Int64) -> Float64:
    """Measure what is left of each tone.

    Parameters
    ----------
    heard, tones, rest : (n,) what came out; the tones, and all else of what was sent.
    start, end : (n_presses,) of the tones, samples.

    Returns
    -------
    (n_presses,) milliseconds.
    """
    shift = samples(SHIFT_MS)
    padded = np.pad(heard, -SHIFTS[0] * shift)
    places = (padded[k * shift : k * shift + heard.size] for k in range(len(SHIFTS)))
    left = [_leaked_ms(Correlator(y, tones, rest), start, end) for y in places]
    return np.asarray(np.max(left, axis=0))


def _leaked_ms(correlate: Correlator, start: Int64, end: Int64) -> Float64:
    out = np.zeros(start.size)
    for press, (a, b) in enumerate(zip(start.tolist(), end.tolist(), strict=True)):
        first, stop, first_step, stop_step = _windows(a, b)
        leaks = correlate(first, np.minimum(stop, correlate.size)) >= THRESHOLD
        covered = np.zeros((b - a) // _STEP, np.bool_)
        for step, until in zip(first_step[leaks], stop_step[leaks], strict=True):
            covered[step:until] = True
        out[press] = STEP_MS * covered.sum()
    return out


def others_tones(tones: Float32, keys: Int64, start: Int64, end: Int64) -> Float32:
    """Put the tone of the next press of another row and column in place of each."""
    out = np.zeros_like(tones)
    for press, (a, b) in enumerate(zip(start.tolist(), end.tolist(), strict=True)):
        strange = (keys // 4 != keys[press] // 4) & (keys % 4 != keys[press] % 4)
        others = np.flatnonzero(np.roll(strange, -press))
        if others.size:
            other = (press + int(others[0])) % keys.size
            out[a:b] = np.resize(tones[start[other] : end[other]], b - a)
    return out
