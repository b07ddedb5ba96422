"""Talk-off: digits decoded where nobody pressed a key.

The corpus (2.5 h of prompts, 0.3 h of music on hold, beeps, chimes) is heard over three lines: as
a normal talker (-20 dBFS active level), as recorded through A-law, and through GSM. That makes
8.4 h of sound in which every digit is false. Then all of it again at six speeds, which moves every
pitch and formant: 50 h. spandsp hears the same 16-bit samples in the same run.

    python -m benchmarks.accuracy.talkoff            # 8.4 h, then six speeds; results/talkoff.json
    python -m benchmarks.accuracy.talkoff --normal   # without the six speeds
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from benchmarks.accuracy.results import write_result
from benchmarks.material import codecs, corpus
from benchmarks.peers import multimon, spandsp
from benchmarks.peers.receivers import ours_decodes

Audio = NDArray[np.float32]

LINES: Final[dict[str, Callable[[], Audio]]] = {
    "-20 dBFS": lambda: _everything(corpus.LEVEL_DBFS),
    "as recorded, A-law": lambda: codecs.alaw(_everything(None)),
    "GSM": lambda: codecs.gsm(_everything(corpus.LEVEL_DBFS)),
}
"""The lines the corpus is heard over: name and the whole of it."""

PIECE_S: Final = 600
"""Audio is handled in pieces of this length, so that memory stays small at every speed."""


def _everything(level_dbfs: float | None) -> Audio:
    return np.concatenate(
        [corpus.speech(level_dbfs), corpus.music(level_dbfs), corpus.signals(level_dbfs)]
    )


def _pieces(audio: Audio) -> Iterator[Audio]:
    size = PIECE_S * corpus.RATE_HZ
    for start in range(0, audio.size, size):
        yield audio[start : start + size]


def _ours(audio: Audio) -> int:
    return len(ours_decodes(audio))


def _spandsp(audio: Audio) -> int:
    return len(spandsp.decode_queue(spandsp.to_pcm(audio)))


def _multimon(audio: Audio) -> int:
    return len(multimon.decode(audio))


LISTENERS: Final[dict[str, Callable[[Audio], int]]] = {
    "voicemask": _ours,
    "spandsp": _spandsp,
    "multimon-ng": _multimon,
}


def false_digits(audio: Audio, speed: float, listeners: list[str]) -> tuple[float, dict[str, int]]:
    """Give hours heard and the false digits of each listener at that speed."""
    counts = dict.fromkeys(listeners, 0)
    n_samples = 0
    for piece in _pieces(audio):
        heard = piece if speed == 1.0 else corpus.at_speed(piece, speed)
        n_samples += heard.size
        for name in listeners:
            counts[name] += LISTENERS[name](heard)
    return n_samples / corpus.RATE_HZ / 3600, counts


def main() -> None:
    parser = argparse.ArgumentParser(description="Count digits decoded in digit-free sound.")
    parser.add_argument("--normal", action="store_true", help="at normal speed only")
    parser.add_argument("--listener", action="append", choices=list(LISTENERS))
    options = parser.parse_args()
    listeners = options.listener or list(LISTENERS)
    speeds = (1.0,) if options.normal else (1.0, *corpus.SPEEDS)
    table = Table("line", "speed", "hours", *listeners, title="False digits")
    rows: list[tuple[str, float, float, dict[str, int]]] = []
    for line, make in LINES.items():
        audio = make()
        for speed in speeds:
            hours, counts = false_digits(audio, speed, listeners)
            rows.append((line, speed, hours, counts))
            cells = (str(count) for count in counts.values())
            table.add_row(line, f"{speed:g}", f"{hours:.2f}", *cells)
    sums: dict[str, dict[str, float]] = {}
    for name, kept in (("normal speed", (1.0,)), ("six speeds", corpus.SPEEDS)):
        chosen = [(hours, counts) for _, speed, hours, counts in rows if speed in kept]
        if chosen:
            sums[name] = {"hours": round(sum(hours for hours, _ in chosen), 2)}
            sums[name] |= {key: sum(counts[key] for _, counts in chosen) for key in listeners}
            table.add_row(f"all, {name}", "", *(f"{value:g}" for value in sums[name].values()))
    Console(width=100).print(table)
    if not options.normal and len(listeners) == len(LISTENERS):
        by_row = [
            {"line": line, "speed": speed, "hours": round(hours, 3), **counts}
            for line, speed, hours, counts in rows
        ]
        figures = {"totals": sums, "rows": by_row}
        print(f"written: {write_result('talkoff', figures).name}")


if __name__ == "__main__":
    main()
