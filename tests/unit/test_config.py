"""Defaults from a file and from the environment."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from voicemask.capture.policy import Fill
from voicemask.config import load_settings
from voicemask.errors import ConfigError


@pytest.fixture(autouse=True)
def empty_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.startswith("VOICEMASK_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def test_settings_come_from_the_file() -> None:
    Path("voicemask.toml").write_text('policy = "mute"\nfill = "tone"\njobs = 3\n')
    settings = load_settings()
    assert (settings.policy, settings.fill, settings.jobs) == ("mute", Fill.TONE, 3)


def test_the_environment_outweighs_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("voicemask.toml").write_text('profile = "att"\n')
    monkeypatch.setenv("VOICEMASK_PROFILE", "ntt")
    assert load_settings().profile == "ntt"


def test_what_is_not_set_is_left_to_the_command() -> None:
    assert load_settings().policy is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('policy = "loud"', "setting 'policy'"),
        ("jobs = 0", "setting 'jobs'"),
        ("unheard = 1", "setting 'unheard'"),
        ("policy = ", "cannot be read"),
    ],
)
def test_a_wrong_file_is_refused_in_one_line(text: str, said: str) -> None:
    Path("voicemask.toml").write_text(text)
    with pytest.raises(ConfigError, match=said) as caught:
        load_settings()
    assert "\n" not in str(caught.value)


def test_an_error_does_not_repeat_the_value() -> None:
    Path("voicemask.toml").write_text('jobs = "4111111111111111x"')
    with pytest.raises(ConfigError) as caught:
        load_settings()
    assert "4111" not in str(caught.value)


def test_media_settings_come_from_their_table() -> None:
    Path("voicemask.toml").write_text(
        '[media]\nng = ["udp:127.0.0.1:2223"]\nrtp_address = "192.0.2.1"\nprocesses = 2\n'
    )
    media = load_settings().media
    assert media.ng == ["udp:127.0.0.1:2223"]
    assert (media.rtp_address, media.processes, media.hold) == ("192.0.2.1", 2, None)


def test_media_settings_come_from_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("voicemask.toml").write_text('[media]\nrtp_address = "192.0.2.1"\nfill = "tone"\n')
    monkeypatch.setenv("VOICEMASK_MEDIA__RTP_ADDRESS", "192.0.2.2, 2001:db8::1")
    monkeypatch.setenv("VOICEMASK_MEDIA__PROCESSES", "4")
    monkeypatch.setenv("VOICEMASK_MEDIA__NG", '["udp:127.0.0.1:2223", "tcp:127.0.0.1:2223"]')
    media = load_settings().media
    assert media.rtp_address == "192.0.2.2, 2001:db8::1"
    assert (media.processes, media.fill) == (4, "tone")
    assert media.ng == ["udp:127.0.0.1:2223", "tcp:127.0.0.1:2223"]


def test_media_settings_have_the_names_of_the_options() -> None:
    from voicemask.config import MediaConfig
    from voicemask.media.options import KEYS

    assert set(MediaConfig.model_fields) == set(KEYS)


def test_all_that_is_wrong_is_told_with_place_and_cure() -> None:
    from voicemask.config import read_settings

    path = Path("other.toml")
    path.write_text('fill = "music"\n[media]\nhold = "long"\nholds = 3\nng = 5\n')
    settings, wrong = read_settings(path)
    assert settings is None
    subjects = {error.subject for error in wrong}
    assert subjects == {
        "setting 'fill'",
        "setting 'media.hold'",
        "setting 'media.holds'",
        "setting 'media.ng'",
    }
    cures = {error.cure for error in wrong}
    assert "correct it in other.toml or VOICEMASK_MEDIA__HOLD" in cures
