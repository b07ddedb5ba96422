"""pytest fixtures for QA people, loaded by pytest itself once voicemask is installed.

    def test_our_recorder_keeps_no_digits(voicemask_call, assert_no_readable_digits):
        call = voicemask_call("4111111111111111")
        recording = our_recorder.record(call.audio[0], call.rate_hz)
        assert_no_readable_digits(recording, call.rate_hz)

pytest imports this module at every start, so it imports nothing heavy until a fixture is used.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from voicemask.synthetic import SyntheticCall

    Samples = NDArray[Any]
    Stretch = tuple[int, float, float]

_SHOWN: Final = 20


@pytest.fixture
def voicemask_call() -> Callable[..., SyntheticCall]:
    """Make calls with known digits: ``voicemask_call(keys, ...)``, see `synthetic.make_call`."""
    from voicemask.synthetic import make_call  # noqa: PLC0415 - start-up time of every pytest run

    return make_call


@pytest.fixture
def voicemask_mask_wav(tmp_path: Path) -> Callable[..., Path]:
    """Mask a file: ``voicemask_mask_wav(path, policy="guard", fill="noise") -> Path``.

    The result lies in the test's own ``tmp_path`` under the name ``NAME.masked.SUFFIX``.
    """

    def mask_wav(path: str | Path, policy: str = "guard", fill: str = "noise") -> Path:
        from voicemask.capture.policy import Fill, Policy  # noqa: PLC0415 - as above
        from voicemask.replay.wav import mask_file  # noqa: PLC0415 - as above

        source = Path(path)
        target = tmp_path / f"{source.stem}.masked{source.suffix}"
        mask_file(source, target, policy=Policy(policy), fill=Fill(fill))
        return target

    return mask_wav


@pytest.fixture
def assert_no_readable_digits() -> Callable[..., None]:
    """Assert that a person could read no digit out of a file or array.

    ``assert_no_readable_digits(path)`` or ``assert_no_readable_digits(audio, rate_hz)``, with audio
    (n,) or (n_channels, n), floats at full scale +-1.0 or integers at their own full scale. The
    AssertionError names channel (from 0) and times of each stretch, never a key.
    """
    return _assert_no_readable_digits


def _assert_no_readable_digits(audio: str | Path | Samples, rate_hz: int | None = None) -> None:
    __tracebackhide__ = True  # what pytest shows of a frame would include the audio
    if isinstance(audio, str | Path):
        found = _readable_in_file(Path(audio))
    elif rate_hz is None:
        raise TypeError("an array needs its rate: assert_no_readable_digits(audio, rate_hz)")
    else:
        found = _readable_in_array(audio, rate_hz)
    if found:
        shown = ", ".join(
            f"channel {channel} at {start_s:.2f}-{end_s:.2f} s"
            for channel, start_s, end_s in found[:_SHOWN]
        )
        more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        raise AssertionError(f"digits can be read: {shown}{more}")


def _readable_in_file(path: Path) -> list[Stretch]:
    from voicemask.replay.listen import audit_file  # noqa: PLC0415 - as above

    return [(item.channel, item.start_s, item.end_s) for item in audit_file(path)]


def _readable_in_array(audio: Samples, rate_hz: int) -> list[Stretch]:
    import numpy as np  # noqa: PLC0415 - as above

    from voicemask.dtmf.auditor import audit  # noqa: PLC0415 - as above

    values = np.asarray(audio)
    if np.issubdtype(values.dtype, np.unsignedinteger):
        raise TypeError("unsigned samples have no known zero: give signed integers or floats")
    full_scale = -float(np.iinfo(values.dtype).min) if values.dtype.kind == "i" else 1.0
    found = audit(values / full_scale, rate_hz)
    return [(item.channel, item.start / rate_hz, item.end / rate_hz) for item in found]
