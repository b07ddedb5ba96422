"""Evidence: high for what a keypad makes, low for what it does not, none for what it cannot."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from voicemask.dtmf.burst import BurstFinder, Bursts
from voicemask.dtmf.evidence import evidence, features, weights
from voicemask.dtmf.profile import load_profile
from voicemask.synthetic import make_call

RECEIVER = load_profile("decode").receiver


def bursts_of(keys: str = "5", **made: Any) -> Bursts:
    call = make_call(keys, **{"tone_ms": 50, "noise_dbfs": -60, **made})
    finder = BurstFinder(1, RECEIVER)
    return finder.push(call.audio).then(finder.flush())


def test_features_and_weights_have_one_order_and_length() -> None:
    bursts = bursts_of("123")
    assert features(bursts).shape == (len(bursts), len(weights(RECEIVER)))


def test_features_are_finite_for_extreme_bursts() -> None:
    bursts = bursts_of()
    for fit in (-1.0, 0.0, 1.0, 2.0):
        assert np.isfinite(features(replace(bursts, fit=np.array([fit])))).all()


def test_evidence_of_a_row_does_not_depend_on_the_others() -> None:
    bursts = bursts_of("0123456789", noise_dbfs=-25)
    whole = evidence(bursts, RECEIVER)
    alone = [evidence(bursts.take(np.array([k])), RECEIVER)[0] for k in range(len(bursts))]
    np.testing.assert_array_equal(whole, alone)


def test_evidence_of_a_clean_key_suffices_alone() -> None:
    assert evidence(bursts_of(), RECEIVER)[0] > RECEIVER.evidence_sure


def test_evidence_falls_with_noise() -> None:
    values = [evidence(bursts_of(noise_dbfs=noise), RECEIVER).max() for noise in (-40, -18, -14)]
    assert values[0] > values[1] > values[2]


def test_evidence_grows_with_length() -> None:
    burst = bursts_of()
    values = [
        evidence(replace(burst, duration=np.array([samples])), RECEIVER)[0]
        for samples in (200.0, 400.0, 800.0)
    ]
    np.testing.assert_allclose(np.diff(values), RECEIVER.weight_duration)
    assert RECEIVER.weight_duration > 0


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("low_deviation", RECEIVER.deviation_max_percent + 0.1),
        ("high_deviation", -RECEIVER.deviation_max_percent - 0.1),
        ("twist_db", RECEIVER.twist_max_db + 0.1),
        ("twist_db", RECEIVER.twist_min_db - 0.1),
        ("level_dbfs", RECEIVER.level_min_dbfs - 0.1),
    ],
)
def test_evidence_is_none_for_what_no_keypad_makes(field: str, value: float) -> None:
    bursts = replace(bursts_of(), **{field: np.array([value])})
    assert evidence(bursts, RECEIVER).tolist() == [-np.inf]
