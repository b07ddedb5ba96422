"""Defaults of the command line: `voicemask.toml` in the working folder, or `VOICEMASK_*` variables.

A command's option outweighs a variable, a variable the file, the file what is built in. The command
line imports this module only when one of the two is there: pydantic costs more start-up time than
masking a short file.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final, Literal

from pydantic import Field, ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from voicemask.capture.policy import Fill
from voicemask.errors import ConfigError

FILE_NAME: Final = "voicemask.toml"
PREFIX: Final = "VOICEMASK_"


class Settings(BaseSettings):
    """What the commands use where an option is not given; None is the command's own default."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, toml_file=FILE_NAME, extra="forbid")

    policy: Literal["open", "guard", "capture", "mute"] | None = None
    fill: Fill | None = None
    profile: str | None = Field(default=None, min_length=1)
    jobs: int | None = Field(default=None, ge=1, le=1024)
    log_level: Literal["debug", "info", "warning", "error"] | None = None

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
    try:
        return Settings()
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"]))
        # The input is left out: a value in the wrong place may be a secret.
        raise ConfigError(
            f"setting '{name}'",
            first["msg"].lower(),
            f"correct it in {FILE_NAME} or {PREFIX}{name.upper()}",
        ) from None
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(
            str(Path(FILE_NAME)), f"cannot be read ({reason})", "correct or remove it"
        ) from None
