"""Recordings: masked audio, encrypted as it is written, and read again."""
