"""What happens to a customer's audio before a masker sees it: codecs, loss, echo.

Every function takes and gives (n,) float32 at 8 kHz. Codecs with a delay are shifted back by the
lag at which input and output agree best, so that the truth keeps its place.
"""

from __future__ import annotations

import io
import subprocess
from collections.abc import Callable
from typing import Final

import numpy as np
import soundfile
from scipy.signal import fftconvolve

from benchmarks.leak.press import RATE_HZ, Float32, samples

MAX_LAG_MS: Final = 60.0


def echo(audio: Float32, delay_ms: float = 30.0, level_db: float = -15.0) -> Float32:
    """Add one reflection."""
    delay = samples(delay_ms)
    out = audio.copy()
    out[delay:] += np.float32(10 ** (level_db / 20)) * audio[:-delay]
    return out


def lose_packets(audio: Float32, rng: np.random.Generator, share: float = 0.03) -> Float32:
    """Lose 20 ms packets at random; the receiver repeats the one before."""
    size = samples(20)
    n = audio.size // size
    source = np.arange(n)
    lost = rng.random(n) < share
    lost[0] = False
    source[lost] = -1
    source = np.maximum.accumulate(source)
    out = audio.copy()
    out[: n * size] = audio[: n * size].reshape(n, size)[source].reshape(-1)
    return out


def through_soundfile(audio: Float32, subtype: str) -> Float32:
    """Encode and decode with libsndfile (``ULAW``, ``ALAW``, ``GSM610``)."""
    buffer = io.BytesIO()
    soundfile.write(buffer, audio, RATE_HZ, subtype=subtype, format="WAV")
    buffer.seek(0)
    decoded, _ = soundfile.read(buffer, dtype="float32")
    return align(audio, decoded)


def through_ffmpeg(audio: Float32, container: str, *options: str) -> Float32:
    """Encode and decode with ffmpeg.

    Raises
    ------
    subprocess.CalledProcessError
        ffmpeg lacks the codec.
    """
    raw = ["-f", "f32le", "-ar", str(RATE_HZ), "-ac", "1"]
    run = ["ffmpeg", "-v", "error", "-threads", "1"]
    coded = subprocess.run(
        [*run, *raw, "-i", "-", *options, "-f", container, "-"],
        input=audio.astype("<f4").tobytes(), capture_output=True, check=True,
    ).stdout  # fmt: skip
    plain = subprocess.run(
        [*run, "-f", container, "-i", "-", *raw, "-"],
        input=coded, capture_output=True, check=True,
    ).stdout  # fmt: skip
    return align(audio, np.frombuffer(plain, "<f4").astype(np.float32))


def align(original: Float32, decoded: Float32) -> Float32:
    """Shift `decoded` to the lag of best agreement and cut or pad it to the original's length."""
    lags = samples(MAX_LAG_MS)
    n = min(original.size, decoded.size, 30 * RATE_HZ)
    agreement = fftconvolve(decoded[:n], original[:n][::-1])[n - 1 - lags : n + lags]
    lag = int(np.argmax(agreement)) - lags
    shifted = decoded[lag:] if lag >= 0 else np.pad(decoded, (-lag, 0))
    out = np.zeros_like(original)
    m = min(out.size, shifted.size)
    out[:m] = shifted[:m]
    return out


def _loss(audio: Float32) -> Float32:
    return lose_packets(audio, np.random.default_rng(4733))


DAMAGE: Final[dict[str, Callable[[Float32], Float32]]] = {
    "mu-law": lambda x: through_soundfile(x, "ULAW"),
    "A-law": lambda x: through_soundfile(x, "ALAW"),
    "GSM": lambda x: through_soundfile(x, "GSM610"),
    "Opus 12k": lambda x: through_ffmpeg(
        x, "ogg", "-c:a", "libopus", "-b:a", "12k", "-application", "voip"
    ),
    "G.722": lambda x: through_ffmpeg(x, "g722", "-ar", "16000", "-c:a", "g722"),
    "loss 3 %": _loss,
    "echo 30 ms": echo,
}
"""Name of the damage -> what it does."""
