"""The media node as a process, and rtpengine as the yardstick beside it."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.interop.ng import NgClient
from tests.interop.ports import PortBlock
from tests.interop.process import Process, program


class Node:
    """`voicemask media` on loopback.

    Parameters
    ----------
    options : further ones.
    """

    def __init__(self, ports: PortBlock, folder: Path, *options: str) -> None:
        self.ng_port = ports.take()
        self.folder = folder
        self.recordings = folder / "recordings"
        self._process = Process(self._command(ports, *options), folder / "node.log", folder)
        self.ng = NgClient(self.ng_port)
        self._process.await_ready(self._answers)

    def _command(self, ports: PortBlock, *options: str) -> list[str]:
        run = "import sys; from voicemask.cli import main; sys.exit(main())"
        return [
            *(sys.executable, "-c", run, "media"),
            *("--ng", f"udp:127.0.0.1:{self.ng_port}"),
            *("--rtp-address", "127.0.0.1", "--rtp-address", "::1"),
            *("--rtp-ports", f"{ports.media.start}-{ports.media.stop - 1}"),
            *("--control", f"unix:{self.folder / 'control'}"),
            *("--recordings", str(self.recordings)),
            *options,
        ]

    def _answers(self) -> bool:
        try:
            return bool(self.ng.ask("ping") == {"result": "pong"})
        except ConnectionError:
            return False

    def calls(self) -> list[str]:
        """Name the calls it has."""
        reply = self.ng.ask("list")
        calls: list[str] = reply["calls"]
        return calls

    def said(self) -> str:
        return self._process.said()

    def is_running(self) -> bool:
        return self._process.is_running()

    def end(self) -> None:
        self.ng.close()
        self._process.end()


class Rtpengine(Node):
    """Debian's rtpengine, in the same place."""

    def _command(self, ports: PortBlock, *options: str) -> list[str]:
        spool = self.folder / "spool"
        spool.mkdir(exist_ok=True)
        return [
            *(program("rtpengine"), "--foreground", "--log-stderr", "--log-level=5"),
            *("--table=-1", "--interface=127.0.0.1", "--interface=::1"),
            *(f"--listen-ng=127.0.0.1:{self.ng_port}", "--delete-delay=0"),
            *(f"--port-min={ports.media.start}", f"--port-max={ports.media.stop - 1}"),
            *("--recording-method=pcap", f"--recording-dir={spool}", "--num-threads=2"),
            *options,
        ]
