"""pytest fixtures for QA people."""
