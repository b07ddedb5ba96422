"""Every error voicemask raises on purpose.

    VoicemaskError
    ├── InputError                something from outside cannot be used; the command line exits 2
    │   ├── AudioFileError        an audio file: missing, empty, truncated, corrupt, not audio
    │   ├── CaptureFileError      a pcap or pcapng file
    │   ├── PacketError           a datagram that is not the RTP it claims to be
    │   ├── CodecError            a payload or codec that cannot be decoded
    │   ├── ProfileError          a detector profile: unknown, incomplete, out of range
    │   ├── SdpError              a session description that cannot be relayed
    │   ├── SrtpError             an SRTP key, or a packet that fails its check
    │   ├── NgError               an NG request that cannot be carried out: the reply's error-reason
    │   │   └── NgBusyError       this node has no room for it; another may have
    │   ├── RecordingError        a recording: missing, damaged, locked, no room
    │   ├── ControlError          a request on the control socket that cannot be carried out
    │   └── ConfigError           a configuration file or setting
    ├── CardError                 a field of a card that is not valid (never says which digits)
    └── SecretError               code tried to print, compare or pickle a digit

A message names the subject, the rule that was broken and the cure, in one line. It never holds
audio, keys or digits.
"""

from __future__ import annotations


class VoicemaskError(Exception):
    """Root of the tree."""


class InputError(VoicemaskError):
    """Something given to us cannot be used.

    Parameters
    ----------
    subject : what was wrong (a file name, a packet, a setting).
    reason : the rule it breaks.
    cure : what to do about it; empty where nothing can be done.
    """

    def __init__(self, subject: str, reason: str, cure: str = "") -> None:
        super().__init__(subject, reason, cure)
        self.subject = subject
        self.reason = reason
        self.cure = cure

    def __str__(self) -> str:
        text = f"{self.subject}: {self.reason}"
        return f"{text}; {self.cure}" if self.cure else text


class AudioFileError(InputError):
    """An audio file that cannot be read or written."""


class CaptureFileError(InputError):
    """A packet capture that cannot be read or written."""


class PacketError(InputError):
    """A datagram that breaks the RTP or RFC 4733 format."""


class CodecError(InputError):
    """A codec we do not have, or a payload it refuses."""


class ProfileError(InputError):
    """A detector profile that is unknown, incomplete or out of range."""


class SdpError(InputError):
    """A session description that breaks RFC 8866, or asks for what cannot be relayed."""


class SrtpError(InputError):
    """An SRTP key that cannot be used, or a packet that fails authentication or was replayed."""


class NgError(InputError):
    """An NG request that is malformed or cannot be carried out; its text is the reply's reason."""


class NgBusyError(NgError):
    """A call that this node has no port or no time for; a proxy may try another node."""


class RecordingError(InputError):
    """A recording or its keys: missing, damaged, erased, or nowhere to write it."""


class ControlError(InputError):
    """A request on the control socket that is malformed or cannot be carried out."""


class ConfigError(InputError):
    """A configuration value that cannot be used."""


class CardError(VoicemaskError):
    """A card field that fails its check; carries the field and the rule, never the value."""

    def __init__(self, field: str, rule: str) -> None:
        super().__init__(f"{field}: {rule}")
        self.field = field
        self.rule = rule


class SecretError(VoicemaskError, TypeError):
    """A digit was about to be printed, formatted, compared with text, or pickled."""
