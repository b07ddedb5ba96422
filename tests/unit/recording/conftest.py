"""Keys, and a recording in the making."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from numpy.typing import NDArray

from voicemask.recording.keys import KeyRing
from voicemask.recording.metadata import Opening
from voicemask.recording.writer import RecordingWriter

RECORDING_ID = UUID("6f1c7a30-5a4e-4b83-9a0f-0d5f0e8c1a2b")
STARTED_AT = 1_735_732_800.25
Begin = Callable[..., RecordingWriter]


@pytest.fixture(scope="session")
def ring() -> KeyRing:
    return KeyRing.new()


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    return tmp_path / "recordings"


@pytest.fixture
def begin(recordings: Path, ring: KeyRing) -> Begin:
    """Begin a recording; what is not given has a default."""

    def start(recording_id: UUID = RECORDING_ID, **wishes: Any) -> RecordingWriter:
        return RecordingWriter.create(
            recordings,
            recording_id,
            wishes.pop("keys", ring),
            started_at=wishes.pop("started_at", STARTED_AT),
            rate_hz=wishes.pop("rate_hz", 8000),
            opening=wishes.pop("opening", Opening("call-1@example.org", "1001", "2002")),
            **wishes,
        )

    return start


@pytest.fixture
def speech() -> Callable[[int], NDArray[np.int16]]:
    """Give stereo audio of a length, always the same."""

    def make(n_samples: int) -> NDArray[np.int16]:
        noise = np.random.default_rng(7).normal(0, 3000, (n_samples, 2))
        return noise.astype(np.int16)

    return make
