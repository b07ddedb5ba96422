"""What a delete leaves of a call.

A delete names a party and perhaps whom it talks with or which branches; what is left is a call
with at least two parties, or nothing. So a lost fork does not end the call, and a hang-up does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from voicemask.ng.dialog import Call, Party
from voicemask.ng.message import Request


def left_after_delete(call: Call, request: Request) -> Call | None:
    """Give the call without what a delete names, None where it names nothing of it."""
    from_tag, to_tag = request.text("from-tag"), request.text("to-tag")
    branches = set(request.texts("via-branch")) - {""}
    party = call.tagged(from_tag)
    if from_tag and party is None:
        return None
    if party is not None and to_tag:
        return _without_dialog(call, party, from_tag, to_tag)
    named = [branch for branch in call.parties if branch.branch in branches]
    if named:
        return _without(call, named)
    # the branch of a BYE is a new one: with a call that stands, it is the call that ends
    near = call.parties if party is None else (party, *call.facing(party))
    stands = any(other.is_answered for other in near)
    return _whole(call) if stands or not branches else None


def _without_dialog(call: Call, party: Party, from_tag: str, to_tag: str) -> Call | None:
    other = call.tagged(to_tag)
    if other is None or other.number == party.number:
        return None
    leaver, tag = (party, from_tag) if other.is_caller else (other, to_tag)
    if len(leaver.tags) > 1:
        return call.with_party(leaver.without_tag(tag))
    return _without(call, [leaver])


def _whole(call: Call) -> Call:
    return replace(call, parties=())


def _without(call: Call, leavers: Sequence[Party]) -> Call:
    for leaver in leavers:
        call = call.without(leaver)
    return call if len(call.parties) > 1 else _whole(call)
