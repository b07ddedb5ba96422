"""Replies kept for requests that come again: UDP loses datagrams, and the proxy repeats itself."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

KEPT_S: Final = 30.0
MAX_REPLIES: Final = 4096
MAX_REPLY_BYTES: Final = 16 << 20


class ReplyCache:
    """Replies by cookie and source, for a while.

    A cookie that comes with another request, as from a proxy that was started again, is a new one:
    a hash of the request is kept beside the reply, the request is not.
    """

    def __init__(self) -> None:
        self._replies: OrderedDict[tuple[bytes, str], tuple[float, int, bytes]] = OrderedDict()
        self._n_bytes = 0

    def find(self, cookie: bytes, source: str, payload: bytes, now_s: float) -> bytes | None:
        """Give the reply to this very request, if it was answered not long ago."""
        kept = self._replies.get((cookie, source))
        if kept is None or kept[1] != hash(payload) or not 0 <= now_s - kept[0] <= KEPT_S:
            return None
        return kept[2]

    def keep(self, cookie: bytes, source: str, payload: bytes, reply: bytes, now_s: float) -> None:
        """Keep a reply; the oldest make room."""
        old = self._replies.pop((cookie, source), None)
        self._n_bytes += len(reply) - (len(old[2]) if old else 0)
        self._replies[cookie, source] = (now_s, hash(payload), reply)
        while self._replies and self._must_shrink(now_s):
            _, (_, _, dropped) = self._replies.popitem(last=False)
            self._n_bytes -= len(dropped)

    def _must_shrink(self, now_s: float) -> bool:
        oldest_s = next(iter(self._replies.values()))[0]
        is_full = len(self._replies) > MAX_REPLIES or self._n_bytes > MAX_REPLY_BYTES
        return is_full or now_s - oldest_s > KEPT_S
