"""One call as a function of its inputs: no socket, file or clock; time counts in samples.

packet -> decode -> detect -> arbitrate -> mask -> packet out / recording
"""

from voicemask.call.call import DEFAULT_HOLD_MS, Call
from voicemask.call.values import (
    AGENT,
    CUSTOMER,
    Arrival,
    AudioChunk,
    LegPlan,
    Output,
    Sent,
    Verdict,
)

__all__ = [
    "AGENT",
    "CUSTOMER",
    "DEFAULT_HOLD_MS",
    "Arrival",
    "AudioChunk",
    "Call",
    "LegPlan",
    "Output",
    "Sent",
    "Verdict",
]
