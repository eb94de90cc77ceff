"""Reading the prediction log, whole or torn, while it grows."""

from __future__ import annotations

import json
import logging
import os
from datetime import timedelta

import pytest

from mlops_assets.adapters import jsonl_lines
from mlops_assets.adapters.jsonl_telemetry import JsonlTelemetry
from mlops_assets_tests.adapters.prediction_lines import TEN, beside, canary, line


@pytest.fixture
def telemetry(tmp_path):
    return JsonlTelemetry(tmp_path)


@pytest.fixture
def write(tmp_path):
    """Appends lines to a log file of a model."""

    def append(*lines, name="20130601T10-1-a.jsonl", torn=b"", model="delays"):
        (tmp_path / model).mkdir(exist_ok=True)
        whole = b"".join(json.dumps(each).encode() + b"\n" for each in lines)
        with (tmp_path / model / name).open("ab") as handle:
            handle.write(whole + torn)

    return append


def units(telemetry, since=TEN):
    """How many units each arm of v2's rollout had, by weight."""
    windows = telemetry.windows("delays", "v2", since)
    return {window.weight: (window.canary.units, window.baseline.units) for window in windows}


def test_windows_read_every_file_that_can_hold_their_requests(telemetry, write):
    write(canary("a", TEN), name="20130601T10-1-a.jsonl")
    write(canary("b", TEN + timedelta(hours=2)), name="20130601T12-1-b.jsonl")
    write(canary("c", TEN - timedelta(minutes=20)), name="20130601T09-1-c.jsonl")
    write(beside("d", TEN + timedelta(minutes=1)), name="20130601T10-2-d.jsonl")
    assert units(telemetry) == {10: (3, 1)}


def test_files_that_ended_more_than_an_hour_before_are_not_opened(telemetry, write, caplog):
    caplog.set_level(logging.WARNING)
    write(name="20130601T08-1-a.jsonl", torn=b"damaged\n")
    assert units(telemetry, TEN) == {}
    assert telemetry.predictions("delays", TEN).is_empty()
    assert caplog.records == []
    assert units(telemetry, TEN - timedelta(seconds=1)) == {}
    assert "20130601T08-1-a.jsonl is skipped" in caplog.text


def test_lines_of_one_moment_are_in_the_order_of_files_and_places(telemetry, write):
    write(beside("a", weight=50), canary("b", weight=50), name="20130601T10-2-a.jsonl")
    write(canary("b", weight=5), beside("b", weight=50), name="20130601T10-1-b.jsonl")
    assert units(telemetry) == {5: (1, 0), 50: (0, 1)}


def test_a_unit_may_be_named_in_any_script(telemetry, write):
    write(canary("späť"), canary("spat"), canary(""), canary("späť"))
    assert units(telemetry) == {10: (3, 0)}


@pytest.mark.parametrize("torn", [b'{"request_id": "x', b"{", json.dumps(line()).encode()])
def test_a_torn_last_line_counts_nowhere(telemetry, write, caplog, torn):
    caplog.set_level(logging.WARNING)
    write(canary("a"), torn=torn)
    assert units(telemetry) == {10: (1, 0)}
    assert telemetry.predictions("delays").height == 1
    assert caplog.records == []


@pytest.mark.parametrize(
    "damaged",
    [b"\0\0\0\n", b'{"half": \n', b"[]\n", b'{"request_id": "\xff"}\n'],
)
def test_a_damaged_line_is_left_out_and_reported(telemetry, write, caplog, damaged):
    caplog.set_level(logging.WARNING)
    write(line(request_id="a"), torn=damaged)
    write(line(request_id="b"))
    assert telemetry.predictions("delays")["request_id"].to_list() == ["a", "b"]
    assert "20130601T10-1-a.jsonl is skipped" in caplog.text


@pytest.mark.parametrize("block", [1, 100, 5000])
def test_wherever_the_blocks_end_no_line_is_lost(telemetry, write, monkeypatch, block):
    monkeypatch.setattr(jsonl_lines, "BLOCK", block)
    lines = [canary(str(n), TEN + timedelta(seconds=n), request_id=str(n)) for n in range(50)]
    write(*lines, torn=b'{"version": "v2"')
    assert telemetry.predictions("delays")["request_id"].to_list() == [str(n) for n in range(50)]
    assert units(telemetry) == {10: (50, 0)}


def test_a_large_log_is_read_in_blocks_without_losing_a_line(telemetry, write):
    lines = [beside(str(n), TEN + timedelta(seconds=n), request_id=str(n)) for n in range(3203)]
    write(*lines)
    assert (sum(len(json.dumps(each)) for each in lines)) > jsonl_lines.BLOCK
    ids = telemetry.predictions("delays")["request_id"].to_list()
    assert ids == [str(n) for n in range(3203)]
    assert units(telemetry, TEN) == {10: (0, 3203)}


class TestPrune:
    """Files that are old and collected go, one by one; all others stay as they are."""

    OLD, DAY = "20130601T10-1-a.jsonl", timedelta(days=1)

    @pytest.fixture
    def folder(self, tmp_path, write):
        write(line(request_id="a"), name=self.OLD)
        write(line(request_id="b"), name="20130601T10-2-b.jsonl")
        return tmp_path / "delays"

    @pytest.fixture
    def prune(self, telemetry, folder):
        def call(before=TEN + self.DAY, collected=lambda _: True, *, aged=True):
            for path in folder.iterdir() if aged else ():
                os.utime(path, (0, 0))
            return telemetry.prune("delays", before, collected)

        return call

    def names(self, folder):
        return sorted(path.name for path in folder.iterdir())

    def test_only_files_whose_rows_are_collected_go(self, folder, prune):
        assert prune(collected=lambda rows: rows["request_id"].to_list() == ["b"]) == 1
        assert self.names(folder) == [self.OLD]

    def test_a_file_that_was_written_to_since_stays_whatever_its_name_says(self, folder, prune):
        assert prune(aged=False) == 0
        assert len(self.names(folder)) == 2

    def test_a_file_of_the_hour_asked_for_stays(self, folder, prune):
        assert prune(TEN + timedelta(minutes=59)) == 0
        assert prune(TEN + timedelta(minutes=60)) == 2
        assert self.names(folder) == []

    def test_what_is_no_file_of_the_log_stays(self, folder, prune):
        (folder / "0-notes.jsonl").write_text("")
        (folder / "notes.txt").write_text("")
        prune()
        assert self.names(folder) == ["0-notes.jsonl", "notes.txt"]

    @pytest.mark.parametrize(
        "unread", [b"{\n", b"\n", json.dumps(line(entity=[])).encode() + b"\n"]
    )
    def test_a_file_with_a_line_that_cannot_be_read_stays(self, folder, prune, write, unread):
        write(torn=unread, name=self.OLD)
        assert prune() == 1
        assert self.names(folder) == [self.OLD]

    def test_a_torn_last_line_was_never_acknowledged_and_keeps_no_file(self, prune, write):
        write(torn=b'{"request_id": ', name=self.OLD)
        assert prune() == 2

    def test_a_file_that_grows_while_it_is_looked_at_stays(self, folder, prune, write):
        def grow(rows):
            write(line(request_id="late"), name=self.OLD)
            return True

        assert prune(collected=grow) == 1
        assert self.names(folder) == [self.OLD]

    def test_a_file_that_somebody_else_removed_is_not_counted(self, folder, prune):
        def remove(rows):
            (folder / self.OLD).unlink(missing_ok=True)
            return True

        assert prune(collected=remove) == 1
        assert self.names(folder) == []
