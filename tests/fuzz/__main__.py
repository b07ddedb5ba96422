"""Fuzz one target with atheris: ``python -m tests.fuzz NAME [libFuzzer options] [corpus folder]``.

Without options it runs until it is stopped. ``-runs=N``, ``-max_total_time=SECONDS`` and
``-seed=N`` are libFuzzer's. An input that breaks a promise is written to the working folder as
``crash-*``; give its name in place of a corpus to run it again.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["voicemask"]):
    from tests.fuzz.targets import TARGETS


def main() -> None:
    if len(sys.argv) < 2 or sys.argv[1] not in TARGETS:
        sys.exit(f"usage: python -m tests.fuzz {{{','.join(TARGETS)}}} [libFuzzer options]")
    target = TARGETS[sys.argv[1]]
    with tempfile.TemporaryDirectory() as seeds:
        for number, seed in enumerate(target.seeds):
            Path(seeds, f"seed-{number}").write_bytes(seed)
        options = [f"-max_len={target.max_bytes}", "-timeout=60", "-rss_limit_mb=1024"]
        replays = any(Path(name).is_file() for name in sys.argv[2:])
        atheris.Setup(
            [sys.argv[0], *options, *sys.argv[2:], *([] if replays else [seeds])],
            lambda data: target.run(bytes(data)),
        )
        atheris.Fuzz()


if __name__ == "__main__":
    main()
