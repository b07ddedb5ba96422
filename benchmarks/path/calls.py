"""The calls a relay is tried with: made once, spoken through every relay alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from benchmarks.leak.conditions import Condition, make_call_and_tones
from benchmarks.leak.press import RATE_HZ, Float32, Int64, LeakCall, samples
from benchmarks.material import corpus
from benchmarks.path.conditions import Carriage, PathCondition
from benchmarks.path.play import Parties
from benchmarks.path.script import FRAME_SAMPLES, from_pcmu, plain_script, to_pcmu, write_script

TALK_DBFS = -22.0


@dataclass(frozen=True, slots=True)
class PathCall:
    """One call of a condition, and what is known of it.

    Parameters
    ----------
    call : what the customer's audio was, decoded from what is sent; whole frames.
    tones : (n,) the tone pairs alone.
    tone_end : (n_presses,) where the audio's tone ends; before the press does where it is cut.
    payload : (n_frames, 160) uint8, the customer's audio as sent.
    agent_payload : the agent's.
    parties : the packets of both.
    """

    condition: PathCondition
    call: LeakCall
    tones: Float32
    tone_end: Int64
    payload: NDArray[np.uint8]
    agent_payload: NDArray[np.uint8]
    parties: Parties


def make_calls(
    conditions: Sequence[PathCondition], n_presses: int, seed: int = 1
) -> list[PathCall]:
    """Make one call of each condition."""
    talk = corpus.speech(TALK_DBFS)
    return [_make(condition, n_presses, seed, talk) for condition in conditions]


def _make(condition: PathCondition, n_presses: int, seed: int, talk: Float32) -> PathCall:
    call, tones = make_call_and_tones(condition.sound, n_presses, seed)
    if condition.carriage is Carriage.EVENT:
        call, tones = replace(call, audio=call.audio - tones), np.zeros_like(tones)
    rng = np.random.default_rng([seed, 7, *condition.name.encode()])
    payload = to_pcmu(call.audio)
    agent_payload = _speech(talk, len(payload), rng)
    audio = from_pcmu(payload).reshape(-1)
    clamp = samples(condition.sound.clamp_ms)
    ssrc = int(rng.integers(1, 1 << 31))
    parties = Parties(
        f"path {condition.name}",
        write_script(condition, call, payload, ssrc, rng),
        plain_script(agent_payload, ssrc + 1),
        audio.size,
        condition.negotiated,
    )
    return PathCall(
        condition,
        replace(call, audio=audio),
        tones[: audio.size],
        np.minimum(call.end, call.start + clamp) if clamp else call.end,
        payload,
        agent_payload,
        parties,
    )


def speech_calls(n_calls: int, seconds: float, seed: int = 1) -> list[PathCall]:
    """Make calls of talk alone, no key pressed, for what a relay does to speech."""
    talk = corpus.speech(TALK_DBFS)
    condition = PathCondition(Condition("speech", "speech"), "speech")
    none = np.zeros(0, np.int64)
    calls = []
    for index in range(n_calls):
        rng = np.random.default_rng([seed, index])
        payload = _speech(talk, round(seconds * RATE_HZ) // FRAME_SAMPLES, rng)
        agent_payload = _speech(talk, len(payload), rng)
        audio = from_pcmu(payload).reshape(-1)
        parties = Parties(
            f"speech {index}",
            plain_script(payload, 1000 + index),
            plain_script(agent_payload, 2000 + index),
            audio.size,
        )
        truth = LeakCall("speech", audio, none, none, none, none, none)
        calls.append(
            PathCall(condition, truth, np.zeros_like(audio), none, payload, agent_payload, parties)
        )
    return calls


def _speech(talk: Float32, n_frames: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    at = int(rng.integers(0, talk.size - n_frames * FRAME_SAMPLES))
    return to_pcmu(talk[at : at + n_frames * FRAME_SAMPLES])
