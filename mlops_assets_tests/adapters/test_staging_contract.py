"""Staging: what a version answers in the server, before it may answer anybody."""

from __future__ import annotations

import json
import os
import runpy
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OrdinalEncoder

from mlops_assets.adapters import local_staging, staged_requests
from mlops_assets.adapters.in_memory import InMemoryModelFiles, InMemoryStaging
from mlops_assets.adapters.local_staging import LocalStaging
from mlops_assets.adapters.serving_ports import StagedVersion
from mlops_assets.adapters.skops_models import FolderModelFiles
from mlops_assets.lifecycle.errors import EndpointError
from mlops_assets.lifecycle.staging import (
    ServingPolicy,
    build_probe_rows,
    judge_parity,
    predict_offline,
)
from mlops_assets.lifecycle.training import to_model_frame

KINDS = runpy.run_path(str(Path(__file__).with_name("model_kinds.py")))
FEATURES, ROWS, signature = KINDS["FEATURES"], KINDS["make_rows"](), KINDS["signature"]
SIGNATURE = signature("delays")
PROBE = build_probe_rows(ROWS, FEATURES, 600, seed=4)
WHOLE = ROWS.drop_nulls()
ENOUGH = 60.0


def fit(kind, **parameters):
    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    columns = make_column_transformer((encoder, ["carrier"]), remainder="passthrough")
    model = make_pipeline(columns, kind(**parameters))
    return model.fit(to_model_frame(WHOLE, FEATURES), WHOLE["late"].to_numpy())


@pytest.fixture(scope="module")
def robust():
    """Takes whatever comes."""
    return fit(HistGradientBoostingClassifier, max_iter=5, random_state=0)


@pytest.fixture(scope="module")
def other():
    return fit(HistGradientBoostingClassifier, max_iter=9, random_state=0)


@pytest.fixture(scope="module")
def fragile():
    """Raises where a number is missing."""
    return fit(LogisticRegression, max_iter=1000)


class StagingContract:
    """One server for all tests of a class: whichever versions came before, each is measured."""

    def test_every_row_is_answered_with_the_probability_of_the_model(self, server, files, robust):
        digest = files.save(robust, SIGNATURE)
        answers = server.measure(SIGNATURE, digest, PROBE, 25)
        offline = predict_offline(robust, PROBE, FEATURES)
        assert np.array_equal(np.array(answers.probabilities), offline)
        assert (answers.loaded, answers.reasons) == (True, ())
        assert judge_parity(answers, offline, ServingPolicy()).passed

    def test_as_many_single_requests_are_timed_as_asked(self, server, files, robust):
        answers = server.measure(SIGNATURE, files.save(robust, SIGNATURE), PROBE, 25)
        assert len(answers.milliseconds) == 25
        assert min(answers.milliseconds) > 0

    def test_more_samples_than_rows_are_as_many_as_rows(self, server, files, robust):
        answers = server.measure(SIGNATURE, files.save(robust, SIGNATURE), PROBE.head(3), 25)
        assert (len(answers.probabilities), len(answers.milliseconds)) == (3, 3)

    def test_the_megabytes_are_those_of_the_files(self, server, files, robust):
        digest = files.save(robust, SIGNATURE)
        answers = server.measure(SIGNATURE, digest, PROBE.head(5), 1)
        assert answers.megabytes == pytest.approx(self.weigh(files, digest) / 1e6)

    def test_versions_are_measured_one_after_the_other_and_again(
        self, server, files, robust, other
    ):
        digests = {files.save(model, SIGNATURE): model for model in (robust, other)}
        for digest, model in [*digests.items(), *digests.items()]:
            answers = server.measure(SIGNATURE, digest, PROBE.head(60), 1)
            offline = predict_offline(model, PROBE.head(60), FEATURES)
            assert np.array_equal(np.array(answers.probabilities), offline)

    def test_versions_of_two_models_are_measured_in_one_server(self, server, files, robust):
        for name in ("delays", "rain & wind"):
            named = signature(name)
            answers = server.measure(named, files.save(robust, named), PROBE.head(20), 1)
            assert None not in answers.probabilities

    def test_rows_that_the_version_cannot_take_are_refused_and_no_others(
        self, server, files, fragile
    ):
        rows = pl.concat([WHOLE.head(30), ROWS.filter(pl.col("wind").is_null()).head(4)])
        rows = rows.sample(fraction=1, shuffle=True, seed=1)
        answers = server.measure(SIGNATURE, files.save(fragile, SIGNATURE), rows, 34)
        refused = [probability is None for probability in answers.probabilities]
        assert refused == rows["wind"].is_null().to_list()
        assert any("NaN" in reason for reason in answers.reasons)
        assert all(reason.startswith("ValueError") for reason in answers.reasons)
        assert len(answers.milliseconds) == 30
        verdict = judge_parity(answers, predict_offline(fragile, rows, FEATURES), ServingPolicy())
        assert verdict.outcome == "failed"

    def test_reasons_of_one_version_are_not_told_of_the_next(self, server, files, fragile, robust):
        server.measure(SIGNATURE, files.save(fragile, SIGNATURE), PROBE.head(40), 1)
        answers = server.measure(SIGNATURE, files.save(robust, SIGNATURE), PROBE.head(40), 1)
        assert answers.reasons == ()

    def test_a_version_whose_files_were_changed_is_not_loaded(self, server, files, other):
        changed = replace(SIGNATURE, train_as_of="changed")
        digest = files.save(other, changed)
        self.damage(files, digest)
        answers = server.measure(changed, digest, PROBE.head(7), 5)
        assert (answers.loaded, answers.milliseconds) == (False, ())
        assert answers.probabilities == (None,) * 7
        assert len(answers.reasons) == 1
        assert digest in answers.reasons[0]

    def test_files_of_another_model_are_not_loaded(self, server, files, robust):
        digest = files.save(robust, replace(SIGNATURE, model="another"))
        answers = server.measure(SIGNATURE, digest, PROBE.head(7), 5)
        assert not answers.loaded
        assert "trained as 'another'" in answers.reasons[0]

    def test_going_back_is_timed_and_loses_no_request(self, server, files, robust, other):
        current, previous = (
            StagedVersion(files.save(model, SIGNATURE), SIGNATURE) for model in (other, robust)
        )
        for _ in range(2):
            drill = server.drill_rollback(current, previous, PROBE.head(20))
            assert drill.failed == 0
            assert drill.requests > 0
            assert drill.seconds > 0
        assert server.measure(SIGNATURE, current.digest, PROBE.head(5), 1).loaded

    def test_a_digest_without_files_is_not_loaded(self, server):
        answers = server.measure(SIGNATURE, "0" * 64, PROBE.head(7), 5)
        assert (answers.loaded, answers.megabytes) == (False, 0.0)


class TestInMemoryStaging(StagingContract):
    @pytest.fixture
    def files(self):
        return InMemoryModelFiles()

    @pytest.fixture
    def server(self, files):
        with InMemoryStaging(files).open() as server:
            yield server

    def weigh(self, files, digest):
        return sum(len(data) for data in files.folders[files.path(digest)].values())

    def damage(self, files, digest):
        files.folders[files.path(digest)]["model.skops"] += b"\0"


@pytest.fixture(scope="module")
def folder_files(tmp_path_factory):
    return FolderModelFiles(tmp_path_factory.mktemp("staging") / "models")


@pytest.fixture(scope="module")
def local_server(folder_files):
    with LocalStaging(folder_files.root).open() as server:
        yield server


class TestLocalStaging(StagingContract):
    @pytest.fixture
    def files(self, folder_files):
        return folder_files

    @pytest.fixture
    def server(self, local_server):
        return local_server

    def weigh(self, files, digest):
        return sum(path.stat().st_size for path in files.path(digest).iterdir())

    def damage(self, files, digest):
        with (files.path(digest) / "model.skops").open("ab") as file:
            file.write(b"\0")

    def test_one_process_answers_for_all(self, server, files, robust, other):
        pids = set()
        for model in (robust, other):
            server.measure(SIGNATURE, files.save(model, SIGNATURE), PROBE.head(5), 1)
            pids.add(server.pid)
        assert len(pids) == 1
        assert pids != {None}

    def test_the_model_files_are_only_read(self, server, files, robust):
        def changed():
            return {path: path.stat().st_mtime_ns for path in files.root.rglob("*")}

        digest = files.save(robust, SIGNATURE)
        before = changed()
        server.measure(SIGNATURE, digest, PROBE.head(5), 1)
        assert changed() == before

    def test_its_log_does_not_grow_from_version_to_version(self, server, files, robust):
        server.measure(SIGNATURE, files.save(robust, SIGNATURE), PROBE, 25)
        logs = list((server._folder / "log" / "delays").glob("*.jsonl"))
        assert logs
        assert {log.stat().st_size for log in logs} == {0}

    def test_what_is_refused_everywhere_is_not_asked_row_by_row_for_ever(
        self, server, files, fragile, monkeypatch
    ):
        monkeypatch.setattr(staged_requests, "MAX_SPLITS", 5)
        rows = ROWS.with_columns(wind=None)
        answers = server.measure(SIGNATURE, files.save(fragile, SIGNATURE), rows, 0)
        assert set(answers.probabilities) == {None}
        assert answers.reasons

    def test_a_request_that_is_too_long_is_divided(self, server, files, robust):
        long = pl.concat([ROWS, ROWS]).with_columns(carrier=pl.lit("x" * 20_000))
        answers = server.measure(SIGNATURE, files.save(robust, SIGNATURE), long, 0)
        assert None not in answers.probabilities

    def test_a_row_that_is_too_long_by_itself_is_refused_with_the_reason(
        self, server, files, robust
    ):
        rows = ROWS.head(3).with_columns(carrier=pl.lit("x" * (1 << 20)))
        answers = server.measure(SIGNATURE, files.save(robust, SIGNATURE), rows, 3)
        assert set(answers.probabilities) == {None}
        assert answers.milliseconds == ()
        assert "longer than" in answers.reasons[0]

    def test_only_rows_that_both_versions_take_are_asked_in_a_drill(
        self, server, files, robust, fragile
    ):
        versions = [StagedVersion(files.save(m, SIGNATURE), SIGNATURE) for m in (fragile, robust)]
        for current, previous in (versions, versions[::-1]):
            assert server.drill_rollback(current, previous, PROBE.head(50)).failed == 0

    def test_a_drill_that_cannot_be_is_an_error_that_says_why(self, server, files, robust, fragile):
        sound, strict = (
            StagedVersion(files.save(m, SIGNATURE), SIGNATURE) for m in (robust, fragile)
        )
        with pytest.raises(EndpointError, match="both are the same"):
            server.drill_rollback(sound, sound, PROBE)
        with pytest.raises(EndpointError, match="a row that both versions take"):
            server.drill_rollback(strict, sound, ROWS.with_columns(wind=None))
        with pytest.raises(EndpointError, match="a drill of 000000000000"):
            server.drill_rollback(sound, StagedVersion("0" * 64, SIGNATURE), PROBE)

    def test_a_server_that_died_is_started_again(self, server, files, robust):
        digest = files.save(robust, SIGNATURE)
        server.measure(SIGNATURE, digest, PROBE.head(5), 1)
        pid = server.pid
        os.kill(pid, signal.SIGKILL)
        server._process.wait(ENOUGH)
        answers = server.measure(SIGNATURE, digest, PROBE.head(5), 1)
        assert answers.loaded
        assert server.pid not in (None, pid)


def ended(pid):
    """Whether the process is gone within a time that is ample."""
    deadline = time.monotonic() + ENOUGH
    while time.monotonic() < deadline:
        stat = Path(f"/proc/{pid}/stat")
        try:
            os.kill(pid, 0)
            if stat.exists() and stat.read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except (ProcessLookupError, FileNotFoundError):
            return True
        time.sleep(0.02)
    return False


@pytest.fixture
def own_temporary_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


@pytest.fixture
def saved(tmp_path, robust):
    files = FolderModelFiles(tmp_path / "models")
    return files, files.save(robust, SIGNATURE)


def test_a_block_that_asks_nothing_starts_nothing(own_temporary_folder):
    with LocalStaging(own_temporary_folder / "none").open() as server:
        assert server.pid is None
    assert list(own_temporary_folder.iterdir()) == []


@pytest.mark.parametrize("error", [None, KeyboardInterrupt])
def test_the_process_and_its_folder_end_with_the_block_however_it_ends(
    own_temporary_folder, saved, error
):
    files, digest = saved

    def use():
        with LocalStaging(files.root).open() as server:
            server.measure(SIGNATURE, digest, PROBE.head(5), 1)
            pids.append(server.pid)
            if error:
                raise error

    pids = []
    if error:
        with pytest.raises(error):
            use()
    else:
        use()
    assert ended(pids[0])
    assert list(own_temporary_folder.iterdir()) == [files.root]


def test_a_server_that_does_not_go_is_made_to(saved, monkeypatch):
    files, digest = saved
    monkeypatch.setattr(local_staging, "STOP_SECONDS", 0.2)
    with LocalStaging(files.root).open() as server:
        server.measure(SIGNATURE, digest, PROBE.head(5), 1)
        pid = server.pid
        os.kill(pid, signal.SIGSTOP)
    assert ended(pid)


def test_when_whoever_staged_is_killed_then_the_server_ends_by_itself(saved, tmp_path, monkeypatch):
    files, digest = saved
    code = f"""
import json, runpy, sys, time
from pathlib import Path
from mlops_assets.adapters.local_staging import LocalStaging
from mlops_assets.adapters.serving_ports import StagedVersion
kinds = runpy.run_path({str(Path(__file__).with_name("model_kinds.py"))!r})
with LocalStaging(Path({str(files.root)!r})).open() as server:
    rows = kinds["make_rows"](5)
    answers = server.measure(kinds["signature"]("delays"), {digest!r}, rows, 1)
    print(json.dumps([server.pid, answers.loaded]), flush=True)
    time.sleep(600)
"""
    with subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    ) as staging:
        pid, loaded = json.loads(staging.stdout.readline())
        os.kill(pid, 0)
        staging.kill()
    assert loaded
    assert ended(pid)

    # and the folder that it leaves is removed by the next one, and no other
    (left,) = tmp_path.glob("*/owner.lock")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with LocalStaging(files.root).open() as kept, LocalStaging(files.root).open():
        assert not left.parent.exists()
        assert kept._folder.exists()


def test_a_server_that_ends_at_its_start_is_reported_with_its_last_words(saved, monkeypatch):
    files, digest = saved
    monkeypatch.setattr(local_staging, "MODULE", "mlops_assets.nothing")
    with (
        LocalStaging(files.root).open() as server,
        pytest.raises(EndpointError, match=r"ended with 1 at its start; .*No module named"),
    ):
        server.measure(SIGNATURE, digest, PROBE.head(5), 1)


def test_a_server_that_never_announces_itself_is_ended(saved, monkeypatch, tmp_path):
    files, digest = saved
    (tmp_path / "idle.py").write_text("import time; time.sleep(600)")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(local_staging, "MODULE", "idle")
    monkeypatch.setattr(local_staging, "START_SECONDS", 0.3)
    with LocalStaging(files.root).open() as server:
        with pytest.raises(EndpointError, match="did not come up in time"):
            server.measure(SIGNATURE, digest, PROBE.head(5), 1)
        assert server.pid is None


def test_a_version_that_takes_the_server_down_is_an_error_that_says_so(saved, monkeypatch):
    files, digest = saved
    with LocalStaging(files.root).open() as server:
        server.measure(SIGNATURE, digest, PROBE.head(5), 1)
        ask = staged_requests.StagedRequests.ask_all

        def kill_then_ask(requests, rows):
            os.kill(server.pid, signal.SIGKILL)
            server._process.wait(ENOUGH)
            return ask(requests, rows)

        monkeypatch.setattr(staged_requests.StagedRequests, "ask_all", kill_then_ask)
        with pytest.raises(EndpointError, match="stopped answering"):
            server.measure(SIGNATURE, digest, PROBE.head(5), 1)
