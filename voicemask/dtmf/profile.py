"""Detector profiles: limits as data, each with unit, source and status, checked on load.

Two kinds of file stand in the package ``voicemask_models``. A *receiver* profile (``rx/*.toml``)
holds the thresholds of our own analysis: `Receiver`. A *national* profile (``q24/*.toml``) holds
what ITU-T Q.24 Annex A says a receiver of that network must accept and must reject: `Limits`; used
as a profile it is the ``decode`` receiver with every threshold moved, where needed, into the range
between the two.

A dataclass field declares unit, range and meaning (`quantity`), the file gives the value with its
source and status. One more field in the dataclass and one more table in the files is all that a new
threshold takes; a file with a missing, unknown, wrongly scaled or unsourced value does not load.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields, replace
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, Final, Literal, TypeVar, cast

from voicemask.errors import ProfileError

Kind = Literal["receiver", "national"]

STATUSES: Final = ("verified", "unverified", "measured")
"""Read in the text named; quoted from memory; found by a benchmark of ours."""

FULL_SCALE_DBM0: Final = 3.17
"""Level of a full-scale sine in mu-law, ITU-T G.711 clause 4 (A-law: 3.14)."""

_LOWEST_TONE_HZ: Final = 697.0  # ITU-T Q.23: here an allowance in Hz weighs most
_FOLDERS: Final[Mapping[str, Kind]] = {"rx": "receiver", "q24": "national"}
_VALUE_KEYS: Final = frozenset({"value", "unit", "source", "status"})


def quantity(unit: str, minimum: float, maximum: float, doc: str, *, optional: bool = False) -> Any:
    """Declare a profile value: its unit, its sane range and what it means.

    Parameters
    ----------
    unit : unit that the file must state, ``"1"`` for a plain number.
    minimum, maximum : the value must lie in ``[minimum, maximum]``.
    doc : one line for people.
    optional : a standard may be silent on it; the field is then None.
    """
    metadata = {"unit": unit, "minimum": minimum, "maximum": maximum, "doc": doc}
    if optional:
        return field(default=None, metadata=metadata)
    return field(metadata=metadata)


@dataclass(frozen=True, slots=True, kw_only=True)
class Receiver:
    """Thresholds of our own analysis. Levels are dB relative to a full-scale sine, per tone."""

    gate_fit: float = quantity("1", 0, 1, "share of a block's energy the best pair must hold")
    gate_twist_db: float = quantity("dB", 0, 40, "the weaker tone of a block's pair, at most below")
    gate_level_dbfs: float = quantity("dBFS", -100, 0, "quieter blocks hold nothing to look at")
    run_fit_20_ms: float = quantity("1", 0, 1, "the same over a run of 20 ms, to be measured")
    run_fit_30_ms: float = quantity("1", 0, 1, "... of 30 ms")
    run_fit_40_ms: float = quantity("1", 0, 1, "... of 40 ms and more")
    min_tone_ms: float = quantity("ms", 1, 100, "shortest tone that counts")
    max_gap_ms: float = quantity("ms", 0, 100, "longest interruption bridged within one tone")
    level_min_dbfs: float = quantity("dBFS", -100, 0, "weaker tones do not count")
    twist_max_db: float = quantity("dB", 0, 40, "high group over low group, at most")
    twist_min_db: float = quantity("dB", -40, 0, "high group over low group, at least")
    deviation_max_percent: float = quantity("%", 0.1, 10, "each tone off its frequency, at most")
    evidence_sure: float = quantity("1", -50, 50, "evidence that needs no other")
    evidence_near: float = quantity("1", -50, 50, "evidence that does near a sure one")
    evidence_anchor: float = quantity("1", -50, 50, "evidence a sure one must have for that")
    evidence_row: float = quantity("1", -50, 50, "evidence that does where many stand in a row")
    context_ms: float = quantity("ms", 0, 10000, "how near that is")
    weight_bias: float = quantity("1", -100, 100, "evidence: constant")
    weight_duration: float = quantity("1", -100, 100, "evidence: per doubling of the length")
    weight_unexplained: float = quantity("1", -100, 100, "evidence: log10 of the share left over")
    weight_unexplained_blocks: float = quantity(
        "1", -100, 100, "evidence: the same, block by block"
    )
    weight_low_jitter: float = quantity("1", -100, 100, "evidence: per radian, low tone")
    weight_high_jitter: float = quantity("1", -100, 100, "evidence: per radian, high tone")
    weight_roughness: float = quantity("1", -100, 100, "evidence: spread of the power")
    weight_before: float = quantity("1", -100, 100, "evidence: amplitude left before the start")
    weight_after: float = quantity("1", -100, 100, "evidence: amplitude left after the end")
    weight_outside: float = quantity("1", -100, 100, "evidence: the larger of the two")
    weight_deviation: float = quantity("1", -100, 100, "evidence: per percent of deviation")
    weight_apart: float = quantity("1", -100, 100, "evidence: per percent between the tones'")
    weight_twist: float = quantity("1", -100, 100, "evidence: per dB of twist, from -1 dB")
    guard_ms: float = quantity("ms", 0, 500, "masked before and after what was detected")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a network's receivers must accept and must reject; None where the text is silent."""

    accept_deviation_percent: float = quantity("%", 0, 10, "accepted up to this deviation ...")
    accept_deviation_hz: float = quantity("Hz", 0, 50, "... plus this")
    reject_deviation_percent: float | None = quantity(
        "%", 0, 20, "rejected from this deviation", optional=True
    )
    accept_level_min_dbm: float | None = quantity(
        "dBm", -80, 20, "weakest tone accepted", optional=True
    )
    accept_level_max_dbm: float | None = quantity(
        "dBm", -80, 20, "strongest tone accepted", optional=True
    )
    reject_level_dbm: float | None = quantity("dBm", -80, 20, "rejected below", optional=True)
    twist_high_over_low_max_db: float = quantity("dB", 0, 40, "accepted up to, high group stronger")
    twist_low_over_high_max_db: float = quantity("dB", 0, 40, "accepted up to, low group stronger")
    accept_tone_ms: float = quantity("ms", 1, 500, "tones accepted from this length")
    reject_tone_ms: float = quantity("ms", 1, 500, "tones rejected below this length")
    accept_pause_ms: float = quantity("ms", 1, 500, "pauses separate digits from this length")
    bridge_interruption_ms: float = quantity("ms", 0, 500, "interruptions bridged up to this")
    digit_period_ms: float | None = quantity(
        "ms", 1, 1000, "shortest time per digit", optional=True
    )
    false_digits_max: float | None = quantity(
        "1", 0, 1000, "false digits on speech, at most ...", optional=True
    )
    false_digits_hours: float | None = quantity("h", 0, 1000, "... in this time", optional=True)
    false_digits_calls: float | None = quantity(
        "calls", 0, 1e6, "... or in this many calls", optional=True
    )

    @property
    def accept_deviation_total_percent(self) -> float:
        """Deviation to accept at the lowest tone, where the part in Hz weighs most."""
        return self.accept_deviation_percent + 100 * self.accept_deviation_hz / _LOWEST_TONE_HZ


@dataclass(frozen=True, slots=True)
class ProfileRow:
    """One value of a profile as the command line shows it."""

    key: str
    value: float
    unit: str
    source: str
    status: str


@dataclass(frozen=True, slots=True)
class Profile:
    """A named set of thresholds.

    Parameters
    ----------
    name : ``mask``, ``decode``, ``att`` ..., or the stem of a file of one's own.
    kind : ``receiver`` or ``national``.
    receiver : the thresholds detection runs with.
    limits : the national limits, for a national profile.
    rows : every value with unit, source and status.
    """

    name: str
    kind: Kind
    receiver: Receiver
    limits: Limits | None
    rows: tuple[ProfileRow, ...] = field(repr=False)


def profile_names() -> tuple[str, ...]:
    """Names `load_profile` knows, receivers first."""
    return tuple(_shipped())


def describe_profile(name: str | Path) -> list[ProfileRow]:
    """Give the values of a profile, in the order of the file's fields.

    Raises
    ------
    ProfileError
        As `load_profile`.
    """
    return list(load_profile(name).rows)


def load_profile(name: str | Path) -> Profile:
    """Load a shipped profile by name, or a TOML file by path.

    A text that ends in ``.toml`` or holds a path separator is a path; everything else is a name.

    Raises
    ------
    ProfileError
        The name is unknown, or the file is missing, is no TOML, or breaks a rule of its fields.
    """
    text = str(name)
    if isinstance(name, Path) or text.endswith(".toml") or "/" in text or "\\" in text:
        return _load_own_file(Path(name))
    return _load_shipped(text)


@cache
def _shipped() -> dict[str, tuple[Kind, Traversable]]:
    root = files("voicemask_models")
    found: dict[str, tuple[Kind, Traversable]] = {}
    for folder, kind in _FOLDERS.items():
        entries = sorted(root.joinpath(folder).iterdir(), key=lambda entry: entry.name)
        for entry in entries:
            if entry.name.endswith(".toml"):
                found[entry.name.removesuffix(".toml")] = (kind, entry)
    return found


@cache
def _load_shipped(name: str) -> Profile:
    try:
        kind, entry = _shipped()[name]
    except KeyError:
        known = ", ".join(profile_names())
        raise ProfileError(f"profile '{name}'", "is not known", f"use one of {known}") from None
    return _build(name, kind, entry.read_bytes(), str(entry.name))


def _load_own_file(path: Path) -> Profile:
    try:
        content = path.read_bytes()
    except OSError as error:
        reason = (error.strerror or "cannot be read").lower()
        raise ProfileError(str(path), reason, "give the path of a profile in TOML") from None
    return _build(path.stem, None, content, str(path))


def _build(name: str, kind: Kind | None, content: bytes, subject: str) -> Profile:
    tables = _parse(content, subject)
    kind = _kind_of(tables.pop("kind", None), kind, subject)
    if kind == "receiver":
        receiver, rows = _read_values(Receiver, tables, subject)
        return Profile(name, kind, receiver, None, tuple(rows))
    limits, rows = _read_values(Limits, tables, subject)
    receiver = fit_to(limits, _load_shipped("decode").receiver)
    rows += _receiver_rows(receiver, f"rx/decode, fitted to {subject}")
    return Profile(name, kind, receiver, limits, tuple(rows))


def _parse(content: bytes, subject: str) -> dict[str, Any]:
    try:
        return tomllib.loads(content.decode("utf-8"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        detail = str(error).splitlines()[0]
        raise ProfileError(subject, f"is no TOML ({detail})", "correct the line it names") from None


def _kind_of(stated: object, expected: Kind | None, subject: str) -> Kind:
    if stated not in _FOLDERS.values() or (expected is not None and stated != expected):
        wanted = f'"{expected}"' if expected else '"receiver" or "national"'
        raise ProfileError(
            subject, "kind is missing or wrong", f"write kind = {wanted} at the top of the file"
        )
    return cast(Kind, stated)


_T = TypeVar("_T", Receiver, Limits)


def _read_values(
    model: type[_T], tables: Mapping[str, Any], subject: str
) -> tuple[_T, list[ProfileRow]]:
    declared: dict[str, Field[Any]] = {item.name: item for item in fields(model)}
    for key in tables:
        if key not in declared:
            raise _broken(subject, key, "is not a value of this kind of profile", "remove it")
    rows = [
        _read_value(item, tables[name], subject)
        for name, item in declared.items()
        if _is_present(item, tables, subject)
    ]
    return model(**{row.key: row.value for row in rows}), rows


def _is_present(item: Field[Any], tables: Mapping[str, Any], subject: str) -> bool:
    if item.name in tables:
        return True
    if item.default is MISSING:
        meaning = item.metadata["doc"]
        raise _broken(subject, item.name, "is missing", f"add a table for it ({meaning})")
    return False


def _read_value(item: Field[Any], table: object, subject: str) -> ProfileRow:
    key, declared = item.name, item.metadata
    if not isinstance(table, dict) or set(table) != _VALUE_KEYS:
        raise _broken(
            subject, key, "is not a full value", "give value, unit, source and status, nothing else"
        )
    for name in ("source", "status"):
        if not isinstance(table[name], str) or not table[name].strip():
            raise _broken(subject, key, f"has no {name}", f"say its {name}")
    if table["status"] not in STATUSES:
        raise _broken(subject, key, "has an unknown status", f"use one of {', '.join(STATUSES)}")
    if table["unit"] != declared["unit"]:
        raise _broken(subject, key, "is in another unit", f'convert it to "{declared["unit"]}"')
    number = table["value"]
    if isinstance(number, bool) or not isinstance(number, int | float) or not math.isfinite(number):
        raise _broken(subject, key, "is not a finite number", "give a number")
    low, high = declared["minimum"], declared["maximum"]
    if not low <= number <= high:
        raise _broken(subject, key, "is out of range", f"keep it from {low:g} to {high:g}")
    return ProfileRow(key, float(number), declared["unit"], table["source"], table["status"])


def _broken(subject: str, key: str, rule: str, cure: str) -> ProfileError:
    return ProfileError(subject, f"{key} {rule}", cure)


def _receiver_rows(receiver: Receiver, source: str) -> Iterator[ProfileRow]:
    for item in fields(receiver):
        value = getattr(receiver, item.name)
        yield ProfileRow(item.name, value, item.metadata["unit"], source, "unverified")


def fit_to(limits: Limits, receiver: Receiver) -> Receiver:
    """Move a receiver's thresholds between what must be accepted and what must be rejected.

    A threshold that already lies in that range stays. Levels at the receiver are taken as dBm0, so
    that a full-scale sine is +3.17 dBm.

    References
    ----------
    ITU-T Q.24 Annex A; ITU-T G.711 for the level of full scale.
    """
    return replace(
        receiver,
        min_tone_ms=_between(receiver.min_tone_ms, limits.reject_tone_ms, limits.accept_tone_ms),
        max_gap_ms=_between(
            receiver.max_gap_ms, limits.bridge_interruption_ms, limits.accept_pause_ms
        ),
        level_min_dbfs=_between(
            receiver.level_min_dbfs,
            _dbfs(limits.reject_level_dbm),
            _dbfs(limits.accept_level_min_dbm),
        ),
        twist_max_db=_between(receiver.twist_max_db, limits.twist_high_over_low_max_db, None),
        twist_min_db=_between(receiver.twist_min_db, None, -limits.twist_low_over_high_max_db),
        deviation_max_percent=_between(
            receiver.deviation_max_percent,
            limits.accept_deviation_total_percent,
            limits.reject_deviation_percent,
        ),
    )


def _dbfs(level_dbm: float | None) -> float | None:
    return None if level_dbm is None else level_dbm - FULL_SCALE_DBM0


def _between(value: float, low: float | None, high: float | None) -> float:
    value = value if low is None else max(value, low)
    return value if high is None else min(value, high)
