"""Kamailio as a process, with its rtpengine module pointed at a media node."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from pathlib import Path

from tests.interop.ports import PortBlock
from tests.interop.process import Process, program

CONFIG = Path(__file__).parent / "kamailio.cfg"
PING = (
    "OPTIONS sip:ping@127.0.0.1:{port} SIP/2.0\r\n"
    "Via: SIP/2.0/UDP 127.0.0.1:{own};branch=z9hG4bKping\r\n"
    "From: <sip:test@127.0.0.1>;tag=1\r\nTo: <sip:ping@127.0.0.1>\r\n"
    "Call-ID: ping\r\nCSeq: 1 OPTIONS\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
)


class Kamailio:
    """Kamailio on loopback.

    Parameters
    ----------
    source : its configuration, in which the ports are put in.
    changes : further texts to replace, each of which has to be there.
    """

    def __init__(
        self,
        ports: PortBlock,
        ng_port: int,
        folder: Path,
        source: Path = CONFIG,
        changes: Mapping[str, str] | None = None,
    ) -> None:
        self.port = ports.take()
        text = source.read_text()
        ours = {
            "127.0.0.1:5060": f"127.0.0.1:{self.port}",
            "127.0.0.1:2223": f"127.0.0.1:{ng_port}",
        }
        for old, new in (ours | dict(changes or {})).items():
            assert old in text, old
            text = text.replace(old, new)
        config = folder / "kamailio.cfg"
        config.write_text(text)
        command = [program("kamailio"), "-f", str(config), "-DD", "-E", "-Y", str(folder)]
        command += ["-m", "32", "-M", "8"]
        self._process = Process(command, folder / "kamailio.log", folder)
        self._process.await_ready(self._answers)

    def _answers(self) -> bool:
        with socket.socket(type=socket.SOCK_DGRAM) as probe:
            probe.connect(("127.0.0.1", self.port))
            probe.settimeout(0.2)
            try:
                probe.send(PING.format(port=self.port, own=probe.getsockname()[1]).encode())
                return probe.recv(4096).startswith(b"SIP/2.0 200")
            except OSError:
                return False

    def said(self) -> str:
        return self._process.said()

    def end(self) -> None:
        self._process.end()
