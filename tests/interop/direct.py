"""A call set up by the NG protocol alone, without SIP: for what no proxy asks for by itself."""

from __future__ import annotations

from typing import Any

from tests.interop.description import Described, describe, read
from tests.interop.line import Line
from tests.interop.ng import NgClient
from tests.interop.node import Node
from tests.interop.ports import PortBlock
from tests.interop.sipp import new_call_id

CUSTOMER, AGENT = "tag-of-customer", "tag-of-agent"
REPLACE = ["origin", "session-connection"]


class DirectCall:
    """Two lines and a call between them.

    Parameters
    ----------
    offer, answer : further NG parameters.
    codecs : both sides'.
    ng : asks in place of the node's own client.
    """

    def __init__(
        self,
        node: Node,
        ports: PortBlock,
        *,
        offer: dict[str, Any] | None = None,
        answer: dict[str, Any] | None = None,
        codecs: tuple[str, ...] = ("PCMU", "telephone-event"),
        addresses: tuple[str, str] = ("127.0.0.1", "127.0.0.1"),
        rtcp_mux: bool = False,
        ng: NgClient | None = None,
        call_id: str = "",
    ) -> None:
        self.node, self._ports = node, ports
        self._ng = ng or node.ng
        self.call_id = call_id or new_call_id()
        self.codecs = codecs
        self.customer = Line(addresses[0], ports.take(), seed=1)
        self.agent = Line(addresses[1], ports.take(), seed=2)
        self._rtcp_mux = rtcp_mux
        self.offer, self.answer = offer or {}, answer or {}
        self.to_agent, self.to_customer = self.negotiate()

    def negotiate(self, **changes: Any) -> tuple[Described, Described]:
        """Offer by the customer and answer by the agent; both begin to send as told."""
        tags = {"call_id": self.call_id, "from_tag": CUSTOMER, "replace": REPLACE}
        offered = describe(
            self.customer.address,
            self.customer.port,
            self.codecs,
            rtcp_mux=self._rtcp_mux,
            **changes,
        )
        to_agent = self.done("offer", sdp=offered, **tags, **self.offer)
        answered = describe(
            self.agent.address, self.agent.port, self.codecs, rtcp_mux=self._rtcp_mux
        )
        tags["to_tag"] = AGENT
        to_customer = self.done("answer", sdp=answered, **tags, **self.answer)
        there, here = read(to_agent["sdp"]), read(to_customer["sdp"])
        for line, side in ((self.agent, there), (self.customer, here)):
            line.send_to(side.address, side.port, rtcp_port=side.rtcp_port, codec=self.codecs[0])
        self.customer.wait_heard(3)
        self.agent.wait_heard(3)
        return there, here

    def switch(self, *codecs: str) -> None:
        """Offer other codecs, and speak the first of them once they are agreed on."""
        self.codecs = codecs
        self.to_agent, self.to_customer = self.negotiate(version=2)

    def ask(self, command: str, **parameters: Any) -> dict[str, Any]:
        """Send a command about this call; gives the reply, whatever it says."""
        return self._ng.ask(command, **{"call_id": self.call_id, **parameters})

    def done(self, command: str, **parameters: Any) -> dict[str, Any]:
        """Send a command that has to succeed."""
        reply = self.ask(command, **parameters)
        assert reply["result"] == "ok", reply
        return reply

    def catch_up(self) -> None:
        """Wait until each heard what the other has said by now."""
        self.agent.catch_up(self.customer)
        self.customer.catch_up(self.agent)

    def subscribe(self, **parameters: Any) -> Subscriber:
        """Subscribe to the call, as a recording server does."""
        return Subscriber(self, self._ports, **parameters)

    def close(self) -> None:
        self.ask("delete", from_tag=CUSTOMER)
        self.customer.close()
        self.agent.close()


class Subscriber:
    """A recording server's side of a subscription: one line for each stream it is offered."""

    def __init__(self, call: DirectCall, ports: PortBlock, **parameters: Any) -> None:
        self.call = call
        reply = call.done("subscribe request", **{"flags": ["all"], **parameters})
        self.tag, self.sdp = reply["to-tag"], reply["sdp"]
        n_streams = self.sdp.count("m=audio ")
        self.lines = [Line("127.0.0.1", ports.take(), seed=10 + n) for n in range(n_streams)]
        answer = describe("127.0.0.1", self.lines[0].port, call.codecs, direction="recvonly")
        for line in self.lines[1:]:
            more = describe("127.0.0.1", line.port, call.codecs, direction="recvonly")
            answer += more[more.index("m=audio") :]
        call.done("subscribe answer", to_tag=self.tag, sdp=answer)

    def unsubscribe(self) -> None:
        self.call.done("unsubscribe", to_tag=self.tag)

    def close(self) -> None:
        for line in self.lines:
            line.close()
