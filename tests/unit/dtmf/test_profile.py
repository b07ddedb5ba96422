"""Profiles: what is shipped loads and means what Q.24 says; what is broken names its cure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path

import pytest

from voicemask.dtmf.profile import (
    Receiver,
    describe_profile,
    fit_to,
    load_profile,
    profile_names,
    quantity,
)
from voicemask.errors import ProfileError

NATIONAL = ("att", "australia", "brazil", "denmark", "etsi", "ntt")

Edit = Callable[[str], str]


@pytest.fixture
def own_text() -> str:
    """A whole receiver profile: every field mid-range; min_tone_ms at 23, and first."""
    text = 'kind = "receiver"\n'
    for item in sorted(fields(Receiver), key=lambda item: item.name != "min_tone_ms"):
        unit, low, high = (item.metadata[key] for key in ("unit", "minimum", "maximum"))
        value = 23 if item.name == "min_tone_ms" else (low + high) / 2
        text += f"[{item.name}]\nvalue = {value}\n"
        text += f'unit = "{unit}"\nsource = "a test"\nstatus = "unverified"\n'
    return text


@pytest.fixture
def edited(own_text: str, tmp_path: Path) -> Callable[[Edit], Path]:
    def write(edit: Edit) -> Path:
        path = tmp_path / "own.toml"
        path.write_text(edit(own_text), encoding="utf-8")
        return path

    return write


def replaced(old: str, new: str) -> Edit:
    def edit(text: str) -> str:
        assert old in text
        return text.replace(old, new, 1)

    return edit


def test_profile_names_lists_receivers_then_national_sets() -> None:
    assert profile_names() == ("decode", "mask", *NATIONAL)


@pytest.mark.parametrize("name", ["decode", "mask", *NATIONAL])
def test_profile_shipped_loads_and_every_value_has_unit_source_and_status(name: str) -> None:
    rows = describe_profile(name)
    assert rows
    assert all(row.unit and row.source and row.status for row in rows)


def test_profile_decode_ignores_tones_that_q24_rejects_and_bridges_a_10_ms_gap() -> None:
    receiver = load_profile("decode").receiver
    assert 23 <= receiver.min_tone_ms < 40
    assert receiver.max_gap_ms >= 10


def test_profile_mask_is_wider_than_decode() -> None:
    mask, decode = load_profile("mask").receiver, load_profile("decode").receiver
    assert mask.min_tone_ms < decode.min_tone_ms
    assert mask.level_min_dbfs <= decode.level_min_dbfs
    assert mask.deviation_max_percent >= decode.deviation_max_percent


@pytest.mark.parametrize("name", NATIONAL)
def test_profile_national_receiver_accepts_and_rejects_what_its_limits_say(name: str) -> None:
    profile = load_profile(name)
    assert profile.limits is not None
    limits, receiver = profile.limits, profile.receiver
    assert limits.reject_tone_ms <= receiver.min_tone_ms <= limits.accept_tone_ms
    assert limits.bridge_interruption_ms <= receiver.max_gap_ms <= limits.accept_pause_ms
    assert receiver.deviation_max_percent >= limits.accept_deviation_total_percent
    assert receiver.deviation_max_percent <= (limits.reject_deviation_percent or 100)
    assert receiver.twist_max_db >= limits.twist_high_over_low_max_db
    assert receiver.twist_min_db <= -limits.twist_low_over_high_max_db


def test_profile_denmark_counts_the_hertz_part_of_its_deviation() -> None:
    limits = load_profile("denmark").limits
    assert limits is not None
    assert limits.accept_deviation_total_percent == pytest.approx(1.5 + 200 / 697)


def test_profile_fit_keeps_thresholds_that_lie_between_accept_and_reject() -> None:
    limits = load_profile("att").limits
    assert limits is not None
    fitted = replace(load_profile("att").receiver, min_tone_ms=31.0, deviation_max_percent=2.2)
    assert fit_to(limits, fitted) == fitted


def test_profile_is_loaded_once() -> None:
    assert load_profile("mask") is load_profile("mask")


def test_profile_of_ones_own_loads_from_a_path(edited: Callable[[Edit], Path]) -> None:
    path = edited(replaced("value = 23\n", "value = 30.5\n"))
    profile = load_profile(str(path))
    assert (profile.name, profile.receiver.min_tone_ms) == ("own", 30.5)


def test_profile_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(ProfileError, match=r"'nokia' is not known|profile 'nokia'") as caught:
        load_profile("nokia")
    assert "decode" in caught.value.cure


def test_profile_missing_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(ProfileError, match="no such file"):
        load_profile(tmp_path / "absent.toml")


@pytest.mark.parametrize(
    ("edit", "rule"),
    [
        (replaced("[min_tone_ms]", "[min_tone]"), "min_tone is not a value"),
        (replaced("[guard_ms]", "[guard_ms_]"), "guard_ms_ is not a value"),
        (replaced('unit = "ms"', 'unit = "s"'), "min_tone_ms is in another unit"),
        (replaced("value = 23\n", "value = inf\n"), "min_tone_ms is not a finite number"),
        (replaced("value = 23\n", "value = true\n"), "min_tone_ms is not a finite number"),
        (replaced("value = 23\n", 'value = "23"\n'), "min_tone_ms is not a finite number"),
        (replaced("value = 23\n", "value = 2300\n"), "min_tone_ms is out of range"),
        (replaced("value = 23\n", ""), "min_tone_ms is not a full value"),
        (replaced("value = 23\n", "value = 23\nnote = 1\n"), "min_tone_ms is not a full value"),
        (replaced('status = "unverified"', 'status = "sure"'), "min_tone_ms has an unknown status"),
        (replaced('status = "unverified"', 'status = ""'), "min_tone_ms has no status"),
        (replaced('source = "', 'source = " "\n#'), "min_tone_ms has no source"),
        (replaced('kind = "receiver"', 'kind = "model"'), "kind is missing or wrong"),
        (replaced('kind = "receiver"', ""), "kind is missing or wrong"),
        (replaced('kind = "receiver"', "kind ="), "is no TOML"),
    ],
)
def test_profile_broken_file_names_file_key_rule_and_cure(
    edited: Callable[[Edit], Path], edit: Edit, rule: str
) -> None:
    path = edited(edit)
    with pytest.raises(ProfileError) as caught:
        load_profile(path)
    assert caught.value.subject == str(path)
    assert rule in caught.value.reason
    assert caught.value.cure


def test_profile_missing_value_is_named_with_its_meaning(tmp_path: Path, own_text: str) -> None:
    path = tmp_path / "short.toml"
    path.write_text(own_text.split("[guard_ms]", maxsplit=1)[0], encoding="utf-8")
    with pytest.raises(ProfileError, match=r"guard_ms is missing.*masked before and after"):
        load_profile(path)


def test_profile_values_cannot_be_changed() -> None:
    receiver = load_profile("decode").receiver
    with pytest.raises(AttributeError):
        receiver.min_tone_ms = 1.0  # type: ignore[misc]


def test_quantity_carries_unit_range_and_meaning() -> None:
    declared = Receiver.__dataclass_fields__["min_tone_ms"].metadata
    assert declared["unit"] == "ms"
    assert declared["minimum"] < declared["maximum"]
    assert quantity("dB", 0, 1, "x").metadata["doc"] == "x"
