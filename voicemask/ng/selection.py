"""Which party a command is about."""

from __future__ import annotations

from voicemask.errors import NgError
from voicemask.ng.dialog import Call, Party
from voicemask.ng.flags import Options
from voicemask.ng.message import Request
from voicemask.ng.wishes import WHOLE_CALL


def chosen_party(call: Call, request: Request, options: Options) -> int:
    """Find the party a command names: by tag if it is `directional`, by address, by label.

    Raises
    ------
    NgError
        It names one that is not there: better than masking another one.
    """
    from_tag, address = request.text("from-tag"), request.text("address")
    found: Party | None
    if from_tag and options.is_directional:
        found = call.tagged(from_tag)
    elif address:
        found = next((party for party in call.parties if _receives_at(party, address)), None)
    elif options.label:
        labels = (party for party in call.parties if party.label == options.label)
        found = next(labels, None)
    else:
        return WHOLE_CALL
    if found is None:
        raise NgError("from-tag, address or label", "names no party of this call")
    return found.number


def _receives_at(party: Party, address: str) -> bool:
    remotes = [medium.remote for medium in party.media if medium is not None]
    return any(remote is not None and remote.address == address for remote in remotes)
