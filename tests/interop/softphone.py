"""baresip, a phone with media and SRTP of its own: it answers, and says back whatever it hears."""

from __future__ import annotations

from pathlib import Path

from tests.interop.ports import PortBlock
from tests.interop.process import Process, program

MODULES = Path("/usr/lib/baresip/modules")
CONFIG = """\
sip_listen 127.0.0.1:{port}
rtp_ports {rtp}-{rtp_end}
module_path {modules}
module g711.so
module aubridge.so
module srtp.so
module_app account.so
module_app menu.so
audio_source aubridge,echo
audio_player aubridge,echo
audio_alert none
audio_srate 8000-8000
audio_channels 1-1
"""
ACCOUNT = (
    "<sip:agent@127.0.0.1:{port}>;regint=0;answermode=auto;audio_codecs=PCMU;mediaenc={srtp}\n"
)


class Softphone:
    """One baresip, ready to be called.

    Parameters
    ----------
    srtp : its name for how media is encrypted, ``srtp-mand`` for RTP/SAVP; empty for plain RTP.
    """

    def __init__(self, ports: PortBlock, folder: Path, srtp: str) -> None:
        self.port, self.is_secure = ports.take(), bool(srtp)
        rtp = ports.take()
        folder = folder / "baresip"
        folder.mkdir()
        values = {"port": self.port, "rtp": rtp, "rtp_end": rtp + 2, "modules": MODULES}
        (folder / "config").write_text(CONFIG.format(**values))
        (folder / "accounts").write_text(ACCOUNT.format(port=self.port, srtp=srtp))
        (folder / "contacts").touch()
        command = [program("baresip"), "-f", str(folder), "-t", "60"]
        self._process = Process(command, folder / "output", folder)
        self._process.await_ready(lambda: "baresip is ready" in self.said())

    def has_srtp(self) -> bool:
        """Tell whether it said that a call is encrypted."""
        return "SRTP is Enabled" in self._process.said(None)

    def said(self) -> str:
        return self._process.said()

    def end(self) -> None:
        self._process.end()
