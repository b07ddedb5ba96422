"""A call set up over NG alone, with a `Line` for each party's media."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from types import TracebackType

import numpy as np
from scipy.stats import binom

from benchmarks.leak.attacks import likelihood_attacks
from benchmarks.leak.press import LeakCall
from tests.interop.description import Described, Key, describe, read
from tests.interop.faults.service import Service
from tests.interop.hearing import Samples, assert_no_tone, audio_of, event_keys
from tests.interop.line import FRAME, Line
from tests.interop.ports import PortBlock
from voicemask.audio.g711 import Law, encode
from voicemask.synthetic import make_call

KEYS = "123A456B789C*0#D"
_numbers = itertools.count()


class NgCall:
    """A customer (who called) and an agent, with media in both directions.

    Parameters
    ----------
    customer_key, agent_key : SDES keys of what they send; None is plain RTP.
    """

    def __init__(
        self,
        service: Service,
        ports: PortBlock,
        *,
        customer_key: Key | None = None,
        agent_key: Key | None = None,
    ) -> None:
        self.service, self.call_id = service, f"fault-{next(_numbers)}@127.0.0.1"
        self.customer = Line("127.0.0.1", ports.take(), 2 * next(_numbers))
        self.agent = Line("127.0.0.1", ports.take(), 2 * next(_numbers) + 1)
        to_agent = self.ask(
            "offer",
            sdp=describe("127.0.0.1", self.customer.port, key=customer_key),
            from_tag="customer",
            transport_protocol="RTP/SAVP" if agent_key else "RTP/AVP",
        )
        to_customer = self.ask(
            "answer",
            sdp=describe("127.0.0.1", self.agent.port, key=agent_key),
            from_tag="customer",
            to_tag="agent",
        )
        self.to_agent: Described = read(to_agent["sdp"])
        self.to_customer: Described = read(to_customer["sdp"])
        _connect(self.customer, self.to_customer, customer_key)
        _connect(self.agent, self.to_agent, agent_key)
        self.customer.wait_heard(5)
        self.agent.wait_heard(5)

    def ask(self, command: str, **parameters: object) -> dict[str, str]:
        """Ask something of this call; an error fails."""
        reply = self.service.ng.ask(
            command, call_id=self.call_id, replace=["origin", "session-connection"],
            ICE="remove", **parameters,
        )  # fmt: skip
        assert reply["result"] == "ok", reply
        return reply

    def capture(self) -> None:
        """Mask by `capture` from here on."""
        self.ask("block DTMF", from_tag="customer")

    def __enter__(self) -> NgCall:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: object, trace: TracebackType | None
    ) -> None:
        self.customer.close()
        self.agent.close()
        if kind is None:
            self.service.ng.ask("delete", call_id=self.call_id, from_tag="customer")


def _connect(line: Line, there: Described, key: Key | None) -> None:
    line.send_to(
        there.address,
        there.port,
        rtcp_port=there.rtcp_port,
        send_key=key,
        receive_key=there.key,
    )


class Presses:
    """Known presses in known places, and what an attacker makes of what came of them.

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

    def guessed(self, heard: Sequence[bytes], sent: Sequence[bytes]) -> dict[str, int]:
        """Count the keys that each attack guesses right.

        Parameters
        ----------
        heard : RTP packets of the speaker's stream as they came out.
        sent : as they went in; they say where each press is, since timestamps are kept.
        """
        audio = audio_of(heard)
        offset = self._first_timestamp(sent) - min(map(_timestamp, heard))
        starts, ends = self._starts + offset, self._ends + offset
        inside = (starts > 400) & (ends + 400 < audio.size)
        assert inside.sum() > 0.8 * inside.size, "most of the presses were not heard at all"
        none = np.zeros(0, np.int64)
        keys = self.keys[inside]
        call = LeakCall("fault", audio, keys, starts[inside], ends[inside], none, none)
        return {
            name: int(np.sum(np.argmax(scores, axis=1) == keys))
            for name, scores in likelihood_attacks(call, audio).items()
        }

    def assert_nothing_heard(self, heard: Sequence[bytes], sent: Sequence[bytes]) -> None:
        """No receiver reads a key, and who knows when each was pressed guesses as chance does."""
        assert event_keys(heard) == ""
        assert_no_tone(audio_of(heard))
        most = binom.ppf(1 - 1e-4, len(self.keys), 1 / 16)
        right = self.guessed(heard, sent)
        assert max(right.values()) <= most, right

    def _first_timestamp(self, sent: Sequence[bytes]) -> int:
        """RTP timestamp of the first sample of `audio`, found by the frame of the first tone."""
        frame = int(self._starts[0]) // FRAME
        pcm = np.round(self.audio[frame * FRAME :][:FRAME] * 32768).astype(np.int16)
        payload = encode(pcm, Law.MU).tobytes()
        found = next(packet for packet in sent if packet[12:] == payload)
        return _timestamp(found) - frame * FRAME


def _timestamp(packet: bytes) -> int:
    return int.from_bytes(packet[4:8], "big")
