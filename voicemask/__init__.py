"""Keeps card numbers keyed on the telephone out of what agents hear and calls record."""

__version__ = "0.1.0"
