"""Make the sample calls from code: `make_samples.py [--check] [FOLDER]`.

Without an option, makes every sample into FOLDER (default: beside this file) and writes its
manifest.toml: what it is, its seed, its sha256, and every key with channel, time and way. With
--check, nothing is written: the samples are made again elsewhere and compared with the manifest.

Needs espeak-ng. The same seed gives the same bytes with the same espeak-ng, numpy and scipy on the
same kind of processor; the manifest names the espeak-ng it was made with. Card numbers are
published test numbers, the only ones allowed here.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import tempfile
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import soundfile as sf
from scene import RATE_HZ, Keying, Scene, espeak_version
from wire import write_call

AGENT, CALLER = 0, 1
VISA, AMEX, MASTERCARD = "4111111111111111", "378282246310005", "5555555555554444"
EXPIRY, SECURITY_CODE, AMEX_CODE = "1230", "123", "1234"

EN_AGENT, EN_CALLER = "en-gb+f2", "en-gb+m3"
FR_AGENT, FR_CALLER = "fr-fr+m1", "fr-fr+f3"


@dataclass(frozen=True, slots=True)
class Sample:
    """One file of the set: `subtype` is soundfile's, empty for a pcap."""

    file: str
    about: str
    seed: int
    play: Callable[[Scene], None]
    n_channels: int = 2
    noise_dbfs: float = -62.0
    subtype: str = "ULAW"


def english_entry(scene: Scene) -> None:
    scene.wait(300)
    scene.say(AGENT, EN_AGENT, "Please key in your card number now.")
    scene.wait(700)
    scene.press(CALLER, VISA, Keying())
    scene.wait(500)
    scene.say(AGENT, EN_AGENT, "Thank you. And the expiry date?")
    scene.wait(500)
    scene.press(CALLER, EXPIRY, Keying())
    scene.wait(400)
    scene.say(AGENT, EN_AGENT, "And the three digits on the back.")
    scene.wait(500)
    scene.press(CALLER, SECURITY_CODE, Keying())
    scene.wait(400)
    scene.say(CALLER, EN_CALLER, "Done. Was that right?")
    scene.wait(500)


def french_entry(scene: Scene) -> None:
    scene.wait(300)
    scene.say(AGENT, FR_AGENT, "Veuillez saisir votre numéro de carte.")
    scene.wait(600)
    scene.press(CALLER, AMEX + "#", Keying(tone_ms=110, pause_ms=120, twist_db=2.0))
    scene.say(AGENT, FR_AGENT, "Merci. Et le cryptogramme ?")
    scene.wait(400)
    scene.press(CALLER, AMEX_CODE + "#", Keying(tone_ms=110, pause_ms=120, twist_db=2.0))
    scene.say(CALLER, FR_CALLER, "Voilà, c'est fait.")
    scene.wait(400)


def over_speech(scene: Scene) -> None:
    scene.wait(300)
    text = "I am typing it in now, while I keep talking to you about the weather and the garden, "
    scene.speak_under(0, EN_CALLER, text + "and now I am almost done with the last of them.")
    scene.wait(500)
    # Two tones of -21.8 dBFS carry 6 dB more than speech at its usual active level.
    scene.press(0, MASTERCARD, Keying(tone_ms=100, pause_ms=140, level_dbfs=-21.8, twist_db=-1.0))
    scene.wait(500)


def fast(scene: Scene) -> None:
    scene.say(0, EN_CALLER, "I have it on a speed dial.")
    scene.wait(300)
    scene.press(0, VISA + EXPIRY + SECURITY_CODE, Keying(tone_ms=40, pause_ms=40))
    scene.wait(400)


def quiet(scene: Scene) -> None:
    scene.say(0, FR_CALLER, "La ligne est très mauvaise.")
    scene.wait(300)
    scene.press(0, AMEX, Keying(tone_ms=70, pause_ms=80, level_dbfs=-35.0))
    scene.wait(400)


def mobile(scene: Scene) -> None:
    scene.say(0, EN_CALLER, "I am calling from my mobile.")
    scene.wait(300)
    scene.press(0, MASTERCARD, Keying(tone_ms=80, pause_ms=80))
    scene.wait(400)


def speech_only(scene: Scene) -> None:
    scene.wait(300)
    scene.say(AGENT, EN_AGENT, "Good morning, how can I help you?")
    scene.wait(300)
    scene.say(CALLER, EN_CALLER, "I would like to ask about my order, please.")
    scene.wait(300)
    scene.say(AGENT, FR_AGENT, "Bien sûr, un instant s'il vous plaît.")
    scene.wait(300)
    scene.say(CALLER, FR_CALLER, "Oui, oui, oui, je vous en prie, prenez votre temps.")
    scene.wait(300)


def by_events(scene: Scene) -> None:
    keying = Keying(tone_ms=100, pause_ms=100, how="event", clamp_ms=(5.0, 15.0))
    scene.wait(200)
    scene.say(AGENT, EN_AGENT, "Your card number, please.")
    scene.wait(400)
    scene.press(CALLER, VISA, keying)
    scene.wait(300)
    scene.say(CALLER, EN_CALLER, "There you are.")
    scene.wait(200)


def by_info(scene: Scene) -> None:
    scene.wait(200)
    scene.say(AGENT, FR_AGENT, "Votre numéro de carte ?")
    scene.wait(400)
    scene.press(CALLER, AMEX, Keying(tone_ms=160, pause_ms=160, how="info"))
    scene.wait(200)
    scene.say(CALLER, FR_CALLER, "Voilà.")
    scene.wait(200)


SAMPLES = (
    Sample("inband_en.wav", "number, expiry, code; agent left, caller right", 11, english_entry),
    Sample("inband_fr.wav", "Amex, code, each ended by #; agent left", 12, french_entry),
    Sample("over_speech_en.wav", "keyed 6 dB over the caller's own speech", 13, over_speech, 1),
    Sample("fast_en.wav", "23 keys, 40 ms on and 40 ms off", 14, fast, 1),
    Sample("quiet_fr.wav", "tones at -35 dBFS, 16-bit", 15, quiet, 1, -72.0, "PCM_16"),
    Sample("gsm_en.wav", "through GSM 06.10, as its file", 16, mobile, 1, -62.0, "GSM610"),
    Sample("speech_only.wav", "talk in two languages, no key", 17, speech_only),
    Sample("events_clamped.pcap", "RFC 4733, 5-15 ms left in-band", 18, by_events, subtype=""),
    Sample("info.pcap", "SIP INFO, application/dtmf-relay", 19, by_info, subtype=""),
)


def make(sample: Sample, folder: Path) -> Scene:
    """Make one sample into a folder; gives the scene, which knows its keys."""
    scene = Scene(sample.n_channels, sample.seed, sample.noise_dbfs)
    sample.play(scene)
    audio, path = scene.audio(), folder / sample.file
    if sample.subtype:
        sf.write(path, audio.T, RATE_HZ, subtype=sample.subtype)
    else:
        write_call(path, audio, scene.presses, f"{path.stem}@192.0.2.10")
    return scene


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def manifest_entry(sample: Sample, scene: Scene, digest: str) -> str:
    """One `[[sample]]` table; keys as [channel, start_s, end_s, key, how]."""
    lines = [
        "[[sample]]",
        f"file = {json.dumps(sample.file)}",
        f"about = {json.dumps(sample.about)}",
        f"seed = {sample.seed}",
        f'sha256 = "{digest}"',
        "keys = [",
    ]
    for press in scene.presses:
        times = f"{press.start / RATE_HZ:.6f}, {press.end / RATE_HZ:.6f}"
        lines.append(f'    [{press.channel}, {times}, "{press.key}", "{press.how}"],')
    return "\n".join([*lines, "]"])


def write_all(folder: Path) -> None:
    entries = [
        "# Written by make_samples.py. keys: [channel, start_s, end_s, key, how], published test",
        "# numbers only; in a pcap, times count from the first RTP packet.",
        f'espeak_ng = "{espeak_version()}"',
    ]
    for sample in SAMPLES:
        scene = make(sample, folder)
        entries.append("\n" + manifest_entry(sample, scene, sha256(folder / sample.file)))
    (folder / "manifest.toml").write_text("\n".join(entries) + "\n", encoding="utf-8")


def check_all(folder: Path) -> list[str]:
    """Make everything again elsewhere; give what differs from the manifest."""
    manifest = tomllib.loads((folder / "manifest.toml").read_text(encoding="utf-8"))
    wanted = {entry["file"]: entry["sha256"] for entry in manifest["sample"]}
    if espeak_version() != manifest["espeak_ng"]:
        return [f"made with {manifest['espeak_ng']}, here is {espeak_version()}: cannot compare"]
    with tempfile.TemporaryDirectory() as name:
        for sample in SAMPLES:
            make(sample, Path(name))
        made = {sample.file: sha256(Path(name) / sample.file) for sample in SAMPLES}
    return [
        f"{file}: {'is not what its seed gives' if file in wanted else 'not in the manifest'}"
        for file in made
        if made[file] != wanted.get(file)
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description="Make the sample calls from code.")
    parser.add_argument("folder", nargs="?", type=Path, default=Path(__file__).parent)
    parser.add_argument("--check", action="store_true", help="compare with the manifest only")
    options = parser.parse_args()
    if not options.check:
        write_all(options.folder)
        return 0
    differences = check_all(options.folder)
    print("\n".join(differences) or "every sample is what its seed gives")
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main())
