"""Settings from `voicemask.toml` in the working folder, or from `VOICEMASK_*` variables.

A command's option outweighs a variable, a variable the file, the file what is built in. The command
line imports this module only when one of the two is there: pydantic costs more start-up time than
masking a short file.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from voicemask.capture.policy import Fill
from voicemask.errors import ConfigError

FILE_NAME: Final = "voicemask.toml"
PREFIX: Final = "VOICEMASK_"


class MediaConfig(BaseModel):
    """The table [media], as text: `voicemask.media.options` reads it as it reads the options."""

    model_config = ConfigDict(extra="forbid")

    ng: list[str] | str | None = None
    rtp_address: list[str] | str | None = None
    rtp_ports: str | None = None
    control: str | None = None
    vault: str | None = None
    recordings: str | None = None
    recording_key: str | None = None
    processes: int | None = None
    metrics: str | None = None
    customer: str | None = None
    policy: str | None = None
    method: str | None = None
    fill: str | None = None
    hold: int | None = None
    learning: str | None = None
    user: str | None = None


class Settings(BaseSettings):
    """What the commands use where an option is not given; None is the command's own default."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_nested_delimiter="__", toml_file=FILE_NAME, extra="forbid"
    )

    policy: Literal["open", "guard", "capture", "mute"] | None = None
    fill: Fill | None = None
    profile: str | None = Field(default=None, min_length=1)
    jobs: int | None = Field(default=None, ge=1, le=1024)
    log_level: Literal["debug", "info", "warning", "error"] | None = None
    media: MediaConfig = MediaConfig()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003, the hook's signature
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Environment before file; no .env, no secrets folder."""
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)


def load_settings() -> Settings:
    """Read the configuration.

    Raises
    ------
    ConfigError
        The file is no TOML, or a value is unknown or out of range.
    """
    settings, wrong = read_settings(Path(FILE_NAME))
    if settings is None:
        raise wrong[0]
    return settings


def read_settings(path: Path) -> tuple[Settings | None, list[ConfigError]]:
    """Read a file and the variables; None with everything that is wrong."""

    class SettingsOfFile(Settings):
        model_config = SettingsConfigDict(toml_file=path)

    try:
        return SettingsOfFile(), []
    except ValidationError as error:
        return None, [_explain(item["loc"], item["msg"], path) for item in error.errors()]
    except (OSError, ValueError, SettingsError) as error:
        # a decoder's message may quote the line it stopped at
        reason = str(error).splitlines()[0]
        cure = "correct or remove it"
        return None, [ConfigError(str(path), f"cannot be read ({reason})", cure)]


def _explain(location: tuple[int | str, ...], message: str, path: Path) -> ConfigError:
    # alternatives of a type are no part of the name
    parts = [str(part) for part in location if str(part).isidentifier() and part != "str"]
    name = ".".join(parts)
    variable = PREFIX + "__".join(parts).upper()
    # The input is left out: a value in the wrong place may be a secret.
    cure = f"correct it in {path} or {variable}"
    return ConfigError(f"setting '{name}'", message.lower(), cure)
