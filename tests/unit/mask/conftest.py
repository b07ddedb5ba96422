"""Running a masker, and what its output must hold whatever the input."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from voicemask.capture.policy import Fill, Policy
from voicemask.dtmf.detector import Tone
from voicemask.mask.apply import Masked, Masker, Patch
from voicemask.mask.span import Span

F32 = NDArray[np.float32]


@dataclass(slots=True)
class Run:
    """All that a masker gave for one recording."""

    audio: F32  # with the patches in place
    patched: NDArray[np.bool_]
    spans: list[Span] = field(default_factory=list)
    tones: list[Tone] = field(default_factory=list)
    patches: list[Patch] = field(default_factory=list)
    finals: list[tuple[int, int]] = field(default_factory=list)  # (fed, final) after each call

    def take(self, masked: Masked, n_fed: int) -> None:
        for patch in masked.patches:
            place = slice(patch.start, patch.start + len(patch.audio))
            assert place.stop <= masked.final_until
            assert not self.patched[patch.channel, place].any()
            self.patched[patch.channel, place] = True
            self.audio[patch.channel, place] = patch.audio
        self.patches += masked.patches
        self.spans += masked.spans
        self.tones += masked.tones
        self.finals.append((n_fed, masked.final_until))

    def spanned(self) -> NDArray[np.bool_]:
        """Which samples the spans name."""
        named = np.zeros(self.patched.shape, bool)
        for span in self.spans:
            named[span.channel, span.start : span.end] = True
        return named


RunMasker = Callable[..., Run]


def run_masker(
    audio: F32,
    rate_hz: int = 8000,
    policy: Policy = Policy.GUARD,
    fill: Fill = Fill.NOISE,
    *,
    cuts: Iterable[int] = (),
    chunk: int | None = None,
) -> Run:
    """Mask audio (n,) or (n_channels, n), fed whole, in chunks or cut at given places."""
    audio = np.atleast_2d(audio)
    n_samples = audio.shape[1]
    masker = Masker(len(audio), rate_hz, policy, fill)
    run = Run(audio.copy(), np.zeros(audio.shape, bool))
    places = range(chunk, n_samples, chunk) if chunk else sorted(cuts)
    for begin, end in pairwise([0, *places, n_samples]):
        run.take(masker.push(audio[:, begin:end]), end)
    run.take(masker.flush(), n_samples)
    return run


@pytest.fixture
def mask() -> RunMasker:
    return run_masker
