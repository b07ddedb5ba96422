"""Fit the weights of the evidence: `weight_*` of the receiver profiles `mask` and `decode`.

Rows of `BurstFinder` on drawn recordings that lie on a press of their key, against every row on
speech and music without digits, each heard at seven speeds. Logistic regression over
`voicemask.dtmf.evidence.features`, standardised, with ridge penalty: one optimum, found by Newton's
method, so that the same material gives the same weights.

Held out: every fifth file without digits, and recordings of another seed laid over those files.
The tables count what the fitted weights make of these.

    python -m benchmarks.accuracy.train                        # installed Debian packages
    python -m benchmarks.accuracy.train --negatives FOLDER     # sound of one's own, without digits
    python -m benchmarks.accuracy.train --write                # into models/voicemask_models/rx

References
----------
TRAINING.md beside this file: the material, the choices, what came of it.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from benchmarks.material import corpus, training
from benchmarks.material.codecs import CodecMissingError, to_int16
from benchmarks.material.keying import KEYS, Recording
from benchmarks.material.training import RATE_HZ, Audio, Background
from voicemask.dtmf.burst import BurstFinder, Bursts
from voicemask.dtmf.evidence import evidence, features, weights
from voicemask.dtmf.profile import Receiver, load_profile

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]

WEIGHTS: Final = (
    "weight_duration",
    "weight_unexplained",
    "weight_unexplained_blocks",
    "weight_low_jitter",
    "weight_high_jitter",
    "weight_roughness",
    "weight_before",
    "weight_after",
    "weight_outside",
    "weight_deviation",
    "weight_apart",
    "weight_twist",
)
"""Profile values in the order of `features`."""
BIAS: Final = "weight_bias"
PROFILES: Final = ("mask", "decode")
FOLDER: Final = Path(__file__).parents[2] / "models" / "voicemask_models" / "rx"

RIDGE_C: Final = 1.0
"""The penalty is half the squared weights, the loss counts `RIDGE_C` times."""
HELD_OUT: Final = 5
"""Every fifth file is held out, and a fifth of the recordings, so that the classes keep their
ratio, which the bias hangs on."""
TRAIN_SEED, N_TRAIN = 1, 1440
TEST_SEED, N_TEST = 2, 360

SHORTEST_SAMPLES: Final = 70
"""A little under the shortest tone of `mask`, so that the fit sees both sides of it."""
EDGE_SAMPLES: Final = 40
"""A row this far from a press still is of it."""
LEAST_PRESS_MS: Final = 40.0
"""Presses that ITU-T Q.24 asks to accept."""
THRESHOLDS: Final = (-4.0, -3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0)
NEAR: Final = 6.0
"""Evidence in which decisions are taken lies within this."""
PIECE_S: Final = 300


@dataclass(frozen=True, slots=True)
class Without:
    """Rows found where there is no digit, by corpus, with its hours."""

    rows: dict[str, Bursts]
    hours: dict[str, float]


@dataclass(frozen=True, slots=True)
class Presses:
    """Rows that lie on presses.

    Parameters
    ----------
    rows : the rows, m of them.
    press : number of the press each lies on, shape (m,).
    is_long : by press, whether it lasts `LEAST_PRESS_MS`, shape (n_presses,).
    """

    rows: Bursts
    press: I64
    is_long: NDArray[np.bool_]


def found(audio: Audio | NDArray[np.int16]) -> Bursts:
    """Give the rows of one stream, shape (n,) at 8 kHz."""
    finder = BurstFinder(1, load_profile("mask").receiver)
    return merged([finder.push(audio[None, :]), finder.flush()])


def merged(parts: Iterable[Bursts]) -> Bursts:
    """Put rows of several recordings together."""
    parts = list(parts)
    return Bursts(
        *(np.concatenate([getattr(part, item.name) for part in parts]) for item in fields(Bursts))
    )


def to_fit_on(rows: Bursts) -> Bursts:
    """Give the rows that `mask` judges at all; of a long burst only the first segment."""
    is_judged = np.isfinite(evidence(rows, load_profile("mask").receiver))
    return rows.take(is_judged & (rows.duration >= SHORTEST_SAMPLES) & ~rows.is_continued)


def _pieces(audio: Audio) -> Iterator[Audio]:
    for start in range(0, audio.size, PIECE_S * RATE_HZ):
        yield audio[start : start + PIECE_S * RATE_HZ]


def without_digits(background: Background) -> Without:
    """Find rows in speech and music, as recorded and at the corpus' six other speeds."""
    result = Without({}, {})
    for kind, audio in (("speech", background.speech), ("music", background.music)):
        plain = [to_int16(piece) for piece in _pieces(audio)]
        moved = [
            to_int16(corpus.at_speed(piece, speed))
            for piece in _pieces(audio)
            for speed in corpus.SPEEDS
        ]
        for name, pieces in ((kind, plain), (f"{kind}, six speeds", moved)):
            result.rows[name] = merged(found(piece) for piece in pieces)
            result.hours[name] = sum(piece.size for piece in pieces) / RATE_HZ / 3600
    return result


def _press_of(rows: Bursts, recording: Recording) -> I64:
    """Give each row the number of the press it lies on, -1 for none; shape (m,)."""
    result = np.full(len(rows), -1, np.int64)
    for number, press in enumerate(recording.truth):
        lies_on = (
            (rows.pair == KEYS.index(press.key))
            & (rows.start < press.end + EDGE_SAMPLES)
            & (rows.end > press.start - EDGE_SAMPLES)
        )
        result[lies_on] = number
    return result


def presses(seed: int, n_recordings: int, background: Background) -> Presses:
    """Find the rows on the presses of drawn recordings."""
    parts: list[Bursts] = []
    numbers: list[I64] = []
    is_long: list[bool] = []
    for keying, recording in training.drawn(seed, n_recordings, background):
        rows = found(recording.audio)
        press = _press_of(rows, recording)
        parts.append(rows.take(press >= 0))
        numbers.append(press[press >= 0] + len(is_long))
        is_long += [keying.tone_ms >= LEAST_PRESS_MS] * len(recording.truth)
    return Presses(merged(parts), np.concatenate(numbers), np.array(is_long))


def logistic_regression(x: F64, y: F64, c: float = RIDGE_C) -> tuple[F64, float]:
    """Fit weights, shape (k,), and bias to features (m, k) and classes (m,) of 0 or 1.

    Minimises ``|w|^2 / 2 + c * sum(log loss)`` over the weights of the standardised features, the
    bias free, by Newton's method; gives the weights of the features as they are.

    References
    ----------
    Hastie, Tibshirani, Friedman: The Elements of Statistical Learning, section 4.4.1 (IRLS).
    """
    mean, scale = x.mean(axis=0), x.std(axis=0)
    z = np.column_stack([(x - mean) / scale, np.ones(len(x))])
    penalty = np.append(np.ones(x.shape[1]), 0.0)
    w = np.zeros(z.shape[1])
    for _ in range(50):
        p = 0.5 * (1 + np.tanh(z @ w / 2))  # the logistic function, without overflow
        gradient = penalty * w + c * (z.T @ (p - y))
        curvature = np.diag(penalty) + c * (z.T @ (z * (p * (1 - p))[:, None]))
        step = np.linalg.solve(curvature, gradient)
        w -= step
        if np.abs(step).max() < 1e-9:
            break
    else:
        raise RuntimeError("the fit does not converge: the classes may be separable")
    weight = w[:-1] / scale
    return weight, float(w[-1] - weight @ mean)


def fitted(positive: Bursts, negative: Bursts) -> dict[str, float]:
    """Fit; give the profile values by name, rounded as they are written."""
    x = [features(to_fit_on(rows)) for rows in (negative, positive)]
    y = np.repeat([0.0, 1.0], [len(part) for part in x])
    weight, bias = logistic_regression(np.concatenate(x), y)
    return {BIAS: round(bias, 4)} | {
        name: round(float(value), 4) for name, value in zip(WEIGHTS, weight, strict=True)
    }


def with_weights(receiver: Receiver, values: dict[str, float]) -> Receiver:
    """Put fitted weights into a receiver."""
    result = replace(receiver, **values)
    assert weights(result).tolist() == [values[name] for name in WEIGHTS]
    return result


def write_profile(path: Path, values: dict[str, float]) -> None:
    """Put values into a profile file; nothing but their value lines changes."""
    text = path.read_text(encoding="utf-8")
    for name, value in values.items():
        text, n_changed = re.subn(
            rf"(?m)^(\[{name}\]\nvalue = ).*$", rf"\g<1>{value!r}", text, count=1
        )
        if not n_changed:
            raise RuntimeError(f"{path.name} has no value line below [{name}]")
    path.write_text(text, encoding="utf-8")


def weights_table(values: dict[str, float]) -> Table:
    """Lay fitted values beside those of the profile files."""
    table = Table("value", "fitted", *PROFILES, title="Weights")
    receivers = [load_profile(name).receiver for name in PROFILES]
    for name, value in values.items():
        shipped = (f"{getattr(receiver, name):.4f}" for receiver in receivers)
        table.add_row(name, f"{value:.4f}", *shipped)
    return table


def likeness(values: dict[str, float], test: Without, keys: Presses) -> str:
    """Say how near the evidence of the fitted weights is to that of the profile's.

    Features overlap, so that weights may move against each other and the evidence stay.
    """
    shipped = load_profile("mask").receiver
    rows = to_fit_on(merged([*test.rows.values(), keys.rows]))
    old, new = evidence(rows, shipped), evidence(rows, with_weights(shipped, values))
    is_near = np.abs(old) < NEAR
    moved = (new - old)[is_near]
    return (
        f"Evidence of {len(rows)} held-out rows, fitted against profile: correlation "
        f"{np.corrcoef(old, new)[0, 1]:.4f}; where the profile says -{NEAR:g} to {NEAR:g} "
        f"({len(moved)} rows) it moves by {moved.mean():+.2f} in the mean, standard deviation "
        f"{moved.std():.2f}."
    )


def held_out_table(profile: str, values: dict[str, float], test: Without, keys: Presses) -> Table:
    """Count held-out rows above thresholds of evidence, under a profile's other limits."""
    shipped = load_profile(profile).receiver
    receiver = with_weights(shipped, values)
    shortest = receiver.min_tone_ms * RATE_HZ / 1000

    def judged(rows: Bursts) -> F64:
        return np.where(rows.duration >= shortest, evidence(rows, receiver), -np.inf)

    false = {name: judged(rows) for name, rows in test.rows.items()}
    true = judged(keys.rows)
    hours = (f"{name} ({test.hours[name]:.1f} h)" for name in false)
    table = Table(
        "evidence over",
        *hours,
        f"presses >= {LEAST_PRESS_MS:g} ms found",
        title=f"Held out, {profile}: rows of >= {receiver.min_tone_ms:g} ms per hour",
    )
    own = (shipped.evidence_near, shipped.evidence_anchor, shipped.evidence_sure)
    for threshold in sorted({*THRESHOLDS, *own}):
        hit = np.zeros(len(keys.is_long), bool)
        hit[keys.press[true > threshold]] = True
        per_hour = (
            f"{np.count_nonzero(value > threshold) / test.hours[name]:.2f}"
            for name, value in false.items()
        )
        table.add_row(f"{threshold:g}", *per_hour, f"{100 * hit[keys.is_long].mean():.2f} %")
    return table


def _background(files: list[training.SoundFile], *, held_out: bool) -> Background:
    kept = (
        file for number, file in enumerate(files) if (number % HELD_OUT == HELD_OUT - 1) == held_out
    )
    return training.read_background(kept)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--negatives", nargs="+", type=Path, metavar="DIR", default=[])
    parser.add_argument("--write", action="store_true", help="put the weights into the profiles")
    return parser.parse_args()


def main() -> None:
    """Fit, print, and write if asked to."""
    arguments = _arguments()
    console = Console()
    try:
        folders = arguments.negatives
        files = training.files_below(folders) if folders else training.files_of_packages()
        background = _background(files, held_out=False)
        train = without_digits(background)
        train_keys = presses(TRAIN_SEED, N_TRAIN, background)
        background = _background(files, held_out=True)
        test = without_digits(background)
        test_keys = presses(TEST_SEED, N_TEST, background)
    except (training.NoNegativesError, CodecMissingError) as error:
        raise SystemExit(str(error)) from None
    values = fitted(train_keys.rows, merged(train.rows.values()))
    console.print(weights_table(values))
    console.print(likeness(values, test, test_keys))
    for profile in PROFILES:
        console.print(held_out_table(profile, values, test, test_keys))
    if arguments.write:
        for profile in PROFILES:
            write_profile(FOLDER / f"{profile}.toml", values)


if __name__ == "__main__":
    main()
