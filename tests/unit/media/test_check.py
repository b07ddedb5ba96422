"""What `config check` says before a service starts."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from voicemask.errors import ConfigError
from voicemask.media.check import explain, find_problems
from voicemask.media.options import make_settings
from voicemask.recording.keys import create_keys


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def given(tmp_path: Path) -> dict[str, Any]:
    """A service that could start."""
    key = tmp_path / "recording.key"
    create_keys(key)
    return {
        "ng": f"udp:127.0.0.1:{free_port()}",
        "rtp_address": ["127.0.0.1", "::1"],
        "rtp_ports": "30000-30999",
        "control": f"unix:{tmp_path}/control.sock",
        "vault": f"unix:{tmp_path}/vault.sock",
        "recordings": str(tmp_path / "recordings"),
        "recording_key": str(key),
        "metrics": f"127.0.0.1:{free_port()}",
    }


def problems(given: dict[str, Any]) -> list[ConfigError]:
    return find_problems(make_settings(given))


def test_a_service_that_could_start_has_no_problem(given: dict[str, Any]) -> None:
    assert problems(given) == []


def test_what_it_would_do_is_said_in_words(given: dict[str, Any]) -> None:
    said = explain(make_settings(given | {"policy": "open", "rtp_address": "in/0.0.0.0!192.0.2.1"}))
    assert f"serves NG on {given['ng']}" in said
    assert "relays audio on 0.0.0.0 as interface 'in', told to others as 192.0.2.1" in said
    assert "uses ports 30000-30999: room for 250 calls" in said
    assert any("masks nothing outside capture" in line for line in said)
    assert any(given["recordings"] in line for line in said)


def test_what_it_would_not_do_is_said_too() -> None:
    said = explain(make_settings({"rtp_address": "192.0.2.1"}))
    assert {"records nothing", "has no control socket", "serves no metrics"} <= set(said)


def _others_may_read(given: dict[str, Any]) -> None:
    Path(given["recording_key"]).chmod(0o644)


def _no_key_inside(given: dict[str, Any]) -> None:
    Path(given["recording_key"]).write_text("nothing")


def _ports_hold_ng(given: dict[str, Any]) -> None:
    given |= {"ng": "udp:127.0.0.1:40000", "rtp_ports": "39000-41000"}


@pytest.mark.parametrize(
    ("key", "spoil"),
    [
        ("rtp_address", lambda given: given.update(rtp_address="192.0.2.77")),
        ("ng", lambda given: given.update(ng="udp:192.0.2.77:2223")),
        ("metrics", lambda given: given.update(metrics="192.0.2.77:9101")),
        ("control", lambda given: given.update(control="unix:/nonexistent/control.sock")),
        ("control", lambda given: given.update(control=f"unix:{given['recording_key']}")),
        ("vault", lambda given: given.update(vault="unix:/nonexistent/vault.sock")),
        ("recordings", lambda given: given.update(recordings=f"{given['recording_key']}/x")),
        ("recording_key", lambda given: given.update(recording_key="/nonexistent/key")),
        ("recording_key", _others_may_read),
        ("recording_key", _no_key_inside),
        ("rtp_ports", _ports_hold_ng),
        ("user", lambda given: given.update(user="no-such-account")),
    ],
)
def test_what_the_machine_has_against_it_is_named_with_a_cure(
    given: dict[str, Any], key: str, spoil: Callable[[dict[str, Any]], None]
) -> None:
    spoil(given)
    found = problems(given)
    assert [problem.subject for problem in found] == [f"media setting '{key}'"]
    assert found[0].cure


@pytest.mark.skipif(os.geteuid() != 0, reason="root owns what others do not")
def test_a_key_the_account_cannot_read_is_named(given: dict[str, Any]) -> None:
    (problem,) = problems(given | {"user": "nobody"})
    assert problem.cure.startswith("chown nobody ")


def test_a_range_that_others_hold_is_named(given: dict[str, Any]) -> None:
    with contextlib.ExitStack() as held:
        for port in range(45000, 45004):
            holder = held.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            with contextlib.suppress(OSError):
                holder.bind(("127.0.0.1", port))
        (problem,) = problems(given | {"rtp_ports": "45000-45003"})
    assert "4 of 4 ports" in problem.reason


def test_a_taken_port_is_named(given: dict[str, Any]) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as holder:
        holder.bind(("127.0.0.1", int(given["ng"].rsplit(":", 1)[1])))
        (problem,) = problems(given)
    assert "cannot be bound" in problem.reason
