"""What the server did, as Prometheus reads it.

Counting happens on the way of every request, so it is a dictionary lookup and a few additions
under one lock; what Prometheus wants to see is made when it asks.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from threading import Lock

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from mlops_assets.serving.answering.prediction_log import LogLine

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
BOUNDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 2.5)
"""Seconds, from a compiled predictor's single row to the deadline of a canary."""

ARM = ["model", "version", "arm"]


@dataclass(slots=True)
class _Series:
    """The counts of one version in one arm; ``buckets`` are not cumulative, the last is above."""

    answered: int = 0
    failed: int = 0
    rows: int = 0
    seconds: float = 0.0
    buckets: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS) + 1))


@dataclass(frozen=True)
class Reading:
    """A value as it is when Prometheus asks: its name without prefix, and its labels."""

    name: str
    meaning: str
    value: float
    labels: tuple[tuple[str, str], ...] = ()
    counts: bool = False


class Metrics(Collector):
    """Counts what was logged and refused; ``read`` gives the readings of the moment."""

    def __init__(self, read: Callable[[], Iterable[Reading]] = tuple) -> None:
        self._read = read
        self._series: dict[tuple[str, str, str | None], _Series] = {}
        self._refused: dict[int, int] = {}
        self._lock = Lock()
        self._registry = CollectorRegistry()
        self._registry.register(self)

    def observe(self, line: LogLine) -> None:
        """Count one attempt; from any thread."""
        key = (line.model, line.version, line.arm)
        seconds = line.milliseconds / 1000
        bucket = bisect_left(BOUNDS, seconds)
        with self._lock:
            series = self._series.get(key)
            if series is None:
                series = self._series[key] = _Series()
            series.seconds += seconds
            series.buckets[bucket] += 1
            if line.probability is None:
                series.failed += 1
            else:
                series.answered += 1
                series.rows += len(line.probability)

    def refuse(self, status: int) -> None:
        """Count a request that was answered with an error."""
        with self._lock:
            self._refused[status] = self._refused.get(status, 0) + 1

    def page(self) -> bytes:
        """Everything in Prometheus' text format."""
        return generate_latest(self._registry)

    def describe(self) -> list[Metric]:
        """Nothing: what is counted depends on the versions that are served."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Every metric with the values of this moment."""
        yield from self._collect_counts()
        families: dict[str, Metric] = {}
        for reading in self._read():
            _add(families, reading)
        yield from families.values()

    def _collect_counts(self) -> Iterator[Metric]:
        requests = CounterMetricFamily(
            "mlops_assets_requests", "Attempts to answer", labels=[*ARM, "status"]
        )
        rows = CounterMetricFamily("mlops_assets_rows", "Rows answered", labels=ARM)
        latency = HistogramMetricFamily(
            "mlops_assets_latency_seconds", "Time an attempt took", labels=ARM
        )
        refused = CounterMetricFamily(
            "mlops_assets_refused", "Requests answered with an error", labels=["status"]
        )
        with self._lock:
            for (model, version, arm), series in self._series.items():
                labels = [model, version, arm or "none"]
                requests.add_metric([*labels, "ok"], series.answered)
                requests.add_metric([*labels, "error"], series.failed)
                rows.add_metric(labels, series.rows)
                latency.add_metric(labels, _cumulate(series.buckets), series.seconds)
            for status, count in self._refused.items():
                refused.add_metric([str(status)], count)
        yield from (requests, rows, latency, refused)


def _cumulate(buckets: list[int]) -> list[tuple[str, float]]:
    """Bounds with the number of values at or below each, as a histogram is told."""
    total, cumulated = 0, []
    for bound, count in zip([*map(str, BOUNDS), "+Inf"], buckets, strict=True):
        total += count
        cumulated.append((bound, float(total)))
    return cumulated


def _add(families: dict[str, Metric], reading: Reading) -> None:
    name = f"mlops_assets_{reading.name}"
    names, values = [n for n, _ in reading.labels], [v for _, v in reading.labels]
    family = families.get(name)
    if family is None:
        kind = CounterMetricFamily if reading.counts else GaugeMetricFamily
        family = families[name] = kind(name, reading.meaning, labels=names)
    assert isinstance(family, CounterMetricFamily | GaugeMetricFamily)
    family.add_metric(values, reading.value)
