"""RTP and RFC 4733 telephone events: bytes in, values out; no socket."""
