"""The codecs of a call: RTP payloads to audio and back, one object per stream and direction.

A `Codec` keeps the state of its stream, so it is given the payloads in order. Codecs that send
every sample on its own (`bytes_per_sample` above zero: G.711, L16) let a packet be patched sample
by sample; the others (G.722, Opus, GSM) have their packets replaced whole.

G.711 and L16 are arrays and tables; G.722 and Opus go through PyAV (FFmpeg, libopus), GSM is
decoded by PyAV and encoded by libsndfile. What we cannot encode we cannot mask in place, so a
codec without an encoder is refused here, and its packets never pass while policy masks.

References
----------
RFC 3551 section 4.5 (payload formats), RFC 7587 (Opus), RFC 3551 4.5.2 (G.722's clock of 8000).
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any, Final, Protocol

import av
import av.error
import numpy as np
from numpy.typing import NDArray

from voicemask.audio import g711
from voicemask.audio.gsm import GsmEncoder
from voicemask.errors import CodecError
from voicemask.rtp.sdp import PayloadType

FULL_SCALE: Final = 32768.0
L16_RATES_HZ: Final = frozenset({8000, 16000, 32000, 44100, 48000})
MAX_PACKET_MS: Final = 400
"""Longer packets are refused: no telephone sends them, and they would defeat the hold."""


class Codec(Protocol):
    """One direction of one stream.

    Attributes
    ----------
    name : encoding name of RFC 3551 / the rtpmap.
    rate_hz : sampling rate of the audio.
    clock_hz : RTP clock; differs from `rate_hz` for G.722.
    bytes_per_sample : octets of one sample, 0 for codecs that code blocks.
    """

    @property
    def name(self) -> str: ...
    @property
    def rate_hz(self) -> int: ...
    @property
    def clock_hz(self) -> int: ...
    @property
    def bytes_per_sample(self) -> int: ...

    def decode(self, payload: bytes) -> NDArray[np.float32]:
        """Give the audio of a payload, shape (n,), full scale ±1.0; raises CodecError."""
        ...

    def encode(self, audio: NDArray[np.float32]) -> bytes:
        """Give the payload of audio, shape (n,); raises CodecError for lengths it cannot code."""
        ...


def to_int16(audio: NDArray[np.float32]) -> NDArray[np.int16]:
    """Round audio to 16 bits, clipping at full scale. Decoded G.711 comes back exactly."""
    scaled: NDArray[np.float32] = np.clip(np.rint(audio * FULL_SCALE), -32768, 32767)
    return scaled.astype(np.int16)


def to_float32(samples: NDArray[np.int16]) -> NDArray[np.float32]:
    """Scale 16-bit samples to ±1.0, exactly."""
    return samples.astype(np.float32) / np.float32(FULL_SCALE)


class G711Codec:
    """PCMU and PCMA."""

    rate_hz = 8000
    clock_hz = 8000
    bytes_per_sample = 1

    def __init__(self, law: g711.Law) -> None:
        self._law = law
        self._floats = to_float32(g711.decode(np.arange(256, dtype=np.uint8), law))
        self.name = "PCMU" if law is g711.Law.MU else "PCMA"

    def decode(self, payload: bytes) -> NDArray[np.float32]:
        _refuse_length(self.name, len(payload), self.rate_hz)
        return self._floats[np.frombuffer(payload, np.uint8)]

    def encode(self, audio: NDArray[np.float32]) -> bytes:
        return g711.encode(to_int16(audio), self._law).tobytes()


class L16Codec:
    """Linear 16-bit samples in network order (RFC 3551 4.5.11), one channel."""

    name = "L16"
    bytes_per_sample = 2

    def __init__(self, rate_hz: int) -> None:
        self.rate_hz = self.clock_hz = rate_hz

    def decode(self, payload: bytes) -> NDArray[np.float32]:
        if len(payload) % 2:
            raise CodecError("L16 packet", "half a sample at its end")
        _refuse_length(self.name, len(payload) // 2, self.rate_hz)
        return to_float32(np.frombuffer(payload, ">i2").astype(np.int16))

    def encode(self, audio: NDArray[np.float32]) -> bytes:
        return to_int16(audio).astype(">i2").tobytes()


class _AvCodec:
    """What G.722, Opus and GSM share: a PyAV decoder of mono 16-bit or float frames."""

    bytes_per_sample = 0

    def __init__(self, name: str, decoder: str, rate_hz: int, clock_hz: int) -> None:
        self.name = name
        self.rate_hz = rate_hz
        self.clock_hz = clock_hz
        context = av.codec.CodecContext.create(decoder, "r")
        assert isinstance(context, av.AudioCodecContext)
        context.sample_rate = rate_hz
        context.layout = "mono"
        self._decoder: av.AudioCodecContext = context

    def decode(self, payload: bytes) -> NDArray[np.float32]:
        if not payload:
            raise CodecError(f"{self.name} packet", "empty")
        try:
            frames = self._decoder.decode(av.Packet(payload))
        except av.error.FFmpegError:
            raise CodecError(f"{self.name} packet", "does not decode") from None
        if not frames or any(frame.sample_rate != self.rate_hz for frame in frames):
            raise CodecError(f"{self.name} packet", "holds no audio")
        audio = np.concatenate([_mono(frame) for frame in frames])
        _refuse_length(self.name, len(audio), self.rate_hz)
        return audio


class G722Codec(_AvCodec):
    """G.722 at 64 kbit/s: 16 kHz audio on an RTP clock of 8 kHz."""

    def __init__(self) -> None:
        super().__init__("G722", "g722", 16000, 8000)
        self._encoders: dict[int, av.AudioCodecContext] = {}

    def encode(self, audio: NDArray[np.float32]) -> bytes:
        if len(audio) % 2 or not 2 <= len(audio) <= 1024:
            return self._encode_pieces(audio)
        if len(audio) not in self._encoders:
            options = {"frame_size": str(len(audio))}
            self._encoders[len(audio)] = _make_encoder("g722", self.rate_hz, options)
        return _encode_frame(self._encoders[len(audio)], to_int16(audio), self.name)

    def _encode_pieces(self, audio: NDArray[np.float32]) -> bytes:
        """FFmpeg's encoder takes at most 1024 samples: longer packets go in equal pieces."""
        n_pieces = -(-len(audio) // 1024)
        if not n_pieces or len(audio) % (2 * n_pieces):
            raise CodecError("G722 packet", "cannot code this many samples")
        return b"".join(self.encode(piece) for piece in np.split(audio, n_pieces))


class OpusCodec(_AvCodec):
    """Opus, decoded and encoded as mono at 48 kHz.

    The encoder's look-ahead moves replaced audio by 6.5 ms; it is only ever given masked audio, so
    what it carries over from one packet to the next tells nothing.
    """

    _FRAME_MS: Final = (2.5, 5, 10, 20, 40, 60, 80, 100, 120)

    def __init__(self) -> None:
        super().__init__("OPUS", "libopus", 48000, 48000)
        self._encoders: dict[int, av.AudioCodecContext] = {}

    def encode(self, audio: NDArray[np.float32]) -> bytes:
        n_samples = len(audio)
        if n_samples not in {int(48 * ms) for ms in self._FRAME_MS}:
            raise CodecError("OPUS packet", "not a length its encoder has")
        if n_samples not in self._encoders:
            options = {"frame_duration": f"{n_samples / 48:g}", "application": "voip"}
            encoder = _make_encoder("libopus", self.rate_hz, options)
            self._encoders[n_samples] = encoder
        return _encode_frame(self._encoders[n_samples], to_int16(audio), self.name)


class GsmCodec(_AvCodec):
    """GSM 06.10 full rate: frames of 160 samples in 33 octets (RFC 3551 4.5.8)."""

    FRAME_SAMPLES: Final = 160
    FRAME_BYTES: Final = 33

    def __init__(self) -> None:
        super().__init__("GSM", "gsm", 8000, 8000)
        self._encoder = GsmEncoder()

    def decode(self, payload: bytes) -> NDArray[np.float32]:
        if not payload or len(payload) % self.FRAME_BYTES:
            raise CodecError("GSM packet", "not made of 33-octet frames")
        frames = range(0, len(payload), self.FRAME_BYTES)
        parts = [super(GsmCodec, self).decode(payload[at : at + self.FRAME_BYTES]) for at in frames]
        audio = np.concatenate(parts)
        _refuse_length(self.name, len(audio), self.rate_hz)
        return audio

    def encode(self, audio: NDArray[np.float32]) -> bytes:
        if not len(audio) or len(audio) % self.FRAME_SAMPLES:
            raise CodecError("GSM packet", "not made of frames of 160 samples")
        return self._encoder.encode(to_int16(audio))


def make_codec(payload_type: PayloadType) -> Codec:
    """Make the codec of a payload type.

    Raises
    ------
    CodecError
        We do not have it, or not with this clock or number of channels.
    """
    encoding, clock_hz = payload_type.encoding.upper(), payload_type.clock_hz
    if encoding in ("PCMU", "PCMA") and (clock_hz, payload_type.n_channels) == (8000, 1):
        return G711Codec(g711.Law.MU if encoding == "PCMU" else g711.Law.A)
    if encoding == "G722" and clock_hz == 8000:
        return G722Codec()
    if encoding == "OPUS" and clock_hz == 48000:
        return OpusCodec()
    if encoding == "GSM" and clock_hz == 8000:
        return GsmCodec()
    if encoding == "L16" and payload_type.n_channels == 1 and clock_hz in L16_RATES_HZ:
        return L16Codec(clock_hz)
    raise CodecError(
        f"codec {encoding[:32]}/{clock_hz}",
        "not one we can decode and encode",
        "offer G.711, G.722, Opus, GSM or L16",
    )


def _refuse_length(name: str, n_samples: int, rate_hz: int) -> None:
    if not 0 < n_samples <= rate_hz * MAX_PACKET_MS // 1000:
        raise CodecError(
            f"{name} packet", f"not between one sample and {MAX_PACKET_MS} ms of audio"
        )


def _mono(frame: av.AudioFrame) -> NDArray[np.float32]:
    """Give a decoded frame as float; planar and packed layouts are the same for one channel."""
    samples: NDArray[Any] = frame.to_ndarray().reshape(-1)
    scale = FULL_SCALE if samples.dtype == np.int16 else 1.0
    return samples.astype(np.float32) / np.float32(scale)


def _make_encoder(name: str, rate_hz: int, options: dict[str, str]) -> av.AudioCodecContext:
    encoder = av.codec.CodecContext.create(name, "w")
    assert isinstance(encoder, av.AudioCodecContext)
    encoder.sample_rate = rate_hz
    encoder.layout = "mono"
    encoder.format = "s16"
    encoder.time_base = Fraction(1, rate_hz)
    encoder.options = options
    return encoder


def _encode_frame(encoder: av.AudioCodecContext, samples: NDArray[np.int16], name: str) -> bytes:
    frame = av.AudioFrame.from_ndarray(samples[np.newaxis], format="s16", layout="mono")
    frame.sample_rate = encoder.sample_rate
    packets = encoder.encode(frame)
    if len(packets) != 1:
        raise CodecError(f"{name} packet", "cannot code this many samples")
    return bytes(packets[0])
