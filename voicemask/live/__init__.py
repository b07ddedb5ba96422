"""Masking of a leg that someone is listening to: one packet of hold, many legs at once; no I/O."""
