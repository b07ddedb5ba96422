"""What a relay recorded of each call, as audio aligned to what its customer sent.

voicemask's recordings are exported with its own command; the left channel is the customer's.
rtpengine writes the packets of a call into a pcap file, which is read here.
"""

from __future__ import annotations

import contextlib
import json
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import soundfile
from numpy.typing import NDArray
from scipy.signal import correlate

from benchmarks.leak.press import RATE_HZ, Float32, samples
from benchmarks.path.calls import PathCall
from benchmarks.path.relays import Mode
from benchmarks.path.script import HEADER, read_heard

_PCAP_HEADER: Final = 24
_RECORD: Final = struct.Struct("<IIII")
_UDP_BYTES: Final = 8
LEAST_PEAK: Final = 8.0
"""Over the RMS of the correlation at all lags; half a million lags of chance reach about 5."""


def rtpengine_recordings(folder: Path, calls: Sequence[PathCall]) -> list[Float32]:
    """Read what rtpengine recorded (``--recording-format=raw``: IP packets)."""
    packets: dict[int, list[bytes]] = {}
    for path in sorted(folder.glob("pcaps/*.pcap")):
        for packet in _udp_payloads(path.read_bytes()):
            if len(packet) >= HEADER.size:
                packets.setdefault(HEADER.unpack_from(packet)[4], []).append(packet)
    return [_placed(packets.get(_ssrc(call), []), call.call.audio.size) for call in calls]


def _ssrc(call: PathCall) -> int:
    number: int = HEADER.unpack(call.parties.customer.packets[0, : HEADER.size].tobytes())[4]
    return number


def _udp_payloads(data: bytes) -> Iterator[bytes]:
    at = _PCAP_HEADER
    while at + _RECORD.size <= len(data):
        size = _RECORD.unpack_from(data, at)[2]
        packet = data[at + _RECORD.size : at + _RECORD.size + size]
        at += _RECORD.size + size
        if packet and packet[0] >> 4 == 4:
            yield packet[4 * (packet[0] & 0x0F) + _UDP_BYTES :]


def _placed(packets: Sequence[bytes], n_samples: int) -> Float32:
    width = max(map(len, packets), default=HEADER.size)
    data = np.zeros((len(packets), width), np.uint8)
    for row, packet in zip(data, packets, strict=True):
        row[: len(packet)] = np.frombuffer(packet, np.uint8)
    return read_heard(data, np.array([len(p) for p in packets], np.int64), n_samples).audio


def voicemask_recordings(
    folder: Path, key: Path, calls: Sequence[PathCall], work: Path
) -> list[Float32]:
    """Export every recording and align its customer's channel with what was sent."""
    listed = _recordings("list", "--format", "jsonl", folder=folder, key=key)
    ids: dict[str, str] = {}
    for line in listed.splitlines():
        row: dict[str, Any] = json.loads(line)
        ids[str(row["call_id"])] = str(row["id"])
    outputs = []
    for index, call in enumerate(calls):
        path = work / f"{index}.wav"
        _recordings("export", ids[call.parties.name], str(path), folder=folder, key=key)
        audio, rate_hz = soundfile.read(path, dtype="float32", always_2d=True)
        assert rate_hz == RATE_HZ
        outputs.append(aligned(audio[:, 0], call.call.audio, away_from_keys(call)))
        with contextlib.suppress(OSError):
            path.unlink()
    return outputs


def _recordings(*arguments: str, folder: Path, key: Path) -> str:
    program = str(Path(sys.executable).with_name("voicemask"))
    where = ("--recordings", str(folder), "--recording-key", str(key))
    run = subprocess.run(
        [program, "recordings", *arguments, *where], capture_output=True, text=True, check=False
    )
    if run.returncode:
        raise RuntimeError(f"recordings {arguments[0]}: {run.stderr.strip()}")
    return run.stdout


@contextlib.contextmanager
def recording_folder(mode: Mode, *, record: bool) -> Iterator[Path | None]:
    """Give a folder for recordings, with a key file beside it where one is needed; or None."""
    if not record:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="relay-bench-") as name:
        folder = Path(name) / "recordings"
        folder.mkdir()
        if mode.relay == "voicemask":
            _make_key(folder.with_suffix(".key"))
        yield folder


def _make_key(path: Path) -> None:
    """Make a key file for recordings."""
    program = str(Path(sys.executable).with_name("voicemask"))
    command = [program, "recordings", "keys", "create", "--recording-key", str(path)]
    subprocess.run(command, check=True, capture_output=True)


def away_from_keys(call: PathCall) -> NDArray[np.bool_]:
    """Say which samples are 20 ms or more from any key press; (n,)."""
    away = np.ones(call.call.audio.size, np.bool_)
    margin = samples(20)
    for start, end in zip(call.call.start, call.call.end, strict=True):
        away[max(0, start - margin) : end + margin] = False
    return away


def aligned(recording: Float32, sent: Float32, away: NDArray[np.bool_]) -> Float32:
    """Shift a recording to where it agrees best with what was sent, and cut it to its length.

    Parameters
    ----------
    recording : (m,) float32.
    sent : (n,) float32.
    away : (n,) bool, where nothing had to be masked.

    Raises
    ------
    RuntimeError
        It agrees nowhere: this is another call's.
    """
    # what is loud must not decide alone
    a, b = _levelled(recording), _levelled(sent) * away
    agreement = correlate(a, b, mode="full", method="fft")
    best = int(np.argmax(agreement))
    if agreement[best] < LEAST_PEAK * float(np.sqrt(np.mean(np.square(agreement)))):
        raise RuntimeError("a recording does not agree with what was sent")
    lag = best - (sent.size - 1)
    shifted = recording[lag:] if lag >= 0 else np.pad(recording, (-lag, 0))
    return np.asarray(np.pad(shifted, (0, max(0, sent.size - shifted.size)))[: sent.size])


def _levelled(audio: Float32) -> NDArray[np.float64]:
    loud = np.asarray(audio, np.float64) / (np.median(np.abs(audio)) + 1e-5)
    return np.asarray(np.clip(loud, -3.0, 3.0))
