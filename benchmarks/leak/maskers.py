"""Maskers to compare: yardsticks that know the truth, simple ones, peers, and ours."""

from __future__ import annotations

from typing import Final

import numpy as np
from scipy.signal import iirnotch, sosfilt, tf2sos

from benchmarks.leak.conditions import HIGH_HZ, LOW_HZ
from benchmarks.leak.press import RATE_HZ, Float32, LeakCall, samples
from benchmarks.leak.table import CallMasker
from benchmarks.peers import spandsp
from voicemask.call.leg import EVENT_GUARD_MS
from voicemask.capture.policy import Fill, Policy
from voicemask.mask.apply import Masked, Masker
from voicemask.mask.span import Reason

NOTCH_Q: Final = 15.0
"""Each notch is about as wide as the deviation a receiver must accept, +-1.8 % and its skirts."""

FRAME_SAMPLES: Final = 160
BLOCK_SAMPLES: Final = 10 * RATE_HZ


def unmasked(call: LeakCall) -> Float32:
    """Pass everything."""
    return call.audio


def truth(before_ms: float, after_ms: float) -> CallMasker:
    """Mute every press from `before_ms` before its true start to `after_ms` after its true end."""

    def mask(call: LeakCall) -> Float32:
        out = call.audio.copy()
        for start, end in zip(call.start, call.end, strict=True):
            out[start - samples(before_ms) : end + samples(after_ms)] = 0
        return out

    return mask


def notches(call: LeakCall) -> Float32:
    """Eight fixed notches in series, always on."""
    sos = np.vstack([tf2sos(*iirnotch(f, NOTCH_Q, RATE_HZ)) for f in (*LOW_HZ, *HIGH_HZ)])
    return np.asarray(sosfilt(sos, call.audio.astype(np.float64)), np.float32)


def spandsp_live(call: LeakCall) -> Float32:
    """Mute as a softswitch does: from the 20 ms frame in which spandsp speaks up, to the end."""
    out = call.audio.copy()
    for _, start, end in spandsp.detect(call.audio):
        said = (start + spandsp.LATENCY_SAMPLES) // FRAME_SAMPLES * FRAME_SAMPLES
        out[said : end + spandsp.BLOCK_SAMPLES] = 0
    return out


def spandsp_ahead(margin_ms: float) -> CallMasker:
    """Mute the tones spandsp finds with a margin on both sides, as a recorder could afterwards."""

    def mask(call: LeakCall) -> Float32:
        out = call.audio.copy()
        for _, start, end in spandsp.detect(call.audio):
            out[max(0, start - samples(margin_ms)) : end + samples(margin_ms)] = 0
        return out

    return mask


def ours(policy: Policy, fill: Fill = Fill.NOISE, with_events: bool = False) -> CallMasker:
    """Mask with voicemask.

    Parameters
    ----------
    policy, fill : as for `Masker`.
    with_events : tell it the presses' RFC 4733 events as well, with the guard on both sides that
        calls put around them (`voicemask.call.leg`).
    """

    def mask(call: LeakCall) -> Float32:
        masker = Masker(1, RATE_HZ, policy, fill)
        guard = samples(EVENT_GUARD_MS)
        if with_events:
            for start, end in zip(call.event_start, call.event_end, strict=True):
                masker.mark(0, int(start) - guard, int(end) + guard, Reason.EVENT)
        return masked_audio(masker, call.audio)

    return mask


def masked_audio(masker: Masker, audio: Float32) -> Float32:
    """Run a masker of one channel over audio (n,) and lay its patches over it."""
    out = audio.copy()
    for start in range(0, audio.size, BLOCK_SAMPLES):
        _lay(masker.push(audio[None, start : start + BLOCK_SAMPLES]), out)
    _lay(masker.flush(), out)
    return out


def _lay(masked: Masked, out: Float32) -> None:
    for patch in masked.patches:
        out[patch.start : patch.start + patch.audio.size] = patch.audio


MASKERS: Final[dict[str, CallMasker]] = {
    "none": unmasked,
    "spandsp, live mute": spandsp_live,
    "notches": notches,
    "spandsp, look-ahead, 20 ms either side": spandsp_ahead(20),
    "truth, 5 ms late": truth(-5, 0),
    "truth": truth(0, 0),
    "truth, 40 ms either side": truth(40, 40),
    "guard, noise": ours(Policy.GUARD),
    "guard, tone": ours(Policy.GUARD, Fill.TONE),
    "guard, silence": ours(Policy.GUARD, Fill.SILENCE),
    "guard, noise, with events": ours(Policy.GUARD, with_events=True),
    "capture, noise": ours(Policy.CAPTURE),
    "capture, noise, with events": ours(Policy.CAPTURE, with_events=True),
}
"""Name in the tables -> masker."""
