"""Makes the payloads of many packets at once: one call of the renderer for each kind of row.

References
----------
benchmarks/density/run.py prints what a packet costs, alone and among many.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from math import inf, log10
from typing import Final

import numpy as np
from numpy.typing import NDArray

from voicemask.audio import g711
from voicemask.audio.codecs import Codec
from voicemask.audio.g711 import Law
from voicemask.capture.policy import Fill
from voicemask.errors import CodecError
from voicemask.live.stream import LiveStream
from voicemask.live.values import Like, Ready, Slot, SteadyReady
from voicemask.mask.fill import LOUDEST_DBFS, QUIETEST_DBFS, filled
from voicemask.mask.render import FULL_SCALE, Rendered, lead_samples, render
from voicemask.mask.suppress import hop_samples

F32 = NDArray[np.float32]

_EVERY_OCTET: Final = np.arange(256, dtype=np.uint8)
_EVERY_SAMPLE: Final = np.arange(-(1 << 15), 1 << 15).astype(np.int16)
_EXPAND: Final = {law: g711.decode(_EVERY_OCTET, law).astype(np.float32) for law in Law}
"""Octet to sample, 16-bit units."""
_COMPRESS: Final = {law: g711.encode(_EVERY_SAMPLE, law) for law in Law}
"""Sample plus 32768 to octet."""
_MIDDLE: Final = np.float32(32768.5)
_LARGEST: Final = np.float32(65535)
_SILENCE: Final = {Law.MU: b"\xff", Law.A: b"\xd5"}
_SELDOM: Final = 3
"""The background is looked at in one packet of four."""
_HEAD: Final = 12
_RISE_DB: Final = 0.4
"""Its level follows down at once and up by this much each time."""
_UNKNOWN_DBFS: Final = -60.0
_FULL_POWER: Final = 2 / 2**30
"""Of a mean square in 16-bit units, as a share of a full-scale sine's."""


def make_payloads(ready: Sequence[Ready | SteadyReady]) -> list[bytes | None]:
    """Give the whole packet for each, in order; None where nothing can stand in for it."""
    packets: list[bytes | None] = [None] * len(ready)
    steady: dict[Like, list[int]] = defaultdict(list)
    others: dict[Like, list[int]] = defaultdict(list)
    for index, item in enumerate(ready):
        if type(item) is tuple:
            steady[item[0].like].append(index)  # type: ignore[index]
            continue
        assert isinstance(item, Ready)
        if item.slot is Slot.RENDERED:
            others[_like(item)].append(index)
        elif item.slot is Slot.PASSED:
            packets[index] = item.head + item.payload + item.tail
        else:
            packets[index] = _fill_packet(item)
    for like, indices in steady.items():
        made = _render_steady([ready[i] for i in indices], like)  # type: ignore[misc]
        for i, packet in zip(indices, made, strict=True):
            packets[i] = packet
    for like, indices in others.items():
        items: list[Ready] = [ready[i] for i in indices]  # type: ignore[misc]
        make = _render_octets if like.is_octets else _render_audio
        for i, answer in zip(indices, make(items, like), strict=True):
            packets[i] = answer
    return packets


def make_silence(ready: Sequence[Ready | SteadyReady]) -> list[bytes | None]:
    """Give packets that hold nothing, for when there is no time or no way to render them."""
    packets: list[bytes | None] = []
    for item in ready:
        if isinstance(item, Ready):
            is_g711 = isinstance(item.coder, Law)
            silence = _SILENCE[item.coder] * item.n_samples if is_g711 else None  # type: ignore[index]
            packets.append(None if silence is None else item.head + silence + item.tail)
        else:
            stream, head, _, _ = item
            like = stream.like
            assert like is not None and like.law is not None
            packets.append(head + _SILENCE[like.law] * like.n_packet)
    return packets


def _like(item: Ready) -> Like:
    law = item.coder if isinstance(item.coder, Law) else None
    rate_hz = 8000 if law is not None else _codec(item).rate_hz
    fill = item.stream.means.fill
    return Like(isinstance(item.row, bytes), rate_hz, item.n_samples, item.suppresses, fill, law)


def _render_steady(items: list[SteadyReady], like: Like) -> list[bytes]:
    """Unbroken G.711: rows of octets in, packets out."""
    streams, heads, octets, positions = zip(*items, strict=True)
    law = like.law
    assert law is not None
    m, n_packet = len(items), like.n_packet
    # "wrap" only saves a check: every octet has its place
    rows = _EXPAND[law].take(np.frombuffer(b"".join(octets), np.uint8), mode="wrap")
    result = _render(rows.reshape(m, -1), streams, positions, None, like)
    packets = np.empty((m, _HEAD + n_packet), np.uint8)
    packets[:, :_HEAD] = np.frombuffer(b"".join(heads), np.uint8).reshape(m, _HEAD)
    packets[:, _HEAD:] = _written(result.audio, law)
    written = packets.tobytes()
    width = _HEAD + n_packet
    return [written[at : at + width] for at in range(0, m * width, width)]


def _render_octets(items: list[Ready], like: Like) -> list[bytes | None]:
    """Other G.711: the same, with stretches that are fill, or with what is not fill kept."""
    law = like.law
    assert law is not None
    octets = np.frombuffer(b"".join([bytes(item.row or b"") for item in items]), np.uint8)
    octets = octets.reshape(len(items), -1)
    result = _render_ready(_EXPAND[law][octets], items, like)
    written = _written(result.audio, law)
    if result.touched is not None:
        lead = lead_samples(like.rate_hz)
        written = np.where(result.touched, written, octets[:, lead : lead + like.n_packet])
    return [
        item.head + payload.tobytes() + item.tail
        for item, payload in zip(items, written, strict=True)
    ]


def _render_audio(items: list[Ready], like: Like) -> list[bytes | None]:
    """Codecs: rows of samples in, payloads out; packets nothing touched keep their bytes."""
    rows = np.stack([item.row for item in items if not isinstance(item.row, bytes | None)])
    result = _render_ready(rows * FULL_SCALE, items, like)
    touched = [True] * len(items)
    if result.touched is not None:
        touched = np.any(result.touched, axis=1).tolist()
    return [
        _encoded(item, audio / FULL_SCALE) if is_touched else item.head + item.payload + item.tail
        for item, audio, is_touched in zip(items, result.audio, touched, strict=True)
    ]


def _render_ready(rows: F32, items: list[Ready], like: Like) -> Rendered:
    unsafe = np.zeros((len(items), rows.shape[1] // hop_samples(like.rate_hz)), bool)
    for i, item in enumerate(items):
        if item.unsafe is not None:
            unsafe[i] = item.unsafe
    streams = [item.stream for item in items]
    return _render(rows, streams, [item.position for item in items], unsafe, like)


def _render(
    rows: F32,
    streams: Sequence[LiveStream],
    positions: Sequence[int],
    unsafe: NDArray[np.bool_] | None,
    like: Like,
) -> Rendered:
    levels = [
        _UNKNOWN_DBFS if (level := stream.level_dbfs) is None else level for stream in streams
    ]
    result = render(
        rows,
        like.n_packet,
        like.rate_hz,
        unsafe,
        suppresses=like.suppresses,
        fill=like.fill,
        positions=positions,
        levels_dbfs=levels,
        measures=like.suppresses and like.fill is Fill.NOISE,
    )
    if result.quiet_power is not None:
        _follow_background(streams, positions, result.quiet_power, like.n_packet)
    return result


def _follow_background(
    streams: Sequence[LiveStream], positions: Sequence[int], quiet_power: F32, n_packet: int
) -> None:
    """Keep the background level of streams: the quietest block, with a slow way up."""
    for i, position in enumerate(positions):
        # every few packets are enough, and which ones is a matter of the stream's own time
        if position // n_packet & _SELDOM:
            continue
        stream, power = streams[i], float(quiet_power[i])
        if power == inf:
            continue
        heard = 10 * log10(power * _FULL_POWER + 1e-12)
        level = stream.level_dbfs
        most = LOUDEST_DBFS if level is None else min(level + _RISE_DB, LOUDEST_DBFS)
        stream.level_dbfs = max(QUIETEST_DBFS, min(heard, most))


def _written(audio: F32, law: Law) -> NDArray[np.uint8]:
    """Octets of samples, 16-bit units."""
    places = audio + _MIDDLE
    np.maximum(places, 0, out=places)
    np.minimum(places, _LARGEST, out=places)
    octets: NDArray[np.uint8] = _COMPRESS[law].take(places.astype(np.uint16), mode="wrap")
    return octets


def _fill_packet(item: Ready) -> bytes | None:
    """A packet of fill alone."""
    if item.coder is None:
        return None
    level = item.stream.level_dbfs
    audio = filled(
        item.stream.means.fill,
        channel=0,
        start=item.position,
        end=item.position + item.n_samples,
        rate_hz=8000 if isinstance(item.coder, Law) else item.coder.rate_hz,
        level_dbfs=_UNKNOWN_DBFS if level is None else level,
    )
    return _encoded(item, audio)


def _encoded(item: Ready, audio: F32) -> bytes | None:
    if isinstance(item.coder, Law):
        return item.head + _written(audio * FULL_SCALE, item.coder).tobytes() + item.tail
    try:
        return item.head + _codec(item).encode(audio) + item.tail
    except CodecError:
        return None


def _codec(item: Ready) -> Codec:
    assert item.coder is not None and not isinstance(item.coder, Law)
    return item.coder
