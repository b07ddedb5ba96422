"""A stretch of one direction at one sampling rate: audio in, masked audio and packets out.

The section holds every packet until the masker has said the last word on its samples
(`final_until`), then lets it go: with the bytes it came with where no patch touched it, patched
sample by sample where the codec sends samples, replaced whole where it sends blocks.

Audio goes to the masker in blocks on a fixed grid, some hold behind the newest packet. The hold
is what lets an event reach back to the onset that was sent before it; the grid makes what the
masker may still be told depend on stream time alone, never on how packets were batched.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from voicemask.audio.codecs import Codec, to_int16
from voicemask.audio.tape import Tape
from voicemask.call.values import AudioChunk, Output, Sent, Verdict
from voicemask.capture.policy import Policy
from voicemask.dtmf.detector import Tone
from voicemask.errors import CodecError
from voicemask.mask.apply import Masked, Masker
from voicemask.mask.span import Reason, Span
from voicemask.rtp.packet import RtpPacket

_SILENCE_SAMPLES: Final = 8192


@dataclass(slots=True)
class Held:
    """A packet waiting for its samples to be final.

    Parameters
    ----------
    packet, index, data : the packet, the caller's number for it, its bytes.
    start, end : the samples it stands for.
    codec : codec of its payload, or of the fill that takes its place.
    payload_type : of what goes out.
    examined : its payload is the audio on the tape; otherwise it is an event or could not be
        decoded, and passes under `open` only.
    """

    packet: RtpPacket
    index: int
    data: bytes
    start: int
    end: int
    codec: Codec | None
    payload_type: int
    examined: bool


class Section:
    """Audio of one direction from `origin` on, at `rate_hz`.

    Parameters
    ----------
    channel : index in the call.
    origin : absolute position of its first sample.
    rate_hz : of its audio.
    masker : one-channel masker at that rate; None passes everything, until `use` brings one.
    hold_ms : how far the masker stays behind the newest packet.
    block_ms : step of the grid on which the masker is fed.
    call_rate_hz : rate in which spans are told.
    marks_held : marks reach back to all that has not left, not only to what the masker has not
        seen: the same audio for the same packets, as long as those are fed one by one.
    """

    def __init__(
        self,
        *,
        channel: int,
        origin: int,
        rate_hz: int,
        masker: Masker | None,
        hold_ms: int,
        block_ms: int,
        call_rate_hz: int,
        marks_held: bool = False,
    ) -> None:
        self.rate_hz = rate_hz
        self.origin = origin
        self._channel = channel
        self._call_rate_hz = call_rate_hz
        self._masker = masker
        self._masked_from = origin  # where the masker's stream begins
        self._hold = hold_ms * rate_hz // 1000
        self._block = block_ms * rate_hz // 1000
        self._marks_held = marks_held
        self._tape = Tape(origin)
        self._pushed = origin
        self._final = origin
        self._told = origin
        self._held: deque[Held] = deque()
        self._touched: deque[tuple[int, int]] = deque()
        self._gaps: deque[tuple[int, int]] = deque()

    @property
    def end(self) -> int:
        """Where the audio placed so far ends."""
        return self._tape.end

    @property
    def final(self) -> int:
        """Where the audio that can still change begins."""
        return self._final

    @property
    def passes_all(self) -> bool:
        """Whether nothing that has not left is masked."""
        return self._masker is None or self._masker.passes_all

    @property
    def is_examined(self) -> bool:
        """Whether there is a masker."""
        return self._masker is not None

    def use(self, masker: Masker) -> None:
        """Examine from here on what passed unexamined until now."""
        self._masker, self._masked_from = masker, self._pushed

    def set_policy(self, policy: Policy, at: int) -> None:
        """Set the policy from position `at` on; what reaches back is the masker's to say."""
        if self._masker is not None:
            self._masker.set_policy(policy, at - self._masked_from)

    def scaled(self, position: int) -> int:
        """Give an absolute position in samples of the call's rate."""
        return position * self._call_rate_hz // self.rate_hz

    def hold(self, held: Held) -> None:
        """Queue a packet; its samples may be placed before or after."""
        self._held.append(held)

    def place(self, start: int, audio: NDArray[np.float32], out: Output) -> list[Tone]:
        """Lay audio down at `start`, silence before it where there is a gap."""
        tones = self._extend(start, out) if start > self._tape.end else []
        self._tape.append(audio)
        until = self._tape.end - self._hold
        return tones + self._feed(until, out) if until >= self._pushed + self._block else tones

    def leave_gap(self, until: int, out: Output) -> list[Tone]:
        """Lay down silence up to `until`, for packets whose audio we do not have."""
        return self._extend(until, out) + self._feed(self._tape.end - self._hold, out)

    def mark(self, start: int, end: int, reason: Reason) -> None:
        """Have ``[start, end)`` filled, as much of it as a mark can reach."""
        start = max(start, self._markable)
        if self._masker is not None and end > start:
            self._masker.mark(0, start - self._masked_from, end - self._masked_from, reason)

    @property
    def _markable(self) -> int:
        if self._masker is None or not self._marks_held:
            return self._pushed
        return self._masked_from + self._masker.final_until

    def flush(self, out: Output) -> list[Tone]:
        """End the section: everything held comes out."""
        until = max((held.end for held in self._held), default=self._tape.end)
        tones = self._extend(until, out)
        tones += self._feed(self._tape.end, out, whole=True)
        if self._masker is not None:
            tones += self._apply(self._masker.flush(), out)
        self._final = self._tape.end
        self._release(out)
        return tones

    def _extend(self, until: int, out: Output) -> list[Tone]:
        """Lay down silence up to `until`, in bounded pieces."""
        tones: list[Tone] = []
        if until > self._tape.end:
            self._gaps.append((self._tape.end, until))
        while self._tape.end < until:
            n_samples = min(until - self._tape.end, _SILENCE_SAMPLES)
            self._tape.append(np.zeros(n_samples, np.float32))
            tones += self._feed(self._tape.end - self._hold, out)
        return tones

    def _feed(self, until: int, out: Output, whole: bool = False) -> list[Tone]:
        """Push blocks up to `until`; with `whole`, the last part of a block too."""
        tones: list[Tone] = []
        while self._pushed + self._block <= until or (whole and self._pushed < until):
            end = min(self._pushed + self._block, until)
            audio = self._tape.view(self._pushed, end).copy()
            self._pushed = end
            if self._masker is None:
                self._final = end
            else:
                tones += self._apply(self._masker.push(audio[np.newaxis]), out)
            self._release(out)
        return tones

    def _apply(self, masked: Masked, out: Output) -> list[Tone]:
        for patch in masked.patches:
            start = self._masked_from + patch.start
            end = min(start + len(patch.audio), self._tape.end)
            self._tape.view(start, end)[:] = patch.audio[: end - start]
            if self._touched and self._touched[-1][1] == start:
                self._touched[-1] = (self._touched[-1][0], end)
            else:
                self._touched.append((start, end))
        out.spans += [self._absolute(span) for span in masked.spans]
        self._final = min(self._masked_from + masked.final_until, self._tape.end)
        return list(masked.tones)

    def _absolute(self, span: Span) -> Span:
        first = self._masked_from
        start, end = self.scaled(first + span.start), self.scaled(first + span.end)
        return Span(self._channel, start, end, span.reason, span.level_dbfs)

    def _release(self, out: Output) -> None:
        if self._final > self._told:
            samples = to_int16(self._tape.view(self._told, self._final))
            out.audio.append(AudioChunk(self._channel, self._told, self.rate_hz, samples))
            self._told = self._final
        while self._held and self._held[0].end <= self._final:
            out.sent.append(self._finish(self._held.popleft()))
        keep = min(self._final, min((held.start for held in self._held), default=self._final))
        self._tape.drop(keep)
        for ranges in (self._touched, self._gaps):
            while ranges and ranges[0][1] <= keep:
                ranges.popleft()

    def _finish(self, held: Held) -> Sent:
        """Say what leaves in place of a packet whose samples are final."""
        if self._passes(held):
            return Sent(self._channel, held.index, Verdict.PASSED, held.data)
        if held.start == held.end and self._is_muted(held.start):
            return Sent(self._channel, held.index, Verdict.DROPPED, None)
        try:
            if not held.examined:
                return self._fill(held)
            touched = _clip(self._touched, held.start, held.end)
            if not touched:
                return Sent(self._channel, held.index, Verdict.PASSED, held.data)
            payload = self._patch(held, touched)
        except CodecError:
            return Sent(self._channel, held.index, Verdict.DROPPED, None)
        data = held.packet.with_payload(payload).serialize()
        return Sent(self._channel, held.index, Verdict.PATCHED, data)

    def _passes(self, held: Held) -> bool:
        """Tell whether policy lets a packet pass whatever it is."""
        if self._masker is None:
            return True
        first = self._masked_from
        return self._masker.passes(held.start - first, held.end - first)

    def _is_muted(self, position: int) -> bool:
        masker = self._masker
        return masker is not None and masker.policy_at(position - self._masked_from) is Policy.MUTE

    def _fill(self, held: Held) -> Sent:
        """Stand fill in for a packet, unless the audio beside it already covers its time."""
        middle = (held.start + held.end) // 2
        is_gap = any(start <= middle < end for start, end in self._gaps)
        if held.codec is None or not self._tape.begin <= held.start < held.end or not is_gap:
            return Sent(self._channel, held.index, Verdict.DROPPED, None)
        payload = held.codec.encode(self._tape.view(held.start, held.end))
        packet = held.packet.with_payload(payload, held.payload_type, marker=False)
        return Sent(self._channel, held.index, Verdict.FILLED, packet.serialize())

    def _patch(self, held: Held, touched: list[tuple[int, int]]) -> bytes:
        assert held.codec is not None
        width = held.codec.bytes_per_sample
        if not width:
            return held.codec.encode(self._tape.view(held.start, held.end))
        payload = bytearray(held.packet.payload)
        for start, end in touched:
            at = (start - held.start) * width
            octets = held.codec.encode(self._tape.view(start, end))
            payload[at : at + len(octets)] = octets
        return bytes(payload)


def _clip(ranges: deque[tuple[int, int]], start: int, end: int) -> list[tuple[int, int]]:
    """Give the parts of ordered ranges that lie within ``[start, end)``."""
    return [(max(a, start), min(b, end)) for a, b in ranges if a < end and b > start]
