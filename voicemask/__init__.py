"""Keeps card numbers keyed on the telephone out of what agents hear and what call centres record."""

__version__ = "0.1.0"
