"""The HTTP control plane (not built yet: the name is reserved in the wheel)."""
