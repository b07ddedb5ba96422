"""Codecs, resampling and the sample formats the other stages work on."""
