"""A phone: SIPp for its SIP, a `Line` for its media; and a call between two of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tests.interop.description import Described, Key, describe
from tests.interop.line import Line, keyed
from tests.interop.ports import PortBlock
from tests.interop.sipp import Event, Sipp, new_call_id

Samples = NDArray[np.float32]


@dataclass
class Phone:
    """One party of one call."""

    sip: Sipp
    line: Line
    codecs: Sequence[str] = ("PCMU", "telephone-event")
    key: Key | None = None
    rtcp_mux: bool = False
    key_tag: int = field(default=1, init=False)
    version: int = field(default=0, init=False)

    def description(self, **changes: object) -> str:
        """Describe what this phone wants; each one has a new version."""
        self.version += 1
        own = {"codecs": self.codecs, "key": self.key, "rtcp_mux": self.rtcp_mux}
        values = {**own, "key_tag": self.key_tag, **changes}
        address = values.pop("address", self.line.address)
        port = values.pop("port", self.line.port)
        return describe(address, port, **values, version=self.version)  # type: ignore[arg-type]

    def talk_to(self, there: Described | None, codec: str = "", *, sends: bool = True) -> None:
        """Send media to where a description of the other side says, or only take its keys."""
        assert there is not None, "no description came"
        theirs = None
        if self.key is not None:
            self.key_tag, theirs = next(
                (tag, key) for tag, key in there.cryptos() if key.suite == self.key.suite
            )
        self.line.send_to(
            there.address,
            there.port,
            rtcp_port=there.rtcp_port,
            codec=codec or self.codecs[0],
            send_key=self.key,
            receive_key=theirs,
            sends=sends,
        )

    def press(self, keys: str, how: str = "tones", *, over: Samples | None = None) -> None:
        """Press keys: as ``tones``, as ``events`` in place of audio, or as ``both`` at once."""
        if how == "events":
            self.line.send_events(keys)
            self.line.wait_said()
            return
        call = keyed(keys, over_speech=over)
        if how == "both":
            self.line.say_with_events(call)
        else:
            self.line.say(call.audio[0])
        self.line.wait_said()

    def mask(self, what: str, flags: str = "", *, is_done: bool = True) -> None:
        """Have the proxy tell the media node what to mask."""
        self.inform(f"X-Mask: {what}", *([f"X-Mask-Flags: {flags}"] if flags else []))
        self.sip.expect("informed" if is_done else "500")

    def inform(self, *headers: str) -> None:
        """Send INFO within the dialog."""
        self.sip.do("info", "", *headers)


@dataclass
class Call:
    """A call that is up; ``call.customer`` called."""

    customer: Phone
    agent: Phone
    call_id: str
    to_customer: Described
    to_agent: Described

    def flows(self) -> None:
        """Wait until both hear each other."""
        self.customer.line.wait_heard(5)
        self.agent.line.wait_heard(5)

    def catch_up(self) -> None:
        """Wait until each heard what the other has said by now."""
        self.agent.line.catch_up(self.customer.line)
        self.customer.line.catch_up(self.agent.line)

    def renegotiate(
        self, one: Phone, other: Phone, offer: str, answer: str
    ) -> tuple[Described | None, Described | None]:
        """Offer anew within the call; gives what each was told of the other side."""
        one.sip.do("invite", offer)
        to_other = other.sip.expect("invited").sdp
        other.sip.do("200", answer)
        to_one = one.sip.expect("200").sdp
        other.sip.expect("confirmed")
        return to_one, to_other

    def hang_up(self, who: Phone | None = None) -> None:
        """End the call."""
        one = who or self.customer
        other = self.agent if one is self.customer else self.customer
        one.sip.do("bye")
        one.sip.expect("ended")
        other.sip.expect("ended")


class Exchange:
    """Makes phones and calls for one test, and ends them all."""

    def __init__(self, ports: PortBlock, proxy_port: int, folder: Path) -> None:
        self._ports, self._proxy_port, self._folder = ports, proxy_port, folder
        self._phones: list[Phone] = []

    def phone(
        self,
        role: str,
        *,
        address: str = "127.0.0.1",
        host: str = "127.0.0.1",
        sip_port: int = 0,
        **settings: object,
    ) -> Phone:
        """Make a phone.

        Parameters
        ----------
        role : ``caller`` or ``callee``.
        address : of its media.
        host, sip_port : of its SIP; port 0 is any.
        """
        sip = Sipp(role, self._ports, self._proxy_port, self._folder, host=host, port=sip_port)
        line = Line(address, self._ports.take(), seed=len(self._phones) + 1)
        phone = Phone(sip, line, **settings)  # type: ignore[arg-type]
        self._phones.append(phone)
        return phone

    def invite(self, customer: Phone, agent: Phone, *extra: str) -> Event:
        """Let the customer call; gives what the agent was offered."""
        target = f"sip:agent@{agent.sip.host}:{agent.sip.port}"
        customer.sip.call(target, customer.description(), new_call_id(), *extra)
        return agent.sip.expect("invited")

    def connect(
        self, *extra: str, customer: Phone | None = None, agent: Phone | None = None
    ) -> Call:
        """Make a call that is answered, with media flowing both ways."""
        customer = customer or self.phone("caller")
        agent = agent or self.phone("callee")
        invited = self.invite(customer, agent, *extra)
        agent.talk_to(invited.sdp, sends=False)
        agent.sip.do("200", agent.description())
        answered = customer.sip.expect("200")
        agent.sip.expect("confirmed")
        assert invited.sdp is not None and answered.sdp is not None
        customer.talk_to(answered.sdp)
        agent.talk_to(invited.sdp)
        call = Call(customer, agent, answered.call_id, answered.sdp, invited.sdp)
        call.flows()
        return call

    def close(self) -> None:
        for phone in self._phones:
            phone.line.close()
            phone.sip.end()
