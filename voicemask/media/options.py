"""Settings of the media service from text, as options and the configuration file write them.

`read_options` reads every key before it complains, so that `config check` can name all that is
wrong at once.
"""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Final, TypeVar

from voicemask.capture.policy import Fill, Method, Policy
from voicemask.errors import ConfigError
from voicemask.media.settings import Customer, MediaSettings, NodeSettings, RtpAddress
from voicemask.ng.plan import Learning

MAX_PROCESSES: Final = 64
MAX_HOLD_MS: Final = 1000
_MAX_PORT: Final = 65535
_E = TypeVar("_E", bound=Enum)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An address NG or metrics are served on.

    Parameters
    ----------
    kind : "udp" or "tcp".
    host : IPv4 or IPv6 address.
    """

    kind: str
    host: str
    port: int

    @property
    def family(self) -> int:
        """4 or 6."""
        return ipaddress.ip_address(self.host).version

    def __str__(self) -> str:
        host = f"[{self.host}]" if self.family == 6 else self.host
        return f"{self.kind}:{host}:{self.port}"


def _refuse(key: str, reason: str, cure: str) -> ConfigError:
    return ConfigError(f"media setting '{key}'", reason, cure)


def _host_port(key: str, text: str, cure: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    host = "127.0.0.1" if host == "localhost" else host
    try:
        address = str(ipaddress.ip_address(host))
    except ValueError:
        raise _refuse(key, "has no IP address before its port", cure) from None
    if not (port.isascii() and port.isdigit() and 1 <= int(port) <= _MAX_PORT):
        raise _refuse(key, "has no port from 1 to 65535", cure)
    return address, int(port)


def ng_endpoint(text: str) -> Endpoint:
    """Read ``udp:HOST:PORT`` or ``tcp:HOST:PORT``."""
    cure = "write udp:HOST:PORT or tcp:HOST:PORT, as in udp:127.0.0.1:2223"
    kind, _, rest = text.partition(":")
    if kind not in ("udp", "tcp"):
        raise _refuse("ng", "is neither udp: nor tcp:", cure)
    return Endpoint(kind, *_host_port("ng", rest, cure))


def metrics_endpoint(text: str) -> Endpoint:
    """Read ``HOST:PORT``."""
    cure = "write HOST:PORT, as in 127.0.0.1:9101"
    return Endpoint("tcp", *_host_port("metrics", text, cure))


def rtp_address(text: str) -> RtpAddress:
    """Read ``[NAME/]IP[!ADVERTISED]``."""
    cure = "write [NAME/]IP[!ADVERTISED], as in 192.0.2.10 or pub/10.0.0.5!192.0.2.10"
    name, _, rest = text.rpartition("/")
    bind, _, advertised = rest.partition("!")
    if not re.fullmatch(r"[A-Za-z0-9_.-]*", name):
        raise _refuse("rtp_address", "has a name that is more than letters and digits", cure)
    try:
        local = ipaddress.ip_address(bind)
        told = ipaddress.ip_address(advertised or bind)
    except ValueError:
        raise _refuse("rtp_address", "is no IP address", cure) from None
    if told.is_unspecified:
        reason = "is the address of no machine, so that nobody could send to it"
        raise _refuse("rtp_address", reason, "name an address, or add !ADVERTISED")
    if local.version != told.version:
        raise _refuse("rtp_address", "mixes IPv4 and IPv6", cure)
    return RtpAddress(str(local), str(told), name)


def port_range(text: str) -> tuple[int, int]:
    """Read ``FIRST-LAST``."""
    cure = "write FIRST-LAST, as in 30000-39999"
    found = re.fullmatch(r"\s*(\d{1,5})\s*-\s*(\d{1,5})\s*", text, flags=re.ASCII)
    if not found:
        raise _refuse("rtp_ports", "is no range of ports", cure)
    first, last = int(found[1]), int(found[2])
    if not 1024 <= first <= last <= _MAX_PORT:
        raise _refuse("rtp_ports", "does not run upwards within 1024 to 65535", cure)
    return first, last


def unix_path(key: str, text: str) -> Path:
    """Read ``unix:PATH``."""
    cure = "write unix:PATH, as in unix:/run/voicemask/control.sock"
    if not text.startswith("unix:") or not text[5:] or "\0" in text:
        raise _refuse(key, "does not begin with unix: and a path", cure)
    if len(os.fsencode(text[5:])) > 100:
        raise _refuse(key, "is longer than a Unix socket's path may be (100 bytes)", cure)
    return Path(text[5:])


def _choice(kind: type[_E], allowed: Sequence[_E] = ()) -> Callable[[str, Any], _E]:
    values = list(allowed or kind)

    def read(key: str, value: Any) -> _E:
        for item in values:
            if value in (item, item.value):
                return item
        names = ", ".join(item.value for item in values)
        raise _refuse(key, "is none of its values", f"write one of: {names}")

    return read


def _number(low: int, high: int) -> Callable[[str, Any], int]:
    def read(key: str, value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise _refuse(key, f"is no whole number from {low} to {high}", "correct it")
        return value

    return read


def _path(key: str, value: Any) -> Path:
    if not str(value) or "\0" in str(value):
        raise _refuse(key, "is no path", "name a file or folder")
    return Path(str(value))


def _unix(key: str, value: Any) -> Path:
    return unix_path(key, str(value))


def _many(read: Callable[[str], Any]) -> Callable[[str, Any], tuple[Any, ...]]:
    def read_all(key: str, value: Any) -> tuple[Any, ...]:
        if not isinstance(value, str | list | tuple):
            raise _refuse(key, "is neither a text nor a list of texts", "write it in quotes")
        # a variable holds several as one text
        texts = re.split(r"[,\s]+", value.strip()) if isinstance(value, str) else value
        return tuple(read(str(text)) for text in texts)

    return read_all


def _user(key: str, value: Any) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_.-]{1,64}", str(value)):
        raise _refuse(key, "is no name of an account", "name one, as in voicemask")
    return str(value)


_READERS: Final[Mapping[str, Callable[[str, Any], Any]]] = {
    "ng": _many(ng_endpoint),
    "rtp_address": _many(rtp_address),
    "rtp_ports": lambda _, value: port_range(str(value)),
    "control": _unix,
    "vault": _unix,
    "recordings": _path,
    "recording_key": _path,
    "processes": _number(1, MAX_PROCESSES),
    "metrics": lambda _, value: metrics_endpoint(str(value)),
    "customer": _choice(Customer),
    "policy": _choice(Policy, (Policy.GUARD, Policy.OPEN)),
    "method": _choice(Method),
    "fill": _choice(Fill),
    "hold": _number(0, MAX_HOLD_MS),
    "learning": _choice(Learning),
    "user": _user,
}
KEYS: Final = tuple(_READERS)
"""Names of the settings, as in the file; an option has hyphens for underscores."""
_IN_NODE: Final = {"hold": "hold_ms"} | {
    name: name for name in ("customer", "policy", "method", "fill", "learning")
}
_PORTS_PER_PROCESS: Final = 4


def read_options(given: Mapping[str, Any]) -> tuple[MediaSettings | None, list[ConfigError]]:
    """Make settings of text; None with everything that is wrong, in the order of `KEYS`.

    Parameters
    ----------
    given : values by key; None counts as not given.
    """
    read: dict[str, Any] = {}
    wrong: list[ConfigError] = []
    for key, reader in _READERS.items():
        if given.get(key) is None:
            continue
        try:
            read[key] = reader(key, given[key])
        except ConfigError as error:
            wrong.append(error)
    wrong += _rules(given, read)
    return (None, wrong) if wrong else (_settings(read), [])


def make_settings(given: Mapping[str, Any]) -> MediaSettings:
    """Make settings of text.

    Raises
    ------
    ConfigError
        The first thing that is wrong.
    """
    settings, wrong = read_options(given)
    if settings is None:
        raise wrong[0]
    return settings


def _rules(given: Mapping[str, Any], read: Mapping[str, Any]) -> list[ConfigError]:
    """What does not go together."""
    wrong: list[ConfigError] = []
    if not given.get("rtp_address"):
        reason = "is missing: calls need an address for their audio"
        wrong.append(_refuse("rtp_address", reason, "name the machine's own, as in 192.0.2.10"))
    if given.get("ng") is not None and not read.get("ng", True):
        wrong.append(_refuse("ng", "is empty", "leave it out for udp:127.0.0.1:2223"))
    ng = [str(item) for item in read.get("ng", ())]
    if len(set(ng)) < len(ng):
        wrong.append(_refuse("ng", "names an address twice", "leave one out"))
    names = [(item.name, ":" in item.bind) for item in read.get("rtp_address", ())]
    if len(set(names)) < len(names):
        reason = "names an interface twice for one family of addresses"
        wrong.append(_refuse("rtp_address", reason, "give each a NAME/ of its own"))
    if "rtp_ports" in read and "processes" in read:
        first, last = read["rtp_ports"]
        if last - first + 1 < _PORTS_PER_PROCESS * read["processes"]:
            reason = "has fewer than 4 ports for each process"
            wrong.append(_refuse("rtp_ports", reason, "widen it, or lower processes"))
    if given.get("recording_key") is not None and given.get("recordings") is None:
        reason = "has no recordings to lock"
        wrong.append(_refuse("recording_key", reason, "name the folder: recordings"))
    return wrong


def _settings(read: Mapping[str, Any]) -> MediaSettings:
    node = {_IN_NODE[key]: value for key, value in read.items() if key in _IN_NODE}
    if "rtp_ports" in read:
        node["first_port"], node["last_port"] = read["rtp_ports"]
    whole = {key: read[key] for key in ("control", "vault", "recordings", "recording_key", "user")
             if key in read}  # fmt: skip
    if "ng" in read:
        whole["ng"] = tuple(map(str, read["ng"]))
    if "metrics" in read:
        whole["metrics"] = str(read["metrics"]).removeprefix("tcp:")
    whole["n_processes"] = read.get("processes", 1)
    if "recordings" in read and "recording_key" not in read:
        whole["recording_key"] = key_file_beside(read["recordings"])
    return MediaSettings(NodeSettings(read["rtp_address"], **node), **whole)


def key_file_beside(folder: Path) -> Path:
    """Give the key file of a folder of recordings that was given none: never inside it."""
    return folder.with_name(f"{folder.name}.key")


def slice_ports(settings: NodeSettings, index: int, n_processes: int) -> tuple[int, int]:
    """Give the ports of one of several processes: even first, none in two slices."""
    first = settings.first_port + settings.first_port % 2
    n_pairs = (settings.last_port - first + 1) // 2
    start, end = (n_pairs * number // n_processes for number in (index, index + 1))
    if n_processes == 1:
        return settings.first_port, settings.last_port
    return first + 2 * start, first + 2 * end - 1
