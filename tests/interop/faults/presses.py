"""Presses in known places, and what receivers and an attacker make of what came of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.stats import binom

from benchmarks.leak.attacks import likelihood_attacks
from benchmarks.leak.press import LeakCall
from tests.interop.hearing import Samples, assert_no_tone, audio_of, event_keys
from tests.interop.line import FRAME, Line
from voicemask.audio.g711 import Law, encode
from voicemask.synthetic import make_call

KEYS = "123A456B789C*0#D"


class Presses:
    """Random keys, spoken once.

    Parameters
    ----------
    n_presses : of random keys.
    tone_ms, pause_ms : rhythm.
    """

    def __init__(self, n_presses: int, seed: int, tone_ms: int = 80, pause_ms: int = 60) -> None:
        random = np.random.default_rng(seed)
        self.keys = random.integers(0, 16, n_presses)
        text = "".join(KEYS[key] for key in self.keys)
        call = make_call(text, tone_ms=tone_ms, pause_ms=pause_ms, lead_ms=200, seed=seed)
        self.audio: Samples = call.audio[0]
        self._starts = np.array([tone.start for tone in call.truth])
        self._ends = np.array([tone.end for tone in call.truth])

    def said_by(self, line: Line) -> None:
        """Have them said."""
        line.say(self.audio)

    def guessed(
        self, heard: Sequence[bytes], sent: Sequence[bytes], share: float = 0.8
    ) -> tuple[int, dict[str, int]]:
        """Give the presses that were heard, and how many of them each attack guesses right.

        Parameters
        ----------
        heard : RTP packets of the speaker's stream as they came out.
        sent : as they went in; they say where each press is, since timestamps are kept.
        share : of the presses that has to be heard for this to mean anything.
        """
        audio = audio_of(heard)
        offset = self._first_timestamp(sent) - min(map(_timestamp, heard))
        starts, ends = self._starts + offset, self._ends + offset
        inside = (starts > 400) & (ends + 400 < audio.size)
        assert inside.sum() >= share * inside.size, f"{inside.sum()} presses were heard at all"
        none = np.zeros(0, np.int64)
        keys = self.keys[inside]
        call = LeakCall("fault", audio, keys, starts[inside], ends[inside], none, none)
        return len(keys), {
            name: int(np.sum(np.argmax(scores, axis=1) == keys))
            for name, scores in likelihood_attacks(call, audio).items()
        }

    def assert_nothing_heard(
        self, heard: Sequence[bytes], sent: Sequence[bytes], share: float = 0.8
    ) -> None:
        """No receiver reads a key, and who knows when each was pressed guesses as chance does."""
        assert event_keys(heard) == ""
        assert_no_tone(audio_of(heard))
        n_heard, right = self.guessed(heard, sent, share)
        assert max(right.values()) <= binom.ppf(1 - 1e-4, n_heard, 1 / 16), right

    def _first_timestamp(self, sent: Sequence[bytes]) -> int:
        """RTP timestamp of the first sample of `audio`, found by the frame of the first tone."""
        frame = int(self._starts[0]) // FRAME
        pcm = np.round(self.audio[frame * FRAME :][:FRAME] * 32768).astype(np.int16)
        payload = encode(pcm, Law.MU).tobytes()
        found = next(packet for packet in sent if packet[12:] == payload)
        return _timestamp(found) - frame * FRAME


def _timestamp(packet: bytes) -> int:
    return int.from_bytes(packet[4:8], "big")
