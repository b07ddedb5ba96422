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
