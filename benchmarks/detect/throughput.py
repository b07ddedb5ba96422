"""How fast: one long file, a thousand streams in a 20 ms tick, and `voicemask mask` as a process.

Runs on one core and one BLAS thread. spandsp runs in the same process, alternating with ours, and
the ratio is the figure; absolute times depend on the machine. For the file it is the median of the
ratios of neighbouring runs. For the tick it is that of the means: our ticks are not alike, since
blocks that pass the gate are looked at every few ticks, and a median would not see those.

    python -m benchmarks.detect.throughput              # all three, and results/throughput.json
    python -m benchmarks.detect.throughput --only tick
"""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before numpy loads its BLAS

import argparse
import ctypes
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import soundfile
from numpy.typing import NDArray

from benchmarks.accuracy.results import write_result
from benchmarks.material import corpus
from benchmarks.material.codecs import to_int16
from benchmarks.material.keying import Keying, keyed
from benchmarks.peers import spandsp
from voicemask.dtmf.detector import Detector, detect

SEED: Final = 5
RATE_HZ: Final = 8000
HOUR_SAMPLES: Final = 3600 * RATE_HZ
N_STREAMS: Final = 1000
TICK_SAMPLES: Final = 160

WARM_UP_TICKS: Final = 50

Pcm = NDArray[np.int16]
Times = dict[str, list[float]]


def pin_to_one_core() -> None:
    """Keep this process and its children on one core."""
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def hour_of_calls() -> Pcm:
    """An hour of prompts with a keyed card number (16 digits) every minute. Shape (n,), 8 kHz."""
    rng = np.random.default_rng(SEED)
    speech = np.resize(corpus.speech(), HOUR_SAMPLES)
    for start in range(30 * RATE_HZ, HOUR_SAMPLES - 10 * RATE_HZ, 60 * RATE_HZ):
        card = keyed(Keying(n_keys=16), rng).audio
        under = speech[start : start + card.size] / 8
        speech[start : start + card.size] = np.clip(under + card, -1.0, 1.0)
    return to_int16(speech)


def _timed(work: Callable[[], object]) -> float:
    """Seconds of processor time: with one thread the same as on the clock of an idle machine."""
    begin = time.process_time()
    work()
    return time.process_time() - begin


def _alternating(runs: int, **works: Callable[[], object]) -> Times:
    """Run each work in turn, `runs` times, after one warm-up; give the seconds of every run."""
    times: Times = {name: [] for name in works}
    for turn in range(runs + 1):
        for name, work in works.items():
            elapsed = _timed(work)
            if turn:
                times[name].append(elapsed)
    return times


def file_figures(times: Times, audio_s: float) -> dict[str, float]:
    """Give medians, and the median of the ratios of the runs that followed each other.

    Parameters
    ----------
    times : seconds of the alternating runs of ``voicemask`` and ``spandsp``, equally many.
    audio_s : length of the audio.
    """
    median_s = {name: statistics.median(values) for name, values in times.items()}
    pairs = zip(times["spandsp"], times["voicemask"], strict=True)
    return {
        **{f"{name}_s": round(value, 4) for name, value in median_s.items()},
        **{f"{name}_times_real_time": round(audio_s / value) for name, value in median_s.items()},
        "ratio": round(statistics.median(theirs / ours for theirs, ours in pairs), 2),
    }


def one_file(runs: int) -> dict[str, Any]:
    """Detect over one hour of 16-bit samples in memory; spandsp gets them in one call."""
    pcm = hour_of_calls()
    lib = spandsp.library()
    n_found = {"voicemask": 0}

    def ours() -> None:
        n_found["voicemask"] = len(detect(pcm))

    def theirs() -> None:
        receiver = spandsp.new_receiver()
        lib.dtmf_rx(receiver, pcm.ctypes.data, pcm.size)
        spandsp.free_receiver(receiver)

    times = _alternating(runs, voicemask=ours, spandsp=theirs)
    audio_s = pcm.size / RATE_HZ
    return {
        "audio_s": audio_s,
        "digits_found": n_found["voicemask"],
        **file_figures(times, audio_s),
    }


def _call_each(function: Callable[..., object], *columns: list[Any]) -> None:
    """Call a function of C for each row, with no Python code in the loop."""
    deque(map(function, *columns), maxlen=0)


def thousand_streams(n_ticks: int) -> dict[str, Any]:
    """Feed 1000 streams 20 ms at a time.

    spandsp is called once per stream and tick through `map`; what that costs in Python is measured
    with the same calls on no samples and subtracted.
    """
    pcm = hour_of_calls()
    rng = np.random.default_rng(SEED)
    starts = rng.integers(0, pcm.size - n_ticks * TICK_SAMPLES, N_STREAMS)
    streams = np.stack([pcm[start : start + n_ticks * TICK_SAMPLES] for start in starts])
    detector = Detector(N_STREAMS)
    dtmf_rx = spandsp.library().dtmf_rx
    receivers = [ctypes.c_void_p(spandsp.new_receiver()) for _ in range(N_STREAMS)]
    size, none = [ctypes.c_int(TICK_SAMPLES)] * N_STREAMS, [ctypes.c_int(0)] * N_STREAMS
    times: Times = {name: [] for name in ("ours", "ours float", "calls", "no-op")}
    detector_float = Detector(N_STREAMS)
    for tick in range(n_ticks):
        block = np.ascontiguousarray(streams[:, tick * TICK_SAMPLES : (tick + 1) * TICK_SAMPLES])
        as_float = block.astype(np.float32) / np.float32(32768)
        row = block.strides[0]
        at = [ctypes.c_void_p(block.ctypes.data + row * i) for i in range(N_STREAMS)]
        times["ours"].append(_timed(partial(detector.push, block)))
        times["calls"].append(_timed(partial(_call_each, dtmf_rx, receivers, at, size)))
        times["no-op"].append(_timed(partial(_call_each, dtmf_rx, receivers, at, none)))
        times["ours float"].append(_timed(partial(detector_float.push, as_float)))
    for receiver in receivers:
        spandsp.free_receiver(receiver.value or 0)
    return {"streams": N_STREAMS, "ticks": n_ticks, **tick_figures(times)}


def tick_figures(times: Times) -> dict[str, float]:
    """Give medians, means and their ratios; the first second, which fills buffers, left out.

    Parameters
    ----------
    times : seconds of each tick: ``ours``, ``ours float``, ``calls`` of spandsp, and ``no-op``,
        those same calls on no samples, which are subtracted.
    """
    ms = {name: np.array(values[WARM_UP_TICKS:]) * 1000 for name, values in times.items()}
    median = {name: float(np.median(values)) for name, values in ms.items()}
    mean = {name: float(np.mean(values)) for name, values in ms.items()}
    net_median, net_mean = median["calls"] - median["no-op"], mean["calls"] - mean["no-op"]
    figures = {
        "voicemask_ms": median["ours"],
        "voicemask_mean_ms": mean["ours"],
        "voicemask_p99_ms": float(np.percentile(ms["ours"], 99)),
        "voicemask_float32_ms": median["ours float"],
        "voicemask_float32_mean_ms": mean["ours float"],
        "spandsp_with_call_cost_ms": median["calls"],
        "call_cost_ms": median["no-op"],
        "spandsp_ms": net_median,
        "spandsp_mean_ms": net_mean,
    }
    return {
        **{name: round(value, 3) for name, value in figures.items()},
        "share_of_spandsp": round(mean["ours"] / net_mean, 2),
        "share_of_spandsp_median": round(median["ours"] / net_median, 2),
    }


_CHILD: Final = """
import resource, subprocess, sys, time
begin = time.perf_counter()
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)
elapsed = time.perf_counter() - begin
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(elapsed, used.ru_utime + used.ru_stime, used.ru_maxrss)
"""


def mask_process(runs: int) -> dict[str, Any]:
    """Time `voicemask mask` on a one-hour WAV, start-up included, and its peak memory."""
    program = Path(sys.executable).with_name("voicemask")
    wall, processor, peak_kib = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        source, sink = Path(folder, "in.wav"), Path(folder, "out.wav")
        soundfile.write(source, hour_of_calls(), RATE_HZ, subtype="PCM_16")
        for _ in range(runs + 1):
            sink.unlink(missing_ok=True)
            command = [sys.executable, "-c", _CHILD, str(program), "mask", str(source), str(sink)]
            run = subprocess.run(command, check=True, capture_output=True, text=True)
            elapsed, used, peak = run.stdout.split()[-3:]
            wall.append(float(elapsed))
            processor.append(float(used))
            peak_kib.append(int(peak))
        n_samples = soundfile.info(sink).frames
    wall_s, processor_s = statistics.median(wall[1:]), statistics.median(processor[1:])
    return {
        "audio_s": n_samples / RATE_HZ,
        "wall_s": round(wall_s, 3),
        "times_real_time": round(n_samples / RATE_HZ / wall_s),
        "processor_s": round(processor_s, 3),
        "times_real_time_of_processor": round(n_samples / RATE_HZ / processor_s),
        "peak_mb": round(max(peak_kib) * 1024 / 1e6),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure speed on one core.")
    parser.add_argument("--only", choices=("file", "tick", "mask"))
    parser.add_argument("--runs", type=int, default=9)
    parser.add_argument("--ticks", type=int, default=500)
    options = parser.parse_args()
    pin_to_one_core()
    works: dict[str, Callable[[], dict[str, Any]]] = {
        "file": lambda: one_file(options.runs),
        "tick": lambda: thousand_streams(options.ticks),
        "mask": lambda: mask_process(min(5, options.runs)),
    }
    figures: dict[str, Any] = {"python": platform.python_version(), "numpy": np.__version__}
    for name, work in works.items():
        if options.only in (None, name):
            figures[name] = work()
            print(f"{name}:")
            for key, value in figures[name].items():
                print(f"  {key:30s}{value}")
    if options.only is None:
        print(f"written: {write_result('throughput', figures).name}")


if __name__ == "__main__":
    main()
