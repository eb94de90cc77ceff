"""What Prometheus reads is what was logged, refused, routed, cut off and lost."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import Histogram
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import CollectorRegistry

from mlops_assets.serving.answering.prediction_log import LogLine
from mlops_assets.serving.web.metrics import BOUNDS, Metrics, Reading


def line(version="v1", arm="primary", milliseconds=1.0, rows=1, failed=False) -> LogLine:
    probability = None if failed else [0.5] * rows
    status = "error" if failed else "ok"
    where = ("r", "delays", version, "abc", arm, True, status, None, "2013-06-01", milliseconds)
    return LogLine(*where, None, None, {}, probability, "u")


def read(page: bytes | str) -> dict[tuple[str, frozenset], float]:
    text = page.decode() if isinstance(page, bytes) else page
    return {
        (sample.name.removeprefix("mlops_assets_"), frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def labelled(name, **labels):
    return name, frozenset(labels.items())


LINES = st.builds(
    line,
    st.sampled_from(["v1", "v2"]),
    st.sampled_from(["primary", "canary", "shadow", None]),
    st.floats(0, 5000),
    st.integers(1, 3),
    st.booleans(),
)


@given(st.lists(LINES, max_size=30))
def test_requests_and_rows_are_those_of_the_log(lines):
    metrics = Metrics()
    for each in lines:
        metrics.observe(each)
    seen = read(metrics.page())
    for version in ("v1", "v2"):
        for arm in ("primary", "canary", "shadow", None):
            mine = [li for li in lines if (li.version, li.arm) == (version, arm)]
            labels = {"model": "delays", "version": version, "arm": arm or "none"}
            for status in ("ok", "error"):
                expected = sum(li.status == status for li in mine)
                name = labelled("requests_total", **labels, status=status)
                assert seen.get(name, 0) == expected
            rows = sum(len(li.probability or ()) for li in mine)
            assert seen.get(labelled("rows_total", **labels), 0) == rows


@given(st.lists(st.floats(0, 5000) | st.sampled_from([b * 1000 for b in BOUNDS]), min_size=1))
def test_the_histogram_is_the_one_that_the_library_would_make(milliseconds):
    metrics, registry = Metrics(), CollectorRegistry()
    oracle = Histogram("latency_seconds", "", buckets=BOUNDS, registry=registry)
    for each in milliseconds:
        metrics.observe(line(milliseconds=each))
        oracle.observe(each / 1000)
    seen, labels = read(metrics.page()), {"model": "delays", "version": "v1", "arm": "primary"}
    for family in registry.collect():
        for sample in family.samples:
            if not sample.name.endswith("_created"):
                found = seen[labelled(sample.name, **labels, **sample.labels)]
                assert found == pytest.approx(sample.value)


def test_nothing_is_lost_when_threads_count_at_once():
    metrics, each = Metrics(), line(rows=2)
    threads = [
        threading.Thread(target=lambda: [metrics.observe(each) for _ in range(2000)])
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    labels = {"model": "delays", "version": "v1", "arm": "primary"}
    assert read(metrics.page())[labelled("rows_total", **labels)] == 16000


def test_readings_are_made_when_they_are_asked_for():
    values = [1.0]
    metrics = Metrics(lambda: [Reading("size", "How large", values[0], (("of", "it"),))])
    assert read(metrics.page()) == {labelled("size", of="it"): 1.0}
    values[0] = 2.0
    assert read(metrics.page()) == {labelled("size", of="it"): 2.0}


def test_two_apps_count_for_themselves():
    one, other = Metrics(), Metrics()
    one.observe(line())
    assert b"delays" in one.page()
    assert b"delays" not in other.page()


@pytest.fixture
def scrape(server):
    def page():
        answer = server.client.get("/metrics")
        assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
        return read(answer.text)

    return page


def test_what_is_answered_is_counted(server, scrape, request_body):
    server.infer(request_body())
    server.infer(request_body(), version="v1")
    labels = {"model": "delays", "version": "v1", "arm": "primary"}
    assert scrape()[labelled("requests_total", **labels, status="ok")] == 2
    assert scrape()[labelled("rows_total", **labels)] == 4
    assert scrape()[labelled("latency_seconds_count", **labels)] == 2
