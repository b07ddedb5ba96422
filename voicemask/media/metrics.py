"""The Prometheus page, in the parent: what the media processes last told, as it stands.

Each counter belongs to one process (label `process`): one that is started anew counts from zero,
which Prometheus knows how to read. No label names a call, a tag or a key. What there is is a table:
the path in a process's snapshot, the metric, its type and its help.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

import voicemask
from voicemask.errors import ConfigError
from voicemask.media.options import Endpoint
from voicemask.media.watchdog import Health, Watch

_PREFIX: Final = "voicemask_"


class Watched(Protocol):
    """A media process, as far as this page goes."""

    index: int
    watch: Watch
    n_restarts: int


@dataclass(frozen=True, slots=True)
class Row:
    """One metric of a process's snapshot.

    Parameters
    ----------
    path : of the value, its parts with dots; a mapping there gives one sample for each name.
    name : of the metric without prefix; a counter's ``_total`` is added.
    kind : counter, gauge or histogram.
    label : what a mapping's names mean.
    """

    path: str
    name: str
    kind: str
    help: str
    label: str = ""


TABLE: Final = (
    Row("node.calls", "calls", "gauge", "Calls now."),
    Row("node.calls_masked", "calls_masked", "gauge", "Calls a policy above open masks now."),
    Row("node.calls_capturing", "calls_capturing", "gauge", "Calls in capture now."),
    Row("node.calls_degraded", "calls_degraded", "gauge", "Calls that cannot be masked in full."),
    Row("node.calls_started", "calls_started", "counter", "Calls set up."),
    Row("node.packets_in", "packets_in", "counter", "RTP packets received."),
    Row("node.packets_out", "packets_out", "counter", "RTP packets sent."),
    Row("node.octets_in", "octets_in", "counter", "Octets of RTP received."),
    Row("node.octets_out", "octets_out", "counter", "Octets of RTP sent."),
    Row("node.packets_dropped", "packets_dropped", "counter", "Packets not let through.", "reason"),
    Row(
        "node.packets_filled", "packets_filled", "counter", "Packets filled or replaced.", "reason"
    ),
    Row("node.tick_lateness_s", "tick_lateness_seconds", "histogram", "How late ticks were."),
    Row("node.ticks_missed", "ticks_missed", "counter", "Ticks that were left out."),
    Row("node.detector_load", "detector_load", "gauge", "Share of a tick spent in detection."),
    Row("node.recordings", "recordings", "gauge", "Recordings now."),
    Row("node.recordings_failed", "recordings_failed", "counter", "Recordings that failed."),
    Row("node.ports_free", "ports_free", "gauge", "Local ports free."),
    Row("node.key_presses", "key_presses", "counter", "Key presses during capture."),
    Row("node.link_drops", "link_drops", "counter", "Packets not handed over.", "link"),
    Row("process.errors", "internal_errors", "counter", "Errors nobody expected."),
    Row("process.alerts", "alerts", "counter", "Alerts a media process raised."),
    Row("process.cpu_s", "cpu_seconds", "counter", "Processor time of the media process."),
    Row("process.memory_bytes", "memory_bytes", "gauge", "Resident memory of the media process."),
    Row("process.ng_requests", "ng_requests", "counter", "NG messages answered."),
    Row("process.ng_errors", "ng_errors", "counter", "NG messages that met an error of ours."),
    Row("process.reports_dropped", "reports_dropped", "counter", "Beats and lines not taken."),
    Row("process.vault_connected", "vault_connected", "gauge", "1 with a vault."),
    Row("process.vault_keys_sent", "vault_keys_sent", "counter", "Keys sent to the vault."),
    Row("process.vault_keys_dropped", "vault_keys_dropped", "counter", "Keys that went nowhere."),
    Row("process.recorder_running", "recorder_running", "gauge", "1 with a recorder process."),
    Row("process.recorder_restarts", "recorder_restarts", "counter", "Recorders started anew."),
)
_FAMILIES: Final = {
    "counter": CounterMetricFamily,
    "gauge": GaugeMetricFamily,
    "histogram": HistogramMetricFamily,
}


class ServiceCollector(Collector):
    """Makes metrics of what the supervisor knows.

    Parameters
    ----------
    children : gives the media processes.
    """

    def __init__(self, children: Callable[[], Sequence[Watched]]) -> None:
        self._children = children

    def collect(self) -> Iterator[Metric]:
        """Give every metric there is a value for."""
        children = list(self._children())
        yield from _of_supervisor(children)
        for row in TABLE:
            labels = ["process", row.label] if row.label else ["process"]
            family: Any = _FAMILIES[row.kind](_PREFIX + row.name, row.help, labels=labels)
            for child in children:
                _add(family, row, str(child.index), find(child.watch.snapshot, row.path))
            if family.samples:
                yield family


def _of_supervisor(children: Sequence[Watched]) -> Iterator[Metric]:
    info = GaugeMetricFamily(_PREFIX + "build", "Version.", labels=["version"])
    info.add_metric([voicemask.__version__], 1)
    up = GaugeMetricFamily(_PREFIX + "process_up", "1 while it answers.", labels=["process"])
    restarts = CounterMetricFamily(
        _PREFIX + "restarts", "Media processes started anew.", labels=["process"]
    )
    alerts = CounterMetricFamily(
        _PREFIX + "watchdog_alerts", "Times a media process did not answer.", labels=["process"]
    )
    for child in children:
        label = [str(child.index)]
        up.add_metric(label, float(child.watch.health is Health.RUNNING))
        restarts.add_metric(label, child.n_restarts)
        alerts.add_metric(label, child.watch.n_alerts)
    yield from (info, up, restarts, alerts)


def find(snapshot: Mapping[str, Any], path: str) -> Any:
    """Give the value at a path of nested mappings; None where there is none."""
    value: Any = snapshot
    for name in path.split("."):
        if not isinstance(value, Mapping) or name not in value:
            return None
        value = value[name]
    return value


def _add(family: Any, row: Row, process: str, value: Any) -> None:
    if row.kind == "histogram":
        _add_histogram(family, process, value)
    elif row.label:
        for name, count in value.items() if isinstance(value, Mapping) else ():
            if isinstance(count, int | float):
                family.add_metric([process, str(name)], count)
    elif isinstance(value, int | float):
        family.add_metric([process], value)


def _add_histogram(family: Any, process: str, value: Any) -> None:
    """Take counts by upper bound (not cumulative, ``inf`` last) and their sum."""
    counts, total = find({"v": value}, "v.counts"), find({"v": value}, "v.sum")
    if not isinstance(counts, Mapping) or not isinstance(total, int | float):
        return
    n_so_far, buckets = 0, []
    for bound, count in sorted(counts.items(), key=lambda item: float(item[0])):
        n_so_far += count
        buckets.append(("+Inf" if float(bound) == float("inf") else str(float(bound)), n_so_far))
    if not buckets or buckets[-1][0] != "+Inf":
        buckets.append(("+Inf", n_so_far))
    family.add_metric([process], buckets=buckets, sum_value=total)


def serve_metrics(endpoint: Endpoint, children: Callable[[], Sequence[Watched]]) -> Any:
    """Serve the page from a thread of its own; give the server, to be shut down.

    Raises
    ------
    ConfigError
        The address cannot be bound.
    """
    registry = CollectorRegistry()
    registry.register(ServiceCollector(children))
    try:
        server, _ = start_http_server(endpoint.port, endpoint.host, registry)
    except OSError as error:
        reason = f"cannot be bound ({error.strerror})"
        raise ConfigError(
            f"--metrics {endpoint}", reason, "use a free address of this machine"
        ) from None
    return server
