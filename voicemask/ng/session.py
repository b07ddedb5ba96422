"""The NG server without its socket: a datagram in, a reply out, the media side told in between.

    datagram -> envelope -> reply cache -> request -> command -> media side -> reply
                                |                                                ^
                                +------------------------------------------------+

What a command needs and does is one method; `COMMANDS` is the list. A command that cannot be
carried out is answered with the reason and leaves nothing behind.

References
----------
rtpengine, docs/ng_control_protocol.md; what differs is in docs/ng.md.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from voicemask.errors import InputError, NgBusyError, NgError
from voicemask.ng import exchange
from voicemask.ng.cache import ReplyCache
from voicemask.ng.deletion import left_after_delete
from voicemask.ng.description import parse_description
from voicemask.ng.dialog import Call
from voicemask.ng.exchange import Outcome, Reservations, Signal
from voicemask.ng.flags import Options, read_options
from voicemask.ng.forks import Forks
from voicemask.ng.message import (
    Request,
    error_reply,
    normalise,
    open_envelope,
    read_request,
    write_reply,
)
from voicemask.ng.plan import MediaSide, RecordingAction, Trigger
from voicemask.ng.remote import Terms
from voicemask.ng.report import call_report, plain
from voicemask.ng.selection import chosen_party
from voicemask.ng.wishes import WHOLE_CALL, Wish, WishBook, Wishes

Fields: TypeAlias = dict[str, Any]

UNKNOWN_CALL: Final = "Unknown call-id"
_NOT_DELETED: Final = "Call-ID not found or tags didn't match"
_MAX_LISTED: Final = 1000
_ACTIONS: Final = {
    "start-recording": RecordingAction.START,
    "stop-recording": RecordingAction.STOP,
    "pause-recording": RecordingAction.PAUSE,
}
REFUSED: Final[Mapping[str, str]] = {
    "connect": "calls are joined by offer and answer only",
    "create": "a call begins with an offer",
    "create-answer": "a call begins with an offer",
    "inject-start": "media come from the parties only",
    "inject-stop": "media come from the parties only",
    "mesh": "calls are joined by offer and answer only",
    "play-dtmf": "voicemask keeps keys out of calls, it plays none",
    "play-media": "voicemask plays no files",
    "publish": "a call begins with an offer; for copies of its media use `subscribe request`",
    "start-forwarding": "use `subscribe request`, which masks",
    "stop-forwarding": "use `unsubscribe`",
    "stop-media": "voicemask plays no files",
}


@dataclass(slots=True)
class _Record:
    """A call, and what was asked about it."""

    call: Call
    wishes: WishBook = field(default_factory=WishBook)
    triggers: dict[int, Trigger] = field(default_factory=dict)
    has_recorded: bool = False


class NgServer:
    """Answers NG requests and tells the media side what to do.

    Parameters
    ----------
    media : carries plans out.
    terms : what holds for all calls, the source of keys among it.
    """

    def __init__(self, media: MediaSide, terms: Terms) -> None:
        self._media = media
        self._terms = terms
        self._records: dict[str, _Record] = {}
        self._forks = Forks(media, terms)
        self._cache = ReplyCache()

    def handle(self, datagram: bytes, source: str, now_s: float) -> bytes | None:
        """Answer one message; None where there is nobody to answer.

        Parameters
        ----------
        source : whom it came from; a cookie counts for its source only.
        now_s : any clock that does not go back.
        """
        envelope = open_envelope(datagram)
        if envelope is None:
            return None
        cached = self._cache.find(envelope.cookie, source, envelope.payload, now_s)
        if cached is not None:
            return cached
        try:
            fields = self._answer(read_request(envelope))
        except InputError as error:
            fields = error_reply(error)
        reply = write_reply(envelope, fields)
        self._cache.keep(envelope.cookie, source, envelope.payload, reply, now_s)
        return reply

    def forget(self, call_id: str) -> None:
        """Take note that the media side ended a call of its own accord."""
        self._records.pop(call_id, None)
        self._forks.forget(call_id)

    def _answer(self, request: Request) -> Fields:
        command = normalise(request.text("command"))
        if command in REFUSED:
            raise NgError(command, "is not supported", REFUSED[command])
        handler = COMMANDS.get(command)
        if handler is None:
            raise NgError("", "Unrecognized command")
        try:
            return handler(self, request)
        except NgBusyError as error:
            if "load limit" not in request.texts("supports"):
                raise
            return {"result": "load limit", "message": str(error)}

    def _record(self, request: Request) -> _Record:
        record = self._records.get(_call_id(request))
        if record is None:
            raise NgError("", UNKNOWN_CALL)
        return record

    def ping(self, _: Request) -> Fields:
        """Say that we are there."""
        return {"result": "pong"}

    def offer(self, request: Request) -> Fields:
        """Relay an offer."""
        call_id, signal = _call_id(request), _signal(request)
        record = self._records.get(call_id) or _Record(Call(call_id))
        ports = Reservations(self._media)
        try:
            outcome = exchange.offer(record.call, signal, self._terms, ports)
            self._apply(outcome.call, record.call)
        except InputError:
            ports.give_back()
            raise
        is_new = call_id not in self._records
        self._records[call_id] = record
        try:
            return self._settle(record, outcome, signal.options)
        except InputError:
            if is_new:
                self._end(call_id)
            raise

    def answer(self, request: Request) -> Fields:
        """Relay an answer."""
        record, signal = self._record(request), _signal(request)
        if not signal.to_tag and not signal.branch:
            raise NgError("", "No to-tag in message")
        outcome = exchange.answer(record.call, signal, self._terms)
        self._apply(outcome.call, record.call)
        return self._settle(record, outcome, signal.options)

    def delete(self, request: Request) -> Fields:
        """End a call, or branches of it."""
        record = self._records.get(_call_id(request))
        left = left_after_delete(record.call, request) if record is not None else None
        if record is None or left is None:
            if "fatal" in request.flags:
                raise NgError("", _NOT_DELETED)
            return {"result": "ok", "warning": _NOT_DELETED}
        if not left.parties:
            report = call_report(record.call, self._end(left.call_id))
        else:
            report = call_report(record.call, self._media.state(left.call_id))
            self._apply(left, record.call)
            self._keep(record, left)
        return {"result": "ok"} | ({} if "fast" in request.flags else report)

    def query(self, request: Request) -> Fields:
        """Tell the state of a call."""
        record = self._record(request)
        state = self._media.state(record.call.call_id)
        tags = {request.text("from-tag"), request.text("to-tag")} - {""}
        return {"result": "ok"} | call_report(record.call, state, tags)

    def list_calls(self, request: Request) -> Fields:
        """Name the calls."""
        limit = request.integer("limit")
        limit = 32 if limit is None else limit
        if not 0 < limit <= _MAX_LISTED:
            raise NgError("limit", f"is not between 1 and {_MAX_LISTED}")
        return {"result": "ok", "calls": list(self._media.call_ids())[:limit]}

    def statistics(self, _: Request) -> Fields:
        """Tell the totals of the process."""
        return {"result": "ok", "statistics": plain(self._media.statistics())}

    def set_recording(self, request: Request) -> Fields:
        """Start, go on with, pause or stop the recording of a call."""
        record, options = self._record(request), read_options(request)
        action = _ACTIONS[normalise(request.text("command"))]
        pauses = "pause" in request.flags or request.text("pause").lower() in {"yes", "on"}
        if action is RecordingAction.STOP and pauses:
            action = RecordingAction.PAUSE
        self._media.record(record.call.call_id, action, options.metadata)
        record.has_recorded = True
        return _ok(options.warnings)

    def block(self, request: Request) -> Fields:
        """Mask keys or everything, of a call or of a party."""
        record, options = self._record(request), read_options(request)
        wish = _wish(request)
        number = chosen_party(record.call, request, options)
        if wish is Wish.DTMF and not options.dtmf.is_on:
            wishes = record.wishes.dropped(number, wish)
            return self._change(record, number, wishes, options.warnings)
        if wish is Wish.DTMF and options.trigger:
            self._set_trigger(record, number, options)
            if not options.blocks_dtmf:
                return _ok(options.warnings)
        wishes = record.wishes.added(number, wish, options.dtmf)
        return self._change(record, number, wishes, options.warnings)

    def unblock(self, request: Request) -> Fields:
        """Go back to what is configured, as far as nothing else was asked for."""
        record, options = self._record(request), read_options(request)
        number = chosen_party(record.call, request, options)
        everywhere = number == WHOLE_CALL and options.is_for_all
        wishes = record.wishes.dropped(number, _wish(request), everywhere=everywhere)
        return self._change(record, number, wishes, options.warnings)

    def subscribe_request(self, request: Request) -> Fields:
        """Offer a copy of a call's media."""
        record, options = self._record(request), read_options(request)
        return _ok(options.warnings) | self._forks.request(record.call, request, options)

    def subscribe_answer(self, request: Request) -> Fields:
        """Take the answer to it."""
        record, options = self._record(request), read_options(request)
        warnings = self._forks.answer(record.call, request, options)
        return _ok((*options.warnings, *warnings))

    def unsubscribe(self, request: Request) -> Fields:
        """End a subscription."""
        record = self._record(request)
        self._forks.end(record.call.call_id, request.text("to-tag"))
        return {"result": "ok"}

    def _apply(self, call: Call, before: Call) -> None:
        """Have a plan carried out; if it cannot be, the one before it holds again."""
        try:
            self._media.apply(call.plan())
        except InputError:
            with contextlib.suppress(InputError):
                if before.parties:
                    self._media.apply(before.plan())
                else:
                    self._media.end(call.call_id)
            raise

    def _settle(self, record: _Record, outcome: Outcome, options: Options) -> Fields:
        """Keep what an offer or answer brought, and do what else it asked for."""
        self._keep(record, outcome.call)
        if options.blocks_dtmf:
            self._heed_block(record, outcome.speaker, options)
        if options.trigger:
            self._set_trigger(record, outcome.speaker, options)
        warnings = [*options.warnings, *outcome.warnings]
        if options.records and not record.has_recorded:
            warnings += self._start_recording(record, options)
        return _ok(warnings) | {"sdp": outcome.sdp}

    def _heed_block(self, record: _Record, number: int, options: Options) -> None:
        if not options.dtmf.is_on:
            self._change(record, number, record.wishes.dropped(number, Wish.DTMF))
        else:
            self._change(record, number, record.wishes.added(number, Wish.DTMF, options.dtmf))

    def _start_recording(self, record: _Record, options: Options) -> list[str]:
        """Start the recording an offer asks for; the call goes on without."""
        try:
            self._media.record(record.call.call_id, RecordingAction.START, options.metadata)
        except InputError as error:
            return [f"record-call: {error}"]
        record.has_recorded = True
        return []

    def _change(
        self, record: _Record, number: int, wishes: WishBook, warnings: Sequence[str] = ()
    ) -> Fields:
        """Tell the media side what is wished for now, and keep it if it could."""
        call_id = record.call.call_id
        if number == WHOLE_CALL:
            self._media.set_policy(call_id, wishes.of_call().change(""))
        for party in record.call.parties:
            own = wishes.of_party(party.number)
            if party.number == number and not party.tag:
                raise NgError("party", "has no tag before it answers", "block the whole call")
            if own is not None or party.number == number:
                # a change for the call may have gone over what was said of a tag
                self._media.set_policy(call_id, (own or Wishes()).change(party.tag))
        record.wishes = wishes
        return _ok(warnings)

    def _keep(self, record: _Record, call: Call) -> None:
        """Keep a call as it is now; a party known by another tag gets its policy by that tag."""
        old = {party.number: party.tag for party in record.call.parties}
        record.call = call
        for party in call.parties:
            own = record.wishes.of_party(party.number)
            if own is not None and party.tag and old.get(party.number) != party.tag:
                self._media.set_policy(call.call_id, own.change(party.tag))

    def _set_trigger(self, record: _Record, number: int, options: Options) -> None:
        party = record.call.numbered(number)
        trigger = Trigger(options.trigger, options.trigger_end, party.tag if party else "")
        if options.masks_on_trigger and record.triggers.get(number) != trigger:
            self._media.set_trigger(record.call.call_id, trigger)
            record.triggers[number] = trigger

    def _end(self, call_id: str) -> Any:
        self._forks.end_all(call_id)
        del self._records[call_id]
        return self._media.end(call_id)


def _call_id(request: Request) -> str:
    call_id = request.text("call-id")
    if not call_id:
        raise NgError("", "No call-id in message")
    return call_id


def _signal(request: Request) -> Signal:
    from_tag = request.text("from-tag")
    if not from_tag:
        raise NgError("", "No from-tag in message")
    to_tag = request.text("to-tag")
    if from_tag == to_tag or ";" in from_tag + to_tag:
        raise NgError("to-tag", "is the same as from-tag, or one of them is none of SIP's")
    body = request.body()
    if not body:
        raise NgError("", "No SDP body in message")
    branch = next(iter(request.texts("via-branch")), "")
    options = read_options(request)
    return Signal(from_tag, to_tag, branch, parse_description(body), options)


def _ok(warnings: Sequence[str]) -> Fields:
    return {"result": "ok", "warning": "; ".join(warnings)} if warnings else {"result": "ok"}


def _wish(request: Request) -> Wish:
    what = normalise(request.text("command")).partition("-")[2]
    if what == "dtmf":
        return Wish.DTMF
    return Wish.SILENCE if "silence" in request.text("command").lower() else Wish.MEDIA


COMMANDS: Final[Mapping[str, Callable[[NgServer, Request], Fields]]] = {
    "ping": NgServer.ping,
    "offer": NgServer.offer,
    "answer": NgServer.answer,
    "delete": NgServer.delete,
    "query": NgServer.query,
    "list": NgServer.list_calls,
    "statistics": NgServer.statistics,
    "start-recording": NgServer.set_recording,
    "stop-recording": NgServer.set_recording,
    "pause-recording": NgServer.set_recording,
    "block-dtmf": NgServer.block,
    "unblock-dtmf": NgServer.unblock,
    "block-media": NgServer.block,
    "unblock-media": NgServer.unblock,
    "silence-media": NgServer.block,
    "unsilence-media": NgServer.unblock,
    "subscribe-request": NgServer.subscribe_request,
    "subscribe-answer": NgServer.subscribe_answer,
    "unsubscribe": NgServer.unsubscribe,
}
