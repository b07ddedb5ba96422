"""The receivers that are compared: ours, spandsp and multimon-ng, behind one signature.

All three hear the same 16-bit samples, each at the rate it is made for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.accuracy.score import Decoded, Score, score, score_sequence
from benchmarks.material.codecs import to_float, to_int16
from benchmarks.material.keying import Recording
from benchmarks.peers import multimon, spandsp
from voicemask.dtmf.detector import detect

Audio = NDArray[np.float32]
Receiver = Callable[[Recording], Score]


def ours_decodes(audio: Audio) -> list[Decoded]:
    """Decode with the profile ``decode``: ``(key, start, end)`` in samples at 8 kHz."""
    return [(tone.digit.reveal(), tone.start, tone.end) for tone in detect(to_int16(audio))]


def _ours(recording: Recording) -> Score:
    return score(ours_decodes(recording.audio), recording.truth)


def _spandsp(recording: Recording) -> Score:
    return score(spandsp.detect(recording.audio), recording.truth)


def _multimon(recording: Recording) -> Score:
    heard = to_float(to_int16(recording.audio))
    return score_sequence(multimon.decode(heard), recording.truth)


RECEIVERS: Final[Mapping[str, Receiver]] = {
    "voicemask": _ours,
    "spandsp": _spandsp,
    "multimon-ng": _multimon,
}
