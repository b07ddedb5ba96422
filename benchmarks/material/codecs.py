"""Round trips through telephone codecs, aligned to what went in.

Everything here takes and gives float32 at 8 kHz, full scale +-1.0, of the same length. A codec that
is not installed raises `CodecMissingError`, and the condition that needs it is reported as skipped.
iLBC and EVS are not here: neither Debian's FFmpeg nor PyAV can encode them.
"""

from __future__ import annotations

import ctypes
import io
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from typing import Final

import av
import numpy as np
import soundfile
from numpy.typing import NDArray
from scipy.signal import correlate, resample_poly

Audio = NDArray[np.float32]
Codec = Callable[[Audio], Audio]

RATE_HZ: Final = 8000
LONGEST_DELAY_SAMPLES: Final = 400


class CodecMissingError(RuntimeError):
    """The encoder or decoder is not on this machine."""


def to_int16(audio: Audio) -> NDArray[np.int16]:
    """Round to 16-bit PCM, clipped at full scale."""
    return np.clip(np.round(audio * 32768.0), -32768, 32767).astype(np.int16)


def to_float(pcm: NDArray[np.int16]) -> Audio:
    """Give 16-bit PCM as float32 of +-1.0."""
    return pcm.astype(np.float32) / np.float32(32768.0)


def aligned(coded: Audio, original: Audio) -> Audio:
    """Undo a codec's delay, found by cross-correlation, and give the original's length."""
    n = min(original.size, coded.size, 10 * RATE_HZ)
    match = correlate(coded[:n], original[:n], method="fft")[n - 1 : n - 1 + LONGEST_DELAY_SAMPLES]
    moved = coded[int(np.argmax(match)) :][: original.size]
    return np.pad(moved, (0, original.size - moved.size)).astype(np.float32)


def _through_file(subtype: str) -> Codec:
    def code(audio: Audio) -> Audio:
        buffer = io.BytesIO()
        soundfile.write(buffer, audio, RATE_HZ, format="WAV", subtype=subtype)
        buffer.seek(0)
        coded, _ = soundfile.read(buffer, dtype="float32")
        return aligned(np.asarray(coded, dtype=np.float32), audio)

    return code


@dataclass(frozen=True, slots=True)
class _Av:
    """A codec of FFmpeg, run packet by packet without a container."""

    encoder: str
    decoder: str
    rate_hz: int = RATE_HZ
    bit_rate: int | None = None
    options: tuple[tuple[str, str], ...] = ()

    def __call__(self, audio: Audio) -> Audio:
        ratio = Fraction(self.rate_hz, RATE_HZ)
        wide = resample_poly(audio, ratio.numerator, ratio.denominator) if ratio != 1 else audio
        try:
            coded = self._code(np.asarray(wide, dtype=np.float32))
        except av.codec.codec.UnknownCodecError as error:
            raise CodecMissingError(f"FFmpeg has no {self.encoder}/{self.decoder}") from error
        if ratio != 1:
            coded = resample_poly(coded, ratio.denominator, ratio.numerator).astype(np.float32)
        return aligned(coded, audio)

    def _code(self, audio: Audio) -> Audio:
        encoder = av.CodecContext.create(self.encoder, "w")
        decoder = av.CodecContext.create(self.decoder, "r")
        assert isinstance(encoder, av.AudioCodecContext)
        assert isinstance(decoder, av.AudioCodecContext)
        encoder.format, encoder.layout, encoder.sample_rate = "s16", "mono", self.rate_hz
        encoder.time_base = Fraction(1, self.rate_hz)
        if self.bit_rate is not None:
            encoder.bit_rate = self.bit_rate
        encoder.options = dict(self.options)
        encoder.open()
        decoder.layout, decoder.sample_rate = "mono", self.rate_hz
        size = encoder.frame_size or 320
        out: list[Audio] = []
        padded = np.pad(audio, (0, -audio.size % size + 4 * size))
        for start in range(0, padded.size, size):
            pcm = to_int16(padded[start : start + size])
            frame = av.AudioFrame.from_ndarray(pcm[None, :], format="s16", layout="mono")
            frame.sample_rate, frame.pts = self.rate_hz, start
            for packet in encoder.encode(frame):
                out.extend(_samples(decoded) for decoded in decoder.decode(packet))
        return np.concatenate(out)


def _samples(frame: av.AudioFrame) -> Audio:
    data = frame.to_ndarray().reshape(-1)
    scale = 1 / 32768 if data.dtype == np.int16 else 1.0
    return data.astype(np.float32) * np.float32(scale)


def g726_32(audio: Audio) -> Audio:
    """Code through G.726 at 32 kbit/s, in a WAV, whose header tells the decoder the word size."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="wav") as sink:
        stream = sink.add_stream("g726", rate=RATE_HZ, layout="mono")
        stream.bit_rate = 32000
        frame = av.AudioFrame.from_ndarray(to_int16(audio)[None, :], format="s16", layout="mono")
        frame.sample_rate = RATE_HZ
        for packet in (*stream.encode(frame), *stream.encode(None)):
            sink.mux(packet)
    buffer.seek(0)
    with av.open(buffer, "r") as source:
        coded = np.concatenate([_samples(frame) for frame in source.decode(audio=0)])
    return aligned(coded, audio)


@cache
def _bcg729() -> ctypes.CDLL:
    try:
        library = ctypes.CDLL("libbcg729.so.0")
    except OSError as error:
        raise CodecMissingError(
            "G.729 needs libbcg729; run: apt-get install libbcg729-0"
        ) from error
    for name in ("initBcg729EncoderChannel", "initBcg729DecoderChannel"):
        getattr(library, name).restype = ctypes.c_void_p
    return library


def g729(audio: Audio) -> Audio:
    """Code through G.729 Annex A (8 kbit/s, no VAD) with Debian's libbcg729."""
    library = _bcg729()
    encoder = ctypes.c_void_p(library.initBcg729EncoderChannel(ctypes.c_uint8(0)))
    decoder = ctypes.c_void_p(library.initBcg729DecoderChannel())
    pcm = to_int16(np.pad(audio, (0, -audio.size % 80 + 160)))
    out = np.empty_like(pcm)
    bits, n_bytes = (ctypes.c_uint8 * 16)(), ctypes.c_uint8()
    off = ctypes.c_uint8(0)
    for start in range(0, pcm.size, 80):
        library.bcg729Encoder(
            encoder, ctypes.c_void_p(pcm[start:].ctypes.data), bits, ctypes.byref(n_bytes)
        )
        library.bcg729Decoder(
            decoder, bits, n_bytes, off, off, off, ctypes.c_void_p(out[start:].ctypes.data)
        )
    library.closeBcg729EncoderChannel(encoder)
    library.closeBcg729DecoderChannel(decoder)
    return aligned(to_float(out), audio)


alaw: Final = _through_file("ALAW")
ulaw: Final = _through_file("ULAW")
gsm: Final = _through_file("GSM610")
g722: Final = _Av("g722", "g722", rate_hz=16000)
g723_1: Final = _Av("g723_1", "g723_1", bit_rate=6300)
amr_12k2: Final = _Av("libopencore_amrnb", "amrnb", bit_rate=12200)
amr_7k4: Final = _Av("libopencore_amrnb", "amrnb", bit_rate=7400)
opus_12k: Final = _Av("libopus", "libopus", 48000, 12000, (("application", "voip"),))
opus_24k: Final = _Av("libopus", "libopus", 48000, 24000, (("application", "voip"),))


def in_turn(*codecs: Codec) -> Codec:
    """Make one round trip of several: the tandem of a call over more than one network."""

    def code(audio: Audio) -> Audio:
        for codec in codecs:
            audio = codec(audio)
        return audio

    return code
