"""Finding DTMF: the Goertzel bank, the two decisions, the arbiter and the independent auditor."""
