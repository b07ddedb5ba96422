"""Writes one recording: audio and notes, encrypted before they meet the disk.

Audio gathers in memory for at most 250 ms of the time line and is then appended as a frame: what
`kill -9` takes is less than that. Every few seconds the disk is told to keep what it has (that is
for power failures; the kernel keeps what it has by itself). Nothing in clear is written anywhere.

When the disk refuses, the first call that meets it raises `RecordingError`; the recording so far
stays openable. From then on audio is counted as lost, and nothing is raised, until `retry` works:
the lost stretch is noted and the recording goes on with its time line intact. Memory does not grow
with the length of a recording, or of an outage.
"""

from __future__ import annotations

import os
import shutil
from collections import deque
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from nacl.utils import random as random_bytes

from voicemask.audio.vad import TalkMeter
from voicemask.errors import RecordingError
from voicemask.mask.span import Span
from voicemask.recording import frames, layout
from voicemask.recording.envelope import Envelope
from voicemask.recording.frames import FrameWriter, disk_error
from voicemask.recording.keys import KEY_BYTES, KeyRing, sync_folder
from voicemask.recording.layout import RATES_HZ, Stereo
from voicemask.recording.metadata import (
    CHANNELS,
    FORMAT,
    MAX_SPANS,
    Opening,
    Summary,
    clean,
    serialize_note,
)
from voicemask.recording.track import AudioTrack

SYNC_S: Final = 5.0
SEGMENT_S: Final = 600
_MAX_HELD: Final = 64


class RecordingWriter:
    """A recording being written. Make it with `create`.

    Its methods take places as samples at `rate_hz` from the start of the recording.
    """

    def __init__(
        self,
        folder: Path,
        envelope: Envelope,
        key: bytes,
        rate_hz: int,
        *,
        sync_s: float,
        segment_s: float,
        measures_talk: bool,
    ) -> None:
        self.folder = folder
        self.rate_hz = rate_hz
        self._envelope = envelope
        self._notes = FrameWriter(
            folder / layout.NOTES, key, self.recording_id, frames.NOTES, holds_lock=True
        )
        self._meters = tuple(TalkMeter(rate_hz) for _ in CHANNELS) if measures_talk else ()
        self._track = AudioTrack(
            folder,
            key,
            self.recording_id,
            rate_hz=rate_hz,
            segment_samples=round(segment_s * rate_hz),
            meters=self._meters,
        )
        self._position = 0
        self._is_paused = False
        self._turns: deque[tuple[int, str | None]] = deque()
        self._failed_at: int | None = None
        self._held: deque[tuple[str, dict[str, Any]]] = deque(maxlen=_MAX_HELD)
        self._has_lost = False
        self._n_spans = 0
        self._sync_samples = round(sync_s * rate_hz)
        self._synced_at = 0

    @classmethod
    def create(
        cls,
        folder: Path,
        recording_id: UUID,
        keys: KeyRing,
        *,
        started_at: float,
        rate_hz: int,
        opening: Opening,
        sync_s: float = SYNC_S,
        segment_s: float = SEGMENT_S,
        measures_talk: bool = True,
    ) -> RecordingWriter:
        """Begin a recording.

        Parameters
        ----------
        folder : of all recordings, made if it is not there.
        recording_id : names the recording's folder in it.
        keys : public parts are enough.
        started_at : Unix time of sample 0, in seconds.
        rate_hz : 8000 or 16000.
        opening : what is known now.
        sync_s : audio between two fdatasync, in seconds.
        segment_s : audio in one file, in seconds.
        measures_talk : count talk and silence of each channel.

        Raises
        ------
        RecordingError
            The place cannot be written, or the id is taken.
        """
        if rate_hz not in RATES_HZ:
            raise ValueError(f"rate_hz {rate_hz}")
        key = random_bytes(KEY_BYTES)
        envelope = Envelope.wrap(recording_id, round(started_at * 1000), key, keys)
        place = _make_place(folder, recording_id)
        writer = cls(
            place,
            envelope,
            key,
            rate_hz,
            sync_s=sync_s,
            segment_s=segment_s,
            measures_talk=measures_talk,
        )
        try:
            write_envelope(place, envelope)
            writer._begin(started_at, opening)
            sync_folder(folder)
        except (OSError, RecordingError) as error:
            writer.close()
            shutil.rmtree(place, ignore_errors=True)
            raise disk_error(place, error) if isinstance(error, OSError) else error from None
        return writer

    def _begin(self, started_at: float, opening: Opening) -> None:
        facts = clean(asdict(opening))
        fields = {"format": FORMAT, "started_at": started_at, "rate_hz": self.rate_hz}
        self._notes.append(serialize_note("opened", **fields, **facts))

    @property
    def recording_id(self) -> UUID:
        """Its id."""
        return self._envelope.recording_id

    @property
    def position(self) -> int:
        """Sample up to which audio has come."""
        return self._position

    @property
    def is_failed(self) -> bool:
        """Whether the disk refused and `retry` has not worked since."""
        return self._failed_at is not None

    def write(self, start: int, audio: Stereo) -> None:
        """Go on with audio from sample `start` on, shape (n, 2), customer left.

        What lies before `position` is left out: a recording is never written twice. Between
        `position` and `start` is silence.

        Raises
        ------
        RecordingError
            The disk refused for the first time, or again after a `retry`.
        """
        if start < self._position:
            audio = audio[self._position - start :]
            start = self._position
        end = start + len(audio)
        while self._turns and self._turns[0][0] < end:
            at, reason = self._turns[0]
            n_before = max(0, at - start)
            self._take(start, audio[:n_before])
            audio = audio[n_before:]
            start += n_before
            self._turns.popleft()
            self._turn(at, reason)
        self._take(start, audio)

    def _take(self, start: int, audio: Stereo) -> None:
        if not len(audio):
            return
        self._position = start + len(audio)
        if self._is_paused:
            return
        if self._failed_at is not None:
            self._has_lost = True
            return
        try:
            self._track.gather(start, audio)
        except RecordingError:
            self._fail(self._track.end)
            raise
        if self._track.end - self._synced_at >= self._sync_samples:
            self._synced_at = self._track.end
            self.sync()

    def _fail(self, lost_from: int) -> None:
        """Count audio as lost from here on, until `retry` works."""
        if self._failed_at is None:
            gathered = self._track.drop()
            self._failed_at = lost_from if gathered is None else gathered

    def flush(self) -> None:
        """Append what was gathered, though it is less than a frame.

        Raises
        ------
        RecordingError
            The disk refused.
        """
        if self._failed_at is not None:
            return
        try:
            self._track.cut()
        except RecordingError:
            self._fail(self._track.end)
            raise

    def sync(self) -> None:
        """Make what was appended outlive a power failure; takes as long as the disk does.

        Raises
        ------
        RecordingError
            The disk failed.
        """
        try:
            self._track.sync()
            self._notes.sync()
        except RecordingError:
            self._fail(self._position)
            raise

    def retry(self) -> None:
        """Try again after the disk refused; what is lost is noted.

        Raises
        ------
        RecordingError
            It still refuses.
        """
        if self._failed_at is None:
            return
        self._track.retry()
        self._notes.retry()
        start, self._failed_at = self._failed_at, None
        if self._position > start:
            self.mark_lost(start, self._position, "disk")
        while self._held and self._failed_at is None:
            kind, content = self._held.popleft()
            self._note(kind, **content)

    def pause(self, reason: str, at: int | None = None) -> None:
        """Leave audio out from sample `at` on (default: from here on); the time line goes on.

        Raises
        ------
        RecordingError
            The disk refused for the first time.
        """
        self._plan_turn(at, str(reason) or "asked")

    def resume(self, at: int | None = None) -> None:
        """Record again from sample `at` on (default: from here on).

        Raises
        ------
        RecordingError
            The disk refused for the first time.
        """
        self._plan_turn(at, None)

    def _plan_turn(self, at: int | None, reason: str | None) -> None:
        last = self._turns[-1][0] if self._turns else self._position
        at = max(last, self._position if at is None else at)
        if at > self._position or self._turns:
            self._turns.append((at, reason))
        else:
            self._turn(at, reason)

    def _turn(self, at: int, reason: str | None) -> None:
        if self._is_paused == (reason is not None):
            return
        self._is_paused = reason is not None
        try:
            self.flush()
        finally:
            if reason is not None:
                self._note("pause", at=at, reason=reason[:100])
            else:
                self._note("resume", at=at)

    def spans(self, spans: Iterable[Span]) -> None:
        """Note masked stretches, in samples at the recording's rate.

        Raises
        ------
        RecordingError
            The disk refused for the first time.
        """
        rows = [[span.channel, span.start, span.end, span.reason.value] for span in spans]
        self._n_spans += len(rows)
        for first in range(0, len(rows), MAX_SPANS):
            self._note("spans", spans=rows[first : first + MAX_SPANS])

    def event(self, name: str, at: int | None = None, **details: str | float) -> None:
        """Note what happened: a change of policy, of who is who, a call that degraded.

        Raises
        ------
        RecordingError
            The disk refused for the first time.
        """
        place = self._position if at is None else at
        self._note("event", at=place, name=name, details=clean(details))

    def mark_lost(self, start: int, end: int, reason: str = "overload") -> None:
        """Note that audio of this stretch never came here.

        Raises
        ------
        RecordingError
            The disk refused for the first time.
        """
        self._has_lost = True
        self._note("lost", start=start, end=end, reason=reason[:100])

    def _note(self, kind: str, **content: Any) -> None:
        if self._failed_at is not None:
            self._held.append((kind, content))
            return
        try:
            self._notes.append(serialize_note(kind, **content))
        except RecordingError:
            self._fail(self._position)
            raise

    def finish(self, summary: Summary = Summary()) -> None:  # noqa: B008, frozen
        """End the recording: everything is on the disk when this returns.

        Raises
        ------
        RecordingError
            It cannot be finished: it stays as it is, incomplete. The caller may `retry` and try
            again, or `close` it.
        """
        while self._turns and self._turns[0][0] <= self._position:
            self._turn(*self._turns.popleft())
        self.retry()
        self.flush()
        try:
            self._track.finish(self._position)
            if not self._notes.is_ended:
                note = serialize_note("finished", **self._closing(summary))
                self._notes.append(note, is_final=True)
            self._notes.sync()
        except RecordingError:
            self._fail(self._position)
            raise
        self.close()

    def _closing(self, summary: Summary) -> dict[str, Any]:
        end = self._position if summary.end is None else max(summary.end, self._position)
        for meter in self._meters:
            meter.flush()
        talk = {
            name: {"talk_s": meter.talk_s, "silence_s": end / self.rate_hz - meter.talk_s}
            for name, meter in zip(CHANNELS, self._meters, strict=False)
        }
        is_degraded = summary.is_degraded or self._has_lost
        return {
            "end": end,
            "state": "degraded" if is_degraded else "complete",
            "reason": summary.reason[:100],
            "talk": talk,
            "packets": clean(summary.packets),
            "n_spans": self._n_spans,
            "n_audio_files": self._track.n_files,
            "n_audio_bytes": self._track.n_bytes,
        }

    def close(self) -> None:
        """Let go of the files as they are; a recording that was not finished is incomplete."""
        self._track.close()
        self._notes.close()


def _make_place(folder: Path, recording_id: UUID) -> Path:
    place = folder / str(recording_id)
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        place.mkdir(mode=0o700)
    except OSError as error:
        raise disk_error(place, error) from error
    return place


def write_envelope(place: Path, envelope: Envelope) -> None:
    """Write the file ``key`` of a recording, so that it appears whole.

    Raises
    ------
    OSError
        It cannot be written.
    """
    part = place / layout.KEY_PART
    part.unlink(missing_ok=True)
    with part.open("xb") as file:
        part.chmod(0o600)
        file.write(envelope.serialize())
        file.flush()
        os.fsync(file.fileno())
    part.replace(place / layout.KEY)
    sync_folder(place)
