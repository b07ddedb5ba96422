"""SRTP beside another implementation: ffmpeg's own, as sender and as receiver."""

from __future__ import annotations

import base64
import hashlib
import socket
import subprocess
from pathlib import Path

import numpy as np
import pytest

from voicemask.rtp.packet import RtpPacket, looks_like_rtcp
from voicemask.rtp.sdes import CryptoKey
from voicemask.rtp.srtp import SrtpContext, key_length

SUITES = {
    "AES_CM_128_HMAC_SHA1_80": "AES_CM_128_HMAC_SHA1_80",
    "AES_CM_128_HMAC_SHA1_32": "SRTP_AES128_CM_HMAC_SHA1_32",
}
"""Those that ffmpeg has, by RFC 4568, and its name for them. By RFC 4568's name for the second it
shortens the tags of SRTCP too, which RFC 4568 section 6.2 leaves at 80 bits."""
QUIET = ("ffmpeg", "-nostdin", "-hide_banner", "-loglevel", "error")


def master(suite: str) -> CryptoKey:
    return CryptoKey(1, suite, hashlib.shake_128(suite.encode()).digest(key_length(suite)))


def loopback() -> socket.socket:
    receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    receiver.bind(("127.0.0.1", 0))
    receiver.settimeout(10)
    return receiver


@pytest.mark.parametrize("suite", SUITES)
def test_what_ffmpeg_protects_opens(suite: str) -> None:
    key = master(suite)
    opener = SrtpContext(key)
    secret = base64.b64encode(key.key).decode()
    with loopback() as receiver:
        port = receiver.getsockname()[1]
        to = f"srtp://127.0.0.1:{port}?rtcpport={port}&pkt_size=186"
        tone = ("-re", "-f", "lavfi", "-i", "sine=440:r=8000:d=20", "-c:a", "pcm_mulaw")
        protect = ("-srtp_out_suite", SUITES[suite], "-srtp_out_params", secret)
        packets, n_reports = [], 0
        command = [*QUIET, *tone, "-f", "rtp", *protect, to]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as sender:
            while len(packets) < 40:
                data = receiver.recv(2048)
                if looks_like_rtcp(data):
                    n_reports += opener.unprotect_rtcp(data)[1] == 200
                else:
                    packets.append(RtpPacket.parse(opener.unprotect(data)))
            sender.kill()
    sequence = np.array([packet.sequence for packet in packets])
    assert np.all(np.diff(sequence) % 65536 == 1)
    assert n_reports
    payload = b"".join(packet.payload for packet in packets)
    decoded = subprocess.run(
        [*QUIET, "-f", "mulaw", "-ar", "8000", "-i", "-", "-f", "s16le", "-"],
        input=payload,
        stdout=subprocess.PIPE,
        check=True,
    ).stdout
    samples = np.frombuffer(decoded, np.int16)
    peak_hz = np.argmax(np.abs(np.fft.rfft(samples))) * 8000 / len(samples)
    assert abs(peak_hz - 440) < 5


@pytest.mark.parametrize("suite", SUITES)
def test_what_is_protected_here_ffmpeg_opens(suite: str, tmp_path: Path) -> None:
    key = master(suite)
    with loopback() as probe:
        port = probe.getsockname()[1]
    sdp = tmp_path / "session.sdp"
    sdp.write_text(
        "v=0\no=- 1 1 IN IP4 127.0.0.1\ns=-\nc=IN IP4 127.0.0.1\nt=0 0\n"
        f"m=audio {port} RTP/SAVP 0\n"
        f"a=crypto:1 {SUITES[suite]} inline:{base64.b64encode(key.key).decode()}\n"
    )
    allowed = ("-protocol_whitelist", "file,crypto,rtp,udp,srtp", "-fflags", "nobuffer")
    copy = ("-c:a", "copy", "-t", "0.4", "-f", "mulaw", "-")
    reader = subprocess.Popen([*QUIET, *allowed, "-i", str(sdp), *copy], stdout=subprocess.PIPE)
    payload = np.random.default_rng(1).integers(0, 256, 160 * 400, np.uint8).tobytes()
    protect = SrtpContext(key)
    with reader, loopback() as sender:
        for n in range(400):
            part = payload[160 * n : 160 * n + 160]
            packet = RtpPacket(0, (65300 + n) % 65536, 160 * n, 7, part).serialize()
            sender.sendto(protect.protect(packet), ("127.0.0.1", port))
            try:
                reader.wait(0.02)
                break
            except subprocess.TimeoutExpired:
                continue
        assert reader.stdout is not None
        heard = reader.stdout.read()
    assert len(heard) >= 160 * 15
    assert heard in payload
