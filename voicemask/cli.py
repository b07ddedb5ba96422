"""The `voicemask` command: files and captures masked, listened to, checked; the media service.

Exit codes: 0 done; 1 `verify` found readable digits; 2 something given could not be used. Errors
are one line on stderr. Everything heavy is imported by the command that needs it.
"""

from __future__ import annotations

import functools
import os
import signal
import sys
from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, ParamSpec

import typer

import voicemask
from voicemask import listing
from voicemask.capture.policy import Fill, Policy
from voicemask.console import bar, complain, log, log_at, printable, start_log
from voicemask.errors import AudioFileError, ConfigError, InputError
from voicemask.recording import commands as recordings

if TYPE_CHECKING:
    from voicemask.config import Settings as Config
    from voicemask.replay.folder import FileResult
    from voicemask.replay.report import Settings

_READABLE: Final = 1
_UNUSABLE: Final = 2
_INTERRUPTED: Final = 128 + 2
_BROKEN_PIPE: Final = 128 + 13
_TERMINATED: Final = 128 + 15

app = typer.Typer(
    help="Keep keyed card digits out of recordings and captures.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
config_app = typer.Typer(
    help="Look at the configuration.", no_args_is_help=True, rich_markup_mode=None
)
app.add_typer(config_app, name="config")


class FilePolicy(StrEnum):
    """Policies of `mask`."""

    GUARD = "guard"
    CAPTURE = "capture"
    MUTE = "mute"


class CustomerSide(StrEnum):
    """Who of a captured call is the customer."""

    CALLER = "caller"
    CALLEE = "callee"


class OutputFormat(StrEnum):
    """How results are printed."""

    TABLE = "table"
    JSONL = "jsonl"


class LogLevel(StrEnum):
    """Least severe line that is logged."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


Format = Annotated[OutputFormat, typer.Option("--format", help="How to print.")]
Files = Annotated[list[Path], typer.Argument(metavar="FILE...", help="Audio files.")]
FillOption = Annotated[Fill | None, typer.Option(help="What stands in for tones. [default: noise]")]

_P = ParamSpec("_P")


def _edge(command: Callable[_P, int]) -> Callable[_P, None]:
    """Turn what a command returns or raises into an exit code and at most one line on stderr."""

    @functools.wraps(command)
    def run(*args: _P.args, **kwargs: _P.kwargs) -> None:
        try:
            code = command(*args, **kwargs)
            sys.stdout.flush()
        except InputError as error:
            complain(str(error))
            code = _UNUSABLE
        except BrokenPipeError:
            # Whoever read us has gone; without this the flush at exit would complain again.
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            code = _BROKEN_PIPE
        except KeyboardInterrupt:
            complain("interrupted; what is finished stays, nothing is half-written")
            code = _INTERRUPTED
        if code:
            raise typer.Exit(code)

    return run


@functools.cache
def _config() -> Config | None:
    """Read the configuration, if there is one."""
    has_variables = any(name.startswith("VOICEMASK_") for name in os.environ)
    if not has_variables and not Path("voicemask.toml").exists():
        return None
    from voicemask.config import load_settings

    return load_settings()


def _default(name: str, built_in: Any) -> Any:
    """Give the configured value of a setting, else the one built in."""
    configured = getattr(_config(), name, None)
    return built_in if configured is None else configured


def _for_each(files: Iterable[Path], work: Callable[[Path], int]) -> int:
    """Work through files; one that cannot be used does not stop the rest. The worst code wins."""
    worst = 0
    for path in files:
        try:
            worst = max(worst, work(path))
        except InputError as error:
            complain(str(error))
            worst = _UNUSABLE
    return worst


def _print_version(is_wanted: bool = True) -> None:
    if is_wanted:
        print(f"voicemask {voicemask.__version__}")
        raise typer.Exit


@app.callback()
@_edge
def _root(
    context: typer.Context,
    version: Annotated[  # noqa: ARG001, answered by its callback
        bool,
        typer.Option(
            "--version", help="Print the version.", callback=_print_version, is_eager=True
        ),
    ] = False,
    log_level: Annotated[
        LogLevel | None, typer.Option(help="Log to stderr from this level on. [default: no log]")
    ] = None,
) -> int:
    if context.invoked_subcommand == "media":
        from voicemask.media.start import Launched

        # it imports what it needs while we read the settings
        context.obj = Launched()
        context.call_on_close(context.obj.dismiss)
    start_log(log_level.value if log_level else _default("log_level", None))
    return 0


@app.command("version")
def print_version() -> None:
    """Print the version."""
    _print_version()


@app.command()
@_edge
def detect(
    files: Files,
    profile: Annotated[
        str, typer.Option(metavar="NAME", help="Receiver profile, or a TOML file.")
    ] = "decode",
    output: Format = OutputFormat.TABLE,
    reveal: Annotated[
        bool, typer.Option("--reveal", help="Print the keys themselves, not '*'.")
    ] = False,
) -> int:
    """List the key presses in audio files; without --reveal not which keys they are."""
    from voicemask.replay.listen import detect_file

    if reveal:
        complain("--reveal prints keys in clear: what this prints may be card data")
    has_many = len(files) > 1
    rows: list[list[str]] = []
    n_heard = 0

    def hear(path: Path) -> int:
        nonlocal n_heard
        with bar(path.name) as progress:
            heard = detect_file(path, profile, progress)
        n_heard += 1
        log("file read", file=str(path), n_key_presses=len(heard))
        for item in heard:
            key = item.digit.reveal() if reveal else "*"
            if output is OutputFormat.JSONL:
                print(listing.digit_line(item, key, path if has_many else None))
            else:
                rows.append(listing.digit_row(item, key, path))
        return 0

    code = _for_each(files, hear)
    # of files that could not be read there is nothing to count
    if output is OutputFormat.TABLE and n_heard:
        listing.print_digits(rows)
    return code


@app.command()
@_edge
def mask(
    source: Annotated[Path, typer.Argument(metavar="IN", help="Audio file, or a folder.")],
    target: Annotated[Path, typer.Argument(metavar="OUT", help="File or folder to write.")],
    policy: Annotated[
        FilePolicy | None,
        typer.Option(
            help="guard: only tones change; capture: tones are suppressed throughout; "
            "mute: nothing passes. [default: guard]"
        ),
    ] = None,
    fill: FillOption = None,
    profile: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Receiver profile, or a TOML file. [default: mask]"),
    ] = None,
    report: Annotated[
        Path | None, typer.Option(metavar="FILE.json", help="Write spans and levels here.")
    ] = None,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Processes for a folder. [default: one a core]")
    ] = None,
) -> int:
    """Write a copy of an audio file, or of a folder of them, that holds no key tones."""
    from voicemask.replay.report import Settings

    settings = Settings(
        Policy(policy.value) if policy else _file_policy(),
        fill or _default("fill", Fill.NOISE),
        profile or _default("profile", "mask"),
    )
    if source.is_dir():
        n_jobs = jobs or _default("jobs", None) or os.cpu_count() or 1
        return _mask_folder(source, target, settings, report, n_jobs)
    return _mask_file(source, target, settings, report)


def _file_policy() -> Policy:
    """A configured `open` is for replay: a file that is to be masked is masked."""
    name = _default("policy", "guard")
    return Policy.GUARD if name == "open" else Policy(name)


def _mask_file(source: Path, target: Path, settings: Settings, report: Path | None) -> int:
    from voicemask.replay.report import write_report
    from voicemask.replay.wav import mask_file

    if target.is_dir():
        target = target / source.name
    _refuse_report_over(report, source, target)
    with bar(source.name) as progress:
        done = mask_file(
            source,
            target,
            policy=settings.policy,
            fill=settings.fill,
            profile=settings.profile,
            progress=progress,
        )
    log("file masked", file=str(source), n_spans=len(done.spans))
    if report:
        write_report(report, done.as_json())
    print(
        f"{printable(str(target))}: {len(done.spans)} spans masked, "
        f"{done.masked_s:.1f} s of {done.duration_s * done.n_channels:.1f} s"
    )
    return 0


def _refuse_report_over(report: Path | None, source: Path, target: Path) -> None:
    if report and report.resolve() in (source.resolve(), target.resolve()):
        raise AudioFileError(str(report), "is IN or OUT", "give the report a name of its own")


def _mask_folder(
    source: Path, target: Path, settings: Settings, report: Path | None, n_jobs: int
) -> int:
    from voicemask.replay.folder import mask_folder
    from voicemask.replay.report import write_report

    with bar(source.name) as advance:

        def show(result: FileResult, share: float) -> None:
            if result.error:
                complain(result.error)
            log("file done", file=result.name, is_masked=result.error is None)
            if advance:
                advance(share)

        done = mask_folder(source, target, settings, n_jobs=n_jobs, progress=show)
    if report:
        write_report(report, done.as_json())
    print(done.summary())
    return _UNUSABLE if done.errors else 0


@app.command()
@_edge
def verify(files: Files, output: Format = OutputFormat.TABLE) -> int:
    """Look for digits a person could still read, with another method than masking uses.

    Exit code 0: clean; 1: digits readable; 2: a file could not be read.
    """
    from voicemask.replay.listen import audit_file

    rows: list[list[str]] = []

    def audit(path: Path) -> int:
        with bar(path.name) as progress:
            places = audit_file(path, progress)
        log("file verified", file=str(path), n_readable=len(places))
        if output is OutputFormat.JSONL:
            print(listing.verdict_line(path, places))
        else:
            rows.append(listing.verdict_row(path, places))
        return _READABLE if places else 0

    code = _for_each(files, audit)
    listing.print_verdicts(rows)
    return code


@app.command()
@_edge
def replay(
    capture: Annotated[Path, typer.Argument(metavar="CALL.pcap", help="pcap or pcapng file.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for what is written.")],
    policy: Annotated[
        Policy | None, typer.Option(help="What the agent's side may hear. [default: guard]")
    ] = None,
    fill: FillOption = None,
    customer: Annotated[
        CustomerSide | None,
        typer.Option(help="Whose keys are masked. [default: both sides']"),
    ] = None,
) -> int:
    """Mask the calls of a capture: packets, the recording of each call, a report."""
    from voicemask.replay.pcap import replay_capture
    from voicemask.replay.sip_trace import Side

    with bar(capture.name) as progress:
        calls = replay_capture(
            capture,
            out,
            policy or Policy(_default("policy", "guard")),
            fill or _default("fill", Fill.NOISE),
            customer=Side(customer.value) if customer else None,
            on_progress=progress,
        )
    listing.print_calls(calls)
    return 0


@app.command()
@_edge
def media(
    context: typer.Context,
    ng: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KIND:HOST:PORT",
            help="Serve the NG protocol here, udp: or tcp:; may be repeated. "
            "[default: udp:127.0.0.1:2223]",
        ),
    ] = None,
    rtp_address: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[NAME/]IP[!ADVERTISED]", help="Address for calls' audio; may be repeated."
        ),
    ] = None,
    rtp_ports: Annotated[
        str | None, typer.Option(metavar="FIRST-LAST", help="Ports for it. [default: 30000-39999]")
    ] = None,
    control: Annotated[
        str | None, typer.Option(metavar="unix:PATH", help="Socket that steers and tells.")
    ] = None,
    recordings: Annotated[
        str | None, typer.Option(metavar="DIR", help="Record calls into this folder.")
    ] = None,
    processes: Annotated[
        int | None, typer.Option(metavar="N", help="Media processes. [default: 1]")
    ] = None,
    vault: Annotated[
        str | None, typer.Option(metavar="unix:PATH", help="Socket that takes captured keys.")
    ] = None,
    recording_key: Annotated[
        str | None, typer.Option(metavar="FILE", help="Keys that lock recordings.")
    ] = None,
    metrics: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="Serve Prometheus metrics here.")
    ] = None,
    customer: Annotated[
        str | None,
        typer.Option(
            metavar="caller|callee|unknown",
            help="Who is the customer where nothing else tells. [default: unknown]",
        ),
    ] = None,
    policy: Annotated[
        str | None,
        typer.Option(metavar="guard|open", help="Policy outside capture. [default: guard]"),
    ] = None,
    method: Annotated[
        str | None,
        typer.Option(metavar="suppress|fill", help="How capture masks. [default: suppress]"),
    ] = None,
    fill: Annotated[
        str | None,
        typer.Option(
            metavar="noise|tone|silence", help="What stands in for tones. [default: noise]"
        ),
    ] = None,
    hold: Annotated[
        int | None,
        typer.Option(metavar="MS", help="Hold during capture. [default: what the method needs]"),
    ] = None,
    learning: Annotated[
        str | None,
        typer.Option(
            metavar="strict|symmetric", help="Sources packets are taken from. [default: symmetric]"
        ),
    ] = None,
    user: Annotated[
        str | None, typer.Option(metavar="NAME", help="Account to become after binding.")
    ] = None,
    log_level: Annotated[
        LogLevel | None, typer.Option(help="Log to stderr from this level on. [default: info]")
    ] = None,
) -> int:
    """Relay, mask and record calls, steered by Kamailio or OpenSIPS over the NG protocol."""
    options = locals()
    from voicemask.media.options import KEYS, make_settings
    from voicemask.media.supervisor import Supervisor

    given = _given({key: options[key] for key in KEYS})
    settings = make_settings(_media_defaults() | given)
    above = context.parent.params["log_level"] if context.parent else None
    level = log_level or above
    start_log(level.value if level else _default("log_level", LogLevel.INFO.value))
    return Supervisor(settings, log_at, launched=context.obj).run()


def _given(options: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in options.items() if value is not None}


def _media_defaults() -> dict[str, Any]:
    """Give the table [media] of the configuration."""
    config = _config()
    return {} if config is None else _given(config.media.model_dump())


def _recording_defaults() -> dict[str, Any]:
    """Give the configured folder of recordings and its key file."""
    given = _media_defaults()
    if "recordings" in given and "recording_key" not in given:
        from voicemask.media.options import key_file_beside

        given["recording_key"] = str(key_file_beside(Path(given["recordings"])))
    return given


@config_app.command("check")
@_edge
def check_config(
    file: Annotated[Path, typer.Argument(metavar="[FILE]", help="File to check.")] = Path(
        "voicemask.toml"
    ),
) -> int:
    """Say in words what is wrong with the configuration, or what it would do.

    Exit code 0: nothing is wrong; 2: something is.
    """
    from voicemask.config import read_settings
    from voicemask.media.check import explain, find_problems
    from voicemask.media.options import read_options

    if not file.exists() and file != Path("voicemask.toml"):
        raise ConfigError(str(file), "there is no such file", "name one")
    config, wrong = read_settings(file)
    given = _given(config.media.model_dump()) if config is not None else {}
    if given:
        settings, wrong = read_options(given)
        if settings is not None:
            wrong = find_problems(settings)
            print("\n".join(explain(settings)))
    elif config is not None:
        print("no [media] table: nothing to serve; the other settings are in order")
    for error in wrong:
        complain(str(error))
    return _UNUSABLE if wrong else 0


@app.command()
@_edge
def profiles(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="Profile to show, or a TOML file.")
    ] = None,
) -> int:
    """List the receiver profiles, or show the values of one with their sources."""
    if name is None:
        listing.print_profiles()
    else:
        listing.print_profile(name)
    return 0


@app.command(hidden=True)
@_edge
def demo(
    samples: Annotated[Path, typer.Option(metavar="DIR", help="Folder of the sample calls.")],
    headless: Annotated[  # noqa: ARG001, the panel to come opens a browser without it
        bool, typer.Option("--headless", help="Open no window.")
    ] = False,
) -> int:
    """Take the sample calls through every command and check what comes out."""
    from voicemask.replay.demo import run_demo

    return 1 if run_demo(samples, lambda line: print(line, flush=True)) else 0


app.add_typer(recordings.make_app(_edge, _recording_defaults), name="recordings")


def _stop(_signal_number: int, _frame: object) -> None:
    """End by an exception, so that unfinished output is removed on the way out."""
    raise SystemExit(_TERMINATED)


def main() -> None:
    """Run the command line."""
    # Before numpy is imported: a BLAS pool of many threads is slower beside a busy core.
    for name in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    signal.signal(signal.SIGTERM, _stop)
    app()
