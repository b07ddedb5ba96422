"""What the command line shows: lines, tables, progress and log, none of it a digit.

Rich and structlog are imported when something of theirs is shown; stdout carries results only.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

_log_level: str | None = None


def printable(text: str) -> str:
    """Take the sting out of a file name: it may hold line breaks and terminal commands."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def complain(text: str) -> None:
    """Say one line on stderr."""
    print(f"voicemask: {printable(text)}", file=sys.stderr)


def print_table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows of text under heads."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*heads)
    for row in rows:
        table.add_row(*(Text(printable(cell)) for cell in row))
    # Piped output is for other tools: rich would fold it at 80 columns.
    width = None if sys.stdout.isatty() else max(200, sum(_widths(heads, rows)))
    Console(file=sys.stdout, width=width).print(table)


def _widths(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[int]:
    for column in zip(heads, *rows, strict=True):
        yield max(map(len, column)) + 3


@contextmanager
def bar(label: str) -> Iterator[Callable[[float], None] | None]:
    """Show progress on stderr when it is a terminal; give what to tell the share done, 0 to 1."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(file=sys.stderr), transient=True) as progress:
        task = progress.add_task(printable(label).replace("[", r"\["), total=1.0)
        yield lambda share: progress.update(task, completed=share)


def start_log(level: str | None) -> None:
    """Log from this level on; None logs nothing."""
    global _log_level  # noqa: PLW0603, one log in a process
    _log_level = level


def log(event: str, **facts: Any) -> None:
    """Log a line at level info."""
    log_at("info", event, facts)


def log_at(level: str, event: str, facts: Mapping[str, Any]) -> None:
    """Log a line at a level: debug, info, warning or error."""
    if _log_level is None:
        return
    import structlog

    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.LogfmtRenderer(sort_keys=False),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_log_level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    getattr(structlog.get_logger(), level)(event, **facts)
