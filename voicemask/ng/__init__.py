"""The NG control protocol (rtpengine's): messages in, media plans and replies out; no socket."""
