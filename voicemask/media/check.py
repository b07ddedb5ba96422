"""What `config check` says: what the settings would do, and what this machine has against them."""

from __future__ import annotations

import errno
import os
import pwd
import socket
from pathlib import Path
from typing import Final

from voicemask.capture.policy import Policy
from voicemask.errors import ConfigError, RecordingError
from voicemask.media.options import Endpoint, metrics_endpoint, ng_endpoint, slice_ports
from voicemask.media.settings import Customer, MediaSettings

_PORTS_PER_CALL: Final = 4


def explain(settings: MediaSettings) -> list[str]:
    """Say in words what the service would do, a line each."""
    node = settings.node
    n_calls = sum(
        (last - first + 1) // _PORTS_PER_CALL
        for first, last in (
            slice_ports(node, index, settings.n_processes) for index in range(settings.n_processes)
        )
    )
    lines = [f"serves NG on {', '.join(settings.ng)}"]
    for address in node.addresses:
        name = f" as interface '{address.name}'" if address.name else ""
        told = (
            f", told to others as {address.advertised}"
            if address.advertised != address.bind
            else ""
        )
        lines.append(f"relays audio on {address.bind}{name}{told}")
    lines += [
        f"uses ports {node.first_port}-{node.last_port}: room for {n_calls} calls",
        f"runs {settings.n_processes} media process{'es' if settings.n_processes > 1 else ''}",
        _policy_line(settings),
        f"masks capture by {node.method.value}, with {node.fill.value} as fill",
        _customer_line(node.customer),
        f"takes audio from sources as '{node.learning.value}' allows",
        _or_not(settings.control, "is steered at {}", "has no control socket"),
        _or_not(
            settings.vault, "sends captured keys to {}", "sends captured keys nowhere: no vault"
        ),
        _or_not(settings.recordings, "records calls into {}", "records nothing"),
        _or_not(settings.metrics, "serves metrics on http://{}/metrics", "serves no metrics"),
        _or_not(settings.user, "becomes the account '{}'", "keeps the account it is started by"),
    ]
    return lines


def _or_not(value: object, said: str, otherwise: str) -> str:
    return said.format(value) if value else otherwise


def _policy_line(settings: MediaSettings) -> str:
    if settings.node.policy is Policy.OPEN:
        return "masks nothing outside capture (policy 'open'): recordings may hold keys"
    return f"masks outside capture by '{settings.node.policy.value}'"


def _customer_line(customer: Customer) -> str:
    if customer is Customer.UNKNOWN:
        return "takes no party for the customer by itself: both parties' keys are masked"
    return f"takes the {customer.value} for the customer where nothing else tells"


def find_problems(settings: MediaSettings) -> list[ConfigError]:
    """Try what can be tried without starting: addresses, ports, folders, files, account."""
    problems = [_try_bind(ng_endpoint(text), "ng") for text in settings.ng]
    if settings.metrics:
        problems.append(_try_bind(metrics_endpoint(settings.metrics), "metrics"))
    problems += [_try_address(address.bind) for address in settings.node.addresses]
    problems.append(_check_ports(settings))
    for key, path in (("control", settings.control), ("vault", settings.vault)):
        if path is not None:
            problems.append(_check_parent(key, path))
    if settings.recordings is not None:
        problems.append(_check_folder(settings.recordings))
    if settings.recording_key is not None:
        problems.append(_check_key(settings.recording_key, settings.user))
    problems.append(_check_user(settings.user))
    return [problem for problem in problems if problem is not None]


def _wrong(key: str, reason: str, cure: str) -> ConfigError:
    return ConfigError(f"media setting '{key}'", reason, cure)


def _try_bind(endpoint: Endpoint, key: str) -> ConfigError | None:
    family = socket.AF_INET6 if endpoint.family == 6 else socket.AF_INET
    kind = socket.SOCK_DGRAM if endpoint.kind == "udp" else socket.SOCK_STREAM
    with socket.socket(family, kind) as sock:
        if kind == socket.SOCK_STREAM:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind((endpoint.host, endpoint.port))
        except OSError as error:
            reason = f"names {endpoint}, which cannot be bound ({error.strerror})"
            cure = "use a free address of this machine, or end what holds it"
            return _wrong(key, reason, cure)
    return None


def _try_address(address: str) -> ConfigError | None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        try:
            sock.bind((address, 0))
        except OSError as error:
            reason = f"names {address}, which is not this machine's ({error.strerror})"
            return _wrong("rtp_address", reason, "use one that 'ip address' shows, and !ADVERTISED")
    return None


def _check_ports(settings: MediaSettings) -> ConfigError | None:
    node = settings.node
    for endpoint in (ng_endpoint(text) for text in settings.ng):
        if node.first_port <= endpoint.port <= node.last_port and endpoint.kind == "udp":
            return _wrong("rtp_ports", f"holds the port of {endpoint}", "move one of them")
    bind = node.addresses[0].bind
    n_ports = node.last_port - node.first_port + 1
    n_taken = sum(_is_taken(bind, port) for port in range(node.first_port, node.last_port + 1))
    if 2 * n_taken > n_ports:
        reason = f"has {n_taken} of {n_ports} ports taken by others"
        return _wrong("rtp_ports", reason, "use another range, or end what holds them")
    return None


def _is_taken(address: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        try:
            sock.bind((address, port))
        except OSError as error:
            return error.errno == errno.EADDRINUSE
    return False


def _check_parent(key: str, path: Path) -> ConfigError | None:
    folder = path.parent
    if not folder.is_dir():
        return _wrong(key, f"lies in {folder}, which is no folder", "make it, or name another path")
    if key == "control" and not os.access(folder, os.W_OK | os.X_OK):
        return _wrong(key, f"lies in {folder}, which cannot be written to", "see to its rights")
    if path.exists() and not path.is_socket():
        return _wrong(key, f"names {path}, which is no socket", "name another path")
    return None


def _check_folder(folder: Path) -> ConfigError | None:
    at = folder
    while not at.exists() and at != at.parent:
        at = at.parent
    if not at.is_dir():
        return _wrong("recordings", f"lies in {at}, which is no folder", "name another path")
    if not os.access(at, os.W_OK | os.X_OK):
        return _wrong("recordings", f"cannot be written to ({at})", "see to its rights")
    return None


def _check_key(path: Path, user: str) -> ConfigError | None:
    if not path.exists():
        return _check_parent("recording_key", path)
    from voicemask.recording.keys import load_keys  # noqa: PLC0415, only where there is a key

    try:
        load_keys(path)
    except RecordingError as error:
        return ConfigError("media setting 'recording_key'", f"{path}: {error.reason}", error.cure)
    owner = _uid(user) if user else None
    if owner and path.stat().st_uid != owner:
        reason = f"names {path}, which '{user}' does not own"
        return _wrong("recording_key", reason, f"chown {user} {path}")
    return None


def _check_user(user: str) -> ConfigError | None:
    if not user:
        return None
    if _uid(user) is None:
        return _wrong("user", "names an account that is not there", "add it, or name another")
    if os.geteuid() not in (0, _uid(user)):
        return _wrong("user", "can be changed by root only", "start as root, or leave it out")
    return None


def _uid(user: str) -> int | None:
    try:
        return pwd.getpwnam(user).pw_uid
    except KeyError:
        return None
