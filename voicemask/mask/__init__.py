"""Taking tones out of audio: fill, suppression, hold."""
