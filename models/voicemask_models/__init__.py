"""Detector models as data: national limits (q24/) and receiver profiles (rx/)."""
