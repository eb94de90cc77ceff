"""MLflow: one run for each identity whoever races for it, and what its pages show."""

from __future__ import annotations

import json
import platform
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from importlib.metadata import version
from uuid import uuid4

import pytest

from mlops_assets.adapters.mlflow_children import log_values
from mlops_assets.adapters.mlflow_connection import connect
from mlops_assets.adapters.mlflow_datasets import log_input
from mlops_assets.adapters.mlflow_runs import MlflowRun
from mlops_assets.adapters.mlflow_tracking import MlflowTracking
from mlops_assets.adapters.ports import Dataset


def tags(partition="2013-W10", run="run 1", asset="trained_model", **more):
    named = {"dagster_run_id": run, "dagster_asset": asset, "dagster_partition": partition}
    return {**named, **more}


def log(tracking, experiment, tags, **metrics):
    """One finished run with these metrics; returns its id."""
    with tracking.run(experiment=experiment, name="name", tags=tags) as run:
        run.log_metrics(metrics)
        return run.run_id


@pytest.fixture
def experiment():
    """A name that no other test uses, in databases that tests share."""
    return f"experiment-{uuid4().hex[:8]}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("mlflow")


@pytest.fixture
def tracking(folder):
    return MlflowTracking(f"sqlite:///{folder}/mlflow.db", folder / "artifacts")


@pytest.fixture
def fresh(tmp_path):
    """A tracking whose database is not there yet."""
    return MlflowTracking(f"sqlite:///{tmp_path}/new/mlflow.db", tmp_path / "artifacts")


@pytest.fixture
def client(tracking):
    return client_of(tracking)


def client_of(tracking):
    from mlflow import MlflowClient

    return MlflowClient(tracking.uri)


def runs_of(tracking, experiment):
    """All runs of the experiment, deleted ones too."""
    from mlflow.entities import ViewType

    client = client_of(tracking)
    found = client.get_experiment_by_name(experiment)
    return client.search_runs([found.experiment_id], run_view_type=ViewType.ALL)


@pytest.fixture(autouse=True)
def _no_run_is_left_active():
    """What a test leaves open would be the next one's run."""
    yield
    import mlflow

    while mlflow.active_run():
        mlflow.end_run()


def test_a_run_has_an_address_where_people_can_look(tracking, experiment):
    shown = MlflowTracking(tracking.uri, tracking.artifacts, "http://ui")
    with shown.run(experiment=experiment, name="name", tags=tags()) as run:
        assert run.url.startswith("http://ui/#/experiments/")
        assert run.url.endswith(f"/runs/{run.run_id}")
    with tracking.run(experiment=experiment, name="name", tags=tags()) as run:
        assert run.url is None


def test_when_another_process_makes_the_same_run_in_between_then_its_run_is_kept(
    tracking, experiment, monkeypatch
):
    from mlflow import MlflowClient

    log(tracking, experiment, tags("before"))
    make, theirs = MlflowClient.create_run, []

    def make_second(client, *arguments, **options):
        theirs.append(make(client, *arguments, **options).info.run_id)
        time.sleep(0.005)  # runs are ordered by milliseconds
        return make(client, *arguments, **options)

    monkeypatch.setattr(MlflowClient, "create_run", make_second)
    assert [log(tracking, experiment, tags())] == theirs
    assert log(tracking, experiment, tags()) == theirs[0]
    client = MlflowClient(tracking.uri)
    found = client.get_experiment_by_name(experiment)
    assert len(client.search_runs([found.experiment_id])) == 2


def test_when_another_process_makes_the_experiment_in_between_then_it_is_shared(
    tracking, experiment, monkeypatch
):
    from mlflow import MlflowClient

    make = MlflowClient.create_experiment

    def make_second(client, *arguments):
        make(client, *arguments)
        return make(client, *arguments)

    monkeypatch.setattr(MlflowClient, "create_experiment", make_second)
    run_id = log(tracking, experiment, tags(), rows=1)
    assert client_of(tracking).get_run(run_id).data.metrics == {"rows": 1.0}


@pytest.mark.parametrize("within", [True, False])
@pytest.mark.parametrize("step", ["dagster_mlflow.resources.MlFlow._start_run", "mlflow.set_tags"])
def test_when_opening_fails_then_the_run_has_failed_and_an_outer_one_goes_on(
    tracking, experiment, monkeypatch, within, step
):
    import dagster_mlflow.resources  # noqa: F401 - it copies MLflow's functions when imported
    from mlflow import MlflowClient

    def refuse(*_arguments, **_options):
        raise ValueError("away")

    def fail_to_open():
        with monkeypatch.context() as patch:
            patch.setattr(step, refuse)
            log(tracking, experiment, tags("inner"))

    with ExitStack() as stack:
        if within:
            outer = stack.enter_context(
                tracking.run(experiment=experiment, name="outer", tags=tags("outer"))
            )
        with pytest.raises(ValueError, match="away"):
            fail_to_open()
        if within:
            outer.log_metrics({"outer": 1})
    client = MlflowClient(tracking.uri)
    found = client.get_experiment_by_name(experiment)
    runs = client.search_runs([found.experiment_id])
    status = {run.data.tags["dagster_partition"]: run.info.status for run in runs}
    assert status == {"inner": "FAILED"} | ({"outer": "FINISHED"} if within else {})


def test_when_threads_track_in_experiments_of_their_own_then_each_has_its_run(tracking, experiment):
    barrier = threading.Barrier(4)

    def attempt(number):
        barrier.wait()
        return [log(tracking, f"{experiment}-{number}", tags(f"W{turn}")) for turn in range(4)]

    with ThreadPoolExecutor(4) as pool:
        runs = [run for several in pool.map(attempt, range(4)) for run in several]
    assert len(set(runs)) == 16
    assert {client_of(tracking).get_run(run).info.status for run in runs} == {"FINISHED"}


def test_a_tag_with_both_kinds_of_quotes_is_refused_before_a_run_is_made(tracking, experiment):
    with pytest.raises(ValueError, match="both kinds of quotes"):
        log(tracking, experiment, tags('it\'s "quoted"'))


AT_ONCE = """
import json, multiprocessing, sys
from pathlib import Path

import dagster_mlflow.resources
import mlflow.sklearn
from mlops_assets.adapters.mlflow_children import log_values
from mlops_assets.adapters.mlflow_connection import connect
from mlops_assets.adapters.mlflow_datasets import log_input
from mlops_assets.adapters.mlflow_runs import MlflowRun
from mlops_assets.adapters.mlflow_tracking import MlflowTracking, connect


def attempt(barrier, uri, artifacts, number, partition):
    tracking = MlflowTracking(uri, Path(artifacts))
    tags = {"dagster_run_id": "run", "dagster_asset": "asset", "dagster_partition": partition}
    if Path(uri.removeprefix("sqlite:///")).exists():
        connect(uri).search_experiments()  # else the first use would set them apart
    barrier.wait()
    with tracking.run(experiment="together", name=partition, tags=tags) as run:
        run.log_metrics({f"metric_{number}": number})
        barrier.wait()  # all are open at once


forked = multiprocessing.get_context("fork")
for uri, artifacts, partitions in json.loads(sys.argv[1]):
    barrier = forked.Barrier(len(partitions))
    given = [(barrier, uri, artifacts, number, name) for number, name in enumerate(partitions)]
    processes = [forked.Process(target=attempt, args=arguments) for arguments in given]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert not any(process.exitcode for process in processes)
"""
"""Forked from one that has imported all, processes reach the database within milliseconds."""

KILLED = """
import sys, time
from pathlib import Path

from mlflow import MlflowClient
from mlops_assets.adapters.mlflow_children import log_values
from mlops_assets.adapters.mlflow_connection import connect
from mlops_assets.adapters.mlflow_datasets import log_input
from mlops_assets.adapters.mlflow_runs import MlflowRun
from mlops_assets.adapters.mlflow_tracking import MlflowTracking

uri, artifacts = sys.argv[1:]


def hang(*_arguments, **_options):
    print("hanging", flush=True)
    time.sleep(600)


tags = {"dagster_run_id": "run", "dagster_asset": "asset", "dagster_partition": "W1"}
with MlflowTracking(uri, Path(artifacts)).run(experiment="killed", name="name", tags=tags) as run:
    run.log_child("trial 1", {"rate": 0.1}, {"loss": 0.5})
    MlflowClient.log_batch = hang
    run.log_child("trial 2", {"rate": 0.2}, {"loss": 0.25})
"""


@pytest.fixture(scope="module")
def raced(tmp_path_factory):
    """Two databases, each after 8 processes at once: a fresh one as 8 runs, one that was there and
    has no such experiment all as the same run."""
    races = {"different": [f"W{number}" for number in range(8)], "same": ["W1"] * 8}
    folders = {name: tmp_path_factory.mktemp(name) for name in races}
    kept = {
        name: MlflowTracking(f"sqlite:///{folder}/new/mlflow.db", folder / "artifacts")
        for name, folder in folders.items()
    }
    connect(kept["same"].uri)
    given = [[kept[name].uri, str(kept[name].artifacts), who] for name, who in races.items()]
    command = [sys.executable, "-c", AT_ONCE, json.dumps(given)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr
    return kept


def test_when_8_processes_are_first_in_a_fresh_database_then_each_has_its_own_run(raced):
    found = runs_of(raced["different"], "together")
    seen = {run.info.run_name: (run.info.status, run.data.metrics) for run in found}
    assert len(found) == 8
    assert seen == {f"W{n}": ("FINISHED", {f"metric_{n}": float(n)}) for n in range(8)}


def test_when_8_processes_are_the_same_run_then_one_was_ever_made(raced):
    (run,) = runs_of(raced["same"], "together")
    assert run.info.lifecycle_stage == "active"
    assert run.info.status == "FINISHED"
    assert run.data.metrics == {f"metric_{number}": float(number) for number in range(8)}


@pytest.mark.parametrize("identities", [8, 1])
def test_when_8_threads_are_first_in_a_fresh_database_then_each_identity_has_one_run(
    fresh, experiment, identities
):
    barrier = threading.Barrier(8)

    def attempt(number):
        barrier.wait()
        identity = tags(f"W{number % identities}")
        return log(fresh, experiment, identity, **{f"metric_{number}": number})

    with ThreadPoolExecutor(8) as pool:
        runs = set(pool.map(attempt, range(8)))
    found = runs_of(fresh, experiment)
    assert len(found) == len(runs) == identities
    assert {run.info.status for run in found} == {"FINISHED"}
    assert sum(len(run.data.metrics) for run in found) == 8


def test_given_a_process_killed_within_a_child_when_ended_by_others_then_a_retry_completes_it(
    fresh,
):
    given = [sys.executable, "-c", KILLED, fresh.uri, str(fresh.artifacts)]
    with subprocess.Popen(given, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout.readline() == "hanging\n"
        finally:
            process.send_signal(signal.SIGKILL)
    before = {run.info.run_name: run for run in runs_of(fresh, "killed")}
    states = {name: run.info.status for name, run in before.items()}
    assert states == {"name": "RUNNING", "trial 1": "FINISHED", "trial 2": "RUNNING"}

    ended = fresh.end_unfinished("run", "KILLED")
    assert set(ended) == {before["name"].info.run_id, before["trial 2"].info.run_id}
    assert {run.info.status for run in runs_of(fresh, "killed")} == {"FINISHED", "KILLED"}
    assert fresh.end_unfinished("run", "KILLED") == []

    identity = tags("W1", run="run", asset="asset")
    with fresh.run(experiment="killed", name="name", tags=identity) as run:
        run.log_child("trial 1", {"rate": 0.1}, {"loss": 0.5})
        run.log_child("trial 2", {"rate": 0.2}, {"loss": 0.25})
    after = {run.info.run_name: run for run in runs_of(fresh, "killed")}
    assert {name: r.info.run_id for name, r in after.items()} == {
        name: r.info.run_id for name, r in before.items()
    }
    assert {run.info.status for run in after.values()} == {"FINISHED"}
    assert after["trial 2"].data.metrics == {"loss": 0.25}


def test_a_run_says_in_which_environment_it_was_made(tracking, experiment, client):
    told = client.get_run(log(tracking, experiment, tags())).data.tags
    assert told["environment.python"] == platform.python_version()
    assert told["environment.mlflow"] == version("mlflow")


def test_a_run_names_its_asset_as_the_source_and_keeps_the_version_of_the_code(
    tracking, experiment, client
):
    run_id = log(tracking, experiment, tags(code_version="abc123"))
    told = client.get_run(run_id).data.tags
    assert told["mlflow.source.name"] == "trained_model"
    assert told["code_version"] == "abc123"


def test_the_description_of_a_run_leads_back_to_dagster(tracking, experiment, client):
    address = "http://dagster/runs/run-1"
    run_id = log(tracking, experiment, tags(dagster_run_url=address))
    told = client.get_run(run_id).data.tags
    assert told["dagster_run_url"] == address
    for part in ("`trained_model`", "`2013-W10`", f"[run 1]({address})"):
        assert part in told["mlflow.note.content"]


def test_a_description_that_people_changed_is_left_to_them(tracking, experiment, client):
    run_id = log(tracking, experiment, tags())
    client.set_tag(run_id, "mlflow.note.content", "Ours")
    assert log(tracking, experiment, tags()) == run_id
    assert client.get_run(run_id).data.tags["mlflow.note.content"] == "Ours"


def test_a_dataset_is_an_input_that_mlflow_can_resolve(tracking, experiment, client):
    from mlflow.data import get_source

    digest = "0123456789abcdef" * 4
    with tracking.run(experiment=experiment, name="name", tags=tags()) as run:
        run.log_dataset(Dataset("features", digest, "state/tables/features", 12, "training"))
    (given,) = client.get_run(run.run_id).inputs.dataset_inputs
    assert (given.dataset.name, given.dataset.digest) == ("features", digest[:36])
    assert json.loads(given.dataset.source)["digest"] == digest
    assert get_source(given.dataset).uri == "state/tables/features"


@pytest.mark.parametrize(
    ("source", "kind"),
    [("state/features", "local"), ("file:///state/features", "local"), ("s3://b/f", "s3")],
)
def test_the_source_of_a_dataset_has_the_type_of_its_scheme(
    tracking, experiment, client, source, kind
):
    run_id = log(tracking, experiment, tags())
    log_input(client, run_id, Dataset("features", "digest", source, 12, "training"))
    (given,) = client.get_run(run_id).inputs.dataset_inputs
    assert given.dataset.source_type == kind


def test_a_run_that_was_opened_is_active_in_its_thread(tracking, experiment):
    import mlflow

    with tracking.run(experiment=experiment, name="name", tags=tags()) as run:
        assert isinstance(run, MlflowRun)
        assert mlflow.active_run().info.run_id == run.run_id
    assert mlflow.active_run() is None


def test_a_child_costs_three_round_trips_and_all_together_one_search(
    tracking, experiment, monkeypatch
):
    from mlflow import MlflowClient

    asked = []

    def count(name):
        method = getattr(MlflowClient, name)

        def counted(client, *arguments, **options):
            asked.append(name)
            return method(client, *arguments, **options)

        monkeypatch.setattr(MlflowClient, name, counted)

    with tracking.run(experiment=experiment, name="name", tags=tags()) as run:
        for name in ("create_run", "log_batch", "set_terminated", "search_runs", "get_run"):
            count(name)
        for number in range(3):
            run.log_child(f"trial {number}", {"rate": 0.1}, {"loss": 0.5})
        monkeypatch.undo()
    assert asked == ["search_runs", *["create_run", "log_batch", "set_terminated"] * 3]


def test_more_parameters_and_metrics_than_mlflow_takes_at_once_are_logged(
    tracking, experiment, client
):
    params = {f"param_{number}": number for number in range(230)}
    metrics = {f"metric_{number}": float(number) for number in range(1200)}
    run_id = log(tracking, experiment, tags())
    log_values(client, run_id, params, metrics)
    data = client.get_run(run_id).data
    assert data.metrics == metrics
    assert data.params == {name: str(value) for name, value in params.items()}


def test_when_logging_a_child_fails_then_it_has_failed_and_the_error_goes_on(tracking, experiment):
    with tracking.run(experiment=experiment, name="name", tags=tags()) as run:
        with pytest.raises(Exception, match="not a number"):
            run.log_child("trial 1", {}, {"loss": "not a number"})
        run.log_child("trial 2", {}, {})
    seen = {run.info.run_name: run.info.status for run in runs_of(tracking, experiment)}
    assert seen == {"name": "FINISHED", "trial 1": "FAILED", "trial 2": "FINISHED"}


def test_children_are_in_no_search_for_the_runs_of_their_asset(tracking, experiment, client):
    with tracking.run(experiment=experiment, name="name", tags=tags()) as run:
        run.log_child("trial 1", {}, {})
    (child,) = (r for r in runs_of(tracking, experiment) if r.info.run_id != run.run_id)
    assert child.data.tags["mlflow.parentRunId"] == run.run_id
    assert child.data.tags["dagster_run_id"] == "run 1"
    assert not {"dagster_asset", "dagster_partition"} & set(child.data.tags)


def test_the_open_runs_of_more_pages_than_one_are_ended(tracking, experiment, client, monkeypatch):
    from mlflow import MlflowClient

    search = MlflowClient.search_runs

    def search_small_pages(client, experiments, wanted, **options):
        return search(client, experiments, wanted, max_results=2, **options)

    place = client.create_experiment(experiment)
    made = [
        client.create_run(place, tags={"dagster_run_id": experiment}).info.run_id for _ in range(5)
    ]
    monkeypatch.setattr(MlflowClient, "search_runs", search_small_pages)
    assert set(tracking.end_unfinished(experiment, "FAILED")) == set(made)
    assert {client.get_run(run).info.status for run in made} == {"FAILED"}
