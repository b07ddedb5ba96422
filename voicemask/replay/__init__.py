"""Files and captures in, masked files and captures out."""
