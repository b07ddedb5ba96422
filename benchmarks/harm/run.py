"""Print what masking does to audio that holds no tones.

``python -m benchmarks.harm.run`` from the root of the project. Policy `guard`: the share of human
speech and of music on hold that is altered (every sample inside a masked span counts), of a normal
talker and of a quiet one through GSM. A level alone changes nothing: what is judged are ratios, so
material at its own level, at -20 and at -35 dBFS gives the same spans, sample by sample. Policy
`capture`: intelligibility (STOI, pystoi) and loudness (ITU-R BS.1770-4, K-weighted and gated, and
plain RMS) of speech against the original. See benchmarks/leak/README.md.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pystoi import stoi

from benchmarks.accuracy.results import write_result
from benchmarks.harm.loudness import loudness_lufs, rms_db
from benchmarks.material import codecs, corpus
from voicemask.capture.policy import Fill, Policy
from voicemask.mask.apply import Masker

Float32 = NDArray[np.float32]

RATE_HZ: Final = corpus.RATE_HZ
BLOCK_SAMPLES: Final = 10 * RATE_HZ
QUIET_DBFS: Final = -35.0
"""Active level of a quiet talker, 15 dB below a normal one."""
LINES: Final[dict[str, Callable[[Float32], Float32]]] = {
    f"{corpus.LEVEL_DBFS:.0f} dBFS": corpus.normalised,
    f"{QUIET_DBFS:.0f} dBFS, GSM": lambda audio: codecs.gsm(corpus.normalised(audio, QUIET_DBFS)),
}
"""What material is heard over: name, and audio (n,) to audio (n,)."""
STOI_SHORTEST_S: Final = 1.5
"""STOI compares stretches of 0.4 s and drops silent frames: shorter prompts give it too few."""


@dataclass(frozen=True, slots=True)
class Altered:
    """How much of a corpus `guard` altered."""

    name: str
    n_samples: int
    n_altered: int
    n_spans: int

    def line(self) -> str:
        """Give the figures as a line of the table."""
        share = 100 * self.n_altered / self.n_samples
        hours = self.n_samples / RATE_HZ / 3600
        return (
            f"{self.name:28s}{hours:8.2f}{share:11.4f}{self.n_spans:8d}{self.n_spans / hours:9.1f}"
        )


def masked(audio: Float32, policy: Policy) -> tuple[Float32, int, int]:
    """Mask audio (n,) and give it with the number of patched samples and of spans."""
    masker = Masker(1, RATE_HZ, policy, Fill.NOISE)
    out = audio.copy()
    n_patched = n_spans = 0
    blocks = [audio[None, i : i + BLOCK_SAMPLES] for i in range(0, audio.size, BLOCK_SAMPLES)]
    for result in (*(masker.push(block) for block in blocks), masker.flush()):
        n_spans += len(result.spans)
        for patch in result.patches:
            out[patch.start : patch.start + patch.audio.size] = patch.audio
            n_patched += patch.audio.size
    return out, n_patched, n_spans


def guard_harm(name: str, pieces: list[Float32]) -> Altered:
    """Measure `guard` on pieces joined by half a second of silence, which does not count."""
    _, n_altered, n_spans = masked(corpus.joined(pieces), Policy.GUARD)
    return Altered(name, sum(piece.size for piece in pieces), n_altered, n_spans)


def guard_table(speeds: tuple[float, ...]) -> list[Altered]:
    """Measure `guard` on all speech, by language, and on music, over lines and at speeds."""
    rows = []
    for at, line in LINES.items():
        for language in corpus.LANGUAGES:
            prompts = [line(p.audio) for p in corpus.prompts() if p.language == language]
            rows.append(guard_harm(f"speech {language}, {at}", prompts))
        rows.append(_total(f"speech, {at}", rows[-len(corpus.LANGUAGES) :]))
        rows.append(guard_harm(f"music, {at}", [line(corpus.music(None))]))
    for speed in speeds:
        prompts = [corpus.at_speed(corpus.normalised(p.audio), speed) for p in corpus.prompts()]
        rows.append(guard_harm(f"speech at speed {speed}", prompts))
        rows.append(guard_harm(f"music at speed {speed}", [corpus.at_speed(corpus.music(), speed)]))
    return rows


def _total(name: str, rows: list[Altered]) -> Altered:
    return Altered(
        name,
        sum(r.n_samples for r in rows),
        sum(r.n_altered for r in rows),
        sum(r.n_spans for r in rows),
    )


def capture_harm(n_prompts: int) -> dict[str, NDArray[np.float64]]:
    """Measure `capture` on prompts, each masked in the middle of others of its language.

    Parameters
    ----------
    n_prompts : how many of the prompts of 1.5 s and more to compare, evenly drawn.

    Returns
    -------
    dict
        ``stoi``, ``loudness_db`` and ``rms_db`` (masked minus original), each (n,).
    """
    figures: dict[str, list[float]] = {"stoi": [], "loudness_db": [], "rms_db": []}
    for language in corpus.LANGUAGES:
        pieces = [corpus.normalised(p.audio) for p in corpus.prompts() if p.language == language]
        out, _, _ = masked(corpus.joined(pieces), Policy.CAPTURE)
        gap = round(corpus.GAP_S * RATE_HZ)
        begins = np.concatenate(([0], np.cumsum([p.size + gap for p in pieces])[:-1]))
        long = [i for i, p in enumerate(pieces) if p.size >= STOI_SHORTEST_S * RATE_HZ]
        share = max(1, n_prompts // len(corpus.LANGUAGES))
        for i in np.unique(np.linspace(0, len(long) - 1, share).astype(int)):
            original = pieces[long[i]]
            first = int(begins[long[i]])
            result = out[first : first + original.size]
            figures["stoi"].append(float(stoi(original, result, RATE_HZ)))
            figures["loudness_db"].append(loudness_lufs(result) - loudness_lufs(original))
            figures["rms_db"].append(rms_db(result) - rms_db(original))
    return {name: np.array(values) for name, values in figures.items()}


def _guard(with_speeds: bool) -> dict[str, float]:
    """Print the table of `guard`; give name -> percent altered."""
    print(f"{'guard':28s}{'hours':>8s}{'altered %':>11s}{'spans':>8s}{'per hour':>9s}")
    rows = guard_table(corpus.SPEEDS if with_speeds else ())
    for row in rows:
        print(row.line())
    return {row.name: round(100 * row.n_altered / row.n_samples, 5) for row in rows}


def _capture(n_prompts: int) -> dict[str, dict[str, float]]:
    """Print the table of `capture`; give figure -> median and mean."""
    print(f"{'capture, change of speech':28s}{'median':>8s}{'mean':>8s}{'5 %':>8s}{'95 %':>8s}")
    found = capture_harm(n_prompts)
    for name, values in found.items():
        low, mid, high = np.quantile(values, (0.05, 0.5, 0.95))
        print(f"{name:28s}{mid:8.3f}{values.mean():8.3f}{low:8.3f}{high:8.3f}  n={values.size}")
    return {
        name: {"median": round(float(np.median(v)), 3), "mean": round(float(v.mean()), 3)}
        for name, v in found.items()
    }


def main() -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--policy", choices=("guard", "capture", "both"), default="both")
    parser.add_argument("--prompts", type=int, default=1000, help="prompts compared for capture")
    parser.add_argument("--speeds", action="store_true", help="guard at six speeds too")
    parser.add_argument("--save", action="store_true", help="write benchmarks/results/harm.json")
    options = parser.parse_args()
    results: dict[str, object] = {}
    if options.policy != "capture":
        results["guard"] = _guard(options.speeds)
    if options.policy != "guard":
        results["capture"] = _capture(options.prompts)
    if options.save:
        write_result("harm", results)


if __name__ == "__main__":
    main()
