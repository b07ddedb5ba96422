"""The media process: sockets, the tick, and what steers it."""
