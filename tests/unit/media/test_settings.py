"""Settings from text: what is read, and in which words it is refused."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicemask.capture.policy import Fill, Method, Policy
from voicemask.errors import ConfigError
from voicemask.media.options import (
    KEYS,
    make_settings,
    ng_endpoint,
    port_range,
    read_options,
    rtp_address,
    slice_ports,
)
from voicemask.media.settings import Customer, NodeSettings, RtpAddress
from voicemask.ng.plan import Learning

WHOLE: dict[str, Any] = {
    "ng": ["udp:127.0.0.1:2223", "tcp:[::1]:2224"],
    "rtp_address": ["192.0.2.10", "pub/10.0.0.5!198.51.100.7", "2001:db8::1"],
    "rtp_ports": "40000-40999",
    "control": "unix:/run/voicemask/control.sock",
    "vault": "unix:/run/voicemask/vault.sock",
    "recordings": "/var/lib/voicemask",
    "recording_key": "/etc/voicemask/recording.key",
    "processes": 4,
    "metrics": "127.0.0.1:9101",
    "customer": "callee",
    "policy": "open",
    "method": "fill",
    "fill": "silence",
    "hold": 240,
    "learning": "strict",
    "user": "voicemask",
}


def test_whole_settings_are_read() -> None:
    settings = make_settings(WHOLE)
    assert set(WHOLE) == set(KEYS)
    assert settings.node == NodeSettings(
        addresses=(
            RtpAddress("192.0.2.10", "192.0.2.10"),
            RtpAddress("10.0.0.5", "198.51.100.7", "pub"),
            RtpAddress("2001:db8::1", "2001:db8::1"),
        ),
        first_port=40000,
        last_port=40999,
        policy=Policy.OPEN,
        customer=Customer.CALLEE,
        method=Method.FILL,
        fill=Fill.SILENCE,
        hold_ms=240,
        learning=Learning.STRICT,
    )
    assert settings.ng == ("udp:127.0.0.1:2223", "tcp:[::1]:2224")
    assert settings.control == Path("/run/voicemask/control.sock")
    assert settings.vault == Path("/run/voicemask/vault.sock")
    assert settings.recordings == Path("/var/lib/voicemask")
    assert (settings.n_processes, settings.metrics, settings.user) == (
        4,
        "127.0.0.1:9101",
        "voicemask",
    )


def test_an_address_for_audio_is_all_that_has_to_be_given() -> None:
    settings = make_settings({"rtp_address": "192.0.2.10"})
    assert settings.ng == ("udp:127.0.0.1:2223",)
    assert settings.node.policy is Policy.GUARD
    assert settings.node.customer is Customer.UNKNOWN


def test_several_come_in_one_text_from_a_variable() -> None:
    settings = make_settings({"rtp_address": "a/192.0.2.1, b/192.0.2.2", "ng": "udp:[::1]:1"})
    assert [address.name for address in settings.node.addresses] == ["a", "b"]


def test_endpoints_print_as_they_are_written() -> None:
    for text in ("udp:127.0.0.1:2223", "tcp:[::1]:2223"):
        assert str(ng_endpoint(text)) == text
    assert str(ng_endpoint("udp:localhost:2223")) == "udp:127.0.0.1:2223"


@pytest.mark.parametrize(
    "text", ["", "2223", "udp:2223", "udp:host.example:1", "udp:127.0.0.1:0", "udp:1.2.3.4:70000",
             "unix:/x", "udp:127.0.0.1:١"]
)  # fmt: skip
def test_an_ng_address_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="media setting 'ng'"):
        ng_endpoint(text)


@pytest.mark.parametrize(
    "text", ["", "host", "0.0.0.0", "1.2.3.4!::1", "a b/1.2.3.4", "1.2.3.4!", "::", "1.2.3.4!x"]
)
def test_an_rtp_address_that_is_none_is_refused(text: str) -> None:
    if text == "1.2.3.4!":
        assert rtp_address(text).advertised == "1.2.3.4"
        return
    with pytest.raises(ConfigError, match="rtp_address"):
        rtp_address(text)


def test_any_address_may_be_bound_where_another_is_told() -> None:
    assert rtp_address("0.0.0.0!192.0.2.1") == RtpAddress("0.0.0.0", "192.0.2.1")


@pytest.mark.parametrize("text", ["", "30000", "30000-", "2-1", "40000-30000", "80-90", "1-99999"])
def test_a_port_range_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="rtp_ports"):
        port_range(text)


def test_everything_wrong_is_told_at_once() -> None:
    wrong = {
        **WHOLE,
        "ng": "x",
        "rtp_ports": "x",
        "control": "/no/unix",
        "policy": "capture",
        "processes": 0,
        "hold": 5000,
        "user": "a b",
        "metrics": "9101",
        "learning": "all",
    }
    settings, errors = read_options(wrong)
    assert settings is None
    assert {error.subject for error in errors} == {
        f"media setting '{key}'" for key, value in wrong.items() if value != WHOLE[key]
    }
    assert all(error.cure for error in errors)


@pytest.mark.parametrize(
    ("changed", "key"),
    [
        ({"rtp_address": None}, "rtp_address"),
        ({"rtp_address": ["192.0.2.1", "192.0.2.2"]}, "rtp_address"),
        ({"ng": ["udp:127.0.0.1:1", "udp:localhost:1"]}, "ng"),
        ({"ng": []}, "ng"),
        ({"rtp_ports": "40000-40010"}, "rtp_ports"),
        ({"recordings": None}, "recording_key"),
    ],
)
def test_what_does_not_go_together_is_refused(changed: dict[str, Any], key: str) -> None:
    _, errors = read_options(WHOLE | changed)
    assert [error.subject for error in errors] == [f"media setting '{key}'"]


def test_an_error_does_not_repeat_the_value() -> None:
    _, errors = read_options(dict.fromkeys(KEYS, "4111111111111111"))
    assert errors
    assert not any("4111" in str(error) for error in errors)


@pytest.mark.parametrize("n_processes", [1, 2, 3, 7])
@pytest.mark.parametrize(("first", "last"), [(30000, 39999), (30001, 30100), (30000, 30029)])
def test_slices_of_ports_are_pairs_that_no_two_processes_share(
    n_processes: int, first: int, last: int
) -> None:
    node = NodeSettings((RtpAddress("192.0.2.1", "192.0.2.1"),), first, last)
    slices = [slice_ports(node, index, n_processes) for index in range(n_processes)]
    assert first <= slices[0][0]
    assert slices[-1][1] <= last
    for low, high in slices:
        assert high > low
    if n_processes > 1:
        assert all(low % 2 == 0 and high % 2 == 1 for low, high in slices)
        assert all(a[1] < b[0] for a, b in itertools.pairwise(slices))


def test_the_key_file_beside_a_folder_is_where_recordings_are_read_with_it() -> None:
    from voicemask.recording.keys import key_file_beside

    settings = make_settings({"rtp_address": "192.0.2.1", "recordings": "/srv/calls/"})
    assert settings.recording_key == key_file_beside(Path("/srv/calls/")) == Path("/srv/calls.key")


@given(
    given_options=st.dictionaries(
        st.sampled_from(KEYS),
        st.one_of(
            st.none(),
            st.text(max_size=30),
            st.integers(),
            st.booleans(),
            st.lists(st.text(max_size=9)),
        ),
    )
)
def test_any_value_is_read_or_refused_in_words(given_options: dict[str, Any]) -> None:
    settings, errors = read_options(given_options)
    assert (settings is None) == bool(errors)
    assert all(error.cure and "\n" not in str(error) for error in errors)
