"""Warming up: calls may go on meanwhile, and it says when it is done."""

from __future__ import annotations

import threading
import time

import pytest

from voicemask.audio.codecs import make_codec
from voicemask.capture.policy import Method
from voicemask.errors import CodecError
from voicemask.media import warmup
from voicemask.media.loop import Loop


def test_warm_up_does_not_hold_the_loop_while_it_waits_for_imports(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loaded = threading.Event()
    warmed: list[str] = []
    monkeypatch.setattr(
        warmup, "_run_leg", lambda kind, method: warmed.append(f"{kind.encoding} {method.value}")
    )
    monkeypatch.setattr(warmup.importlib, "import_module", lambda _name: loaded.wait(10))
    monkeypatch.setattr(warmup, "_LOOK_S", 0.001)
    errors: list[BaseException] = []
    done: list[bool] = []
    loop = Loop(errors.append)
    warm = warmup.WarmUp(loop, lambda: done.append(True))
    assert {name.split()[0] for name in warmed} == {"PCMU", "PCMA"}
    for _ in range(5):
        loop.run_once(0.1)
    assert (len(warmed), done) == (4, [])
    loaded.set()
    warm._thread.join(10)
    end_s = time.monotonic() + 10
    while not done and time.monotonic() < end_s:
        loop.run_once(0.1)
    assert done == [True]
    methods = [method.value for method in Method]
    assert warmed[4:] == [f"{name} {method}" for name in ("G722", "OPUS") for method in methods]
    for _ in range(3):
        loop.run_once(0.005)
    assert done == [True]
    loop.close()
    assert errors == []


@pytest.mark.parametrize("kind", [*warmup._NARROW, *warmup._WIDE], ids=lambda kind: kind.encoding)
@pytest.mark.parametrize("method", list(Method))
def test_every_codec_is_run_by_every_method(
    kind: warmup.PayloadType, method: Method, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[int] = []
    make = warmup.make_payloads
    monkeypatch.setattr(
        warmup, "make_payloads", lambda ready: made.append(len(ready)) or make(ready)
    )
    try:
        make_codec(kind)
    except CodecError:  # pragma: no cover
        pytest.fail("a codec of the warm-up is unknown")
    warmup._run_leg(kind, method)
    assert sum(made) == warmup._N_PACKETS
