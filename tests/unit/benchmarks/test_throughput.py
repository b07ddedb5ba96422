"""What the speed benchmark makes of its times."""

from __future__ import annotations

import pytest

from benchmarks.detect.throughput import WARM_UP_TICKS, file_figures, tick_figures


def test_the_ratio_of_a_file_is_that_of_neighbouring_runs() -> None:
    # the machine slowed down by four half way: each pair tells 2, the medians 1.8
    times = {"voicemask": [1.0, 1.0, 4.0, 4.0, 5.0], "spandsp": [2.0, 2.0, 7.2, 8.0, 10.0]}
    figures = file_figures(times, 3600.0)
    assert figures["ratio"] == 2.0
    assert figures["spandsp_s"] / figures["voicemask_s"] == pytest.approx(1.8)


def test_the_share_of_a_tick_counts_the_ticks_that_take_longer() -> None:
    n_rounds = 10
    times = {
        "ours": [9.0] * WARM_UP_TICKS + [0.001, 0.001, 0.004] * n_rounds,
        "ours float": [0.001] * (WARM_UP_TICKS + 3 * n_rounds),
        "calls": [9.0] * WARM_UP_TICKS + [0.003] * 3 * n_rounds,
        "no-op": [0.0] * WARM_UP_TICKS + [0.001] * 3 * n_rounds,
    }
    figures = tick_figures(times)
    assert (figures["voicemask_ms"], figures["voicemask_mean_ms"]) == (1.0, 2.0)
    assert (figures["spandsp_ms"], figures["spandsp_mean_ms"]) == (2.0, 2.0)
    assert (figures["share_of_spandsp"], figures["share_of_spandsp_median"]) == (1.0, 0.5)
