"""Tracking runs: one for each identity, ended the way their block ended."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from uuid import uuid4

import polars as pl
import pytest
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OrdinalEncoder

from mlops_assets.adapters.in_memory import InMemoryTracking
from mlops_assets.adapters.mlflow_tracking import MlflowTracking
from mlops_assets.lifecycle.training import (
    Feature,
    ModelSignature,
    fit_estimator,
    predict_probability,
)

FEATURES = (Feature("distance", "numeric"), Feature("carrier", "categorical"))
ROWS = pl.DataFrame(
    {
        "distance": [100.0, 2000.0, None, 400.0, 1500.0, 90.0],
        "carrier": ["UA", "DL", "UA", "AA", None, "DL"],
        "late": [0, 1, 0, 0, 1, 1],
    }
)
PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256))


@dataclass(frozen=True)
class Seen:
    """What people see of a run."""

    status: str
    name: str
    tags: dict[str, str]
    params: dict[str, str]
    metrics: dict[str, float]
    images: dict[str, bytes]


def tags(partition="2013-W10", run="run 1", asset="trained_model"):
    return {"dagster_run_id": run, "dagster_asset": asset, "dagster_partition": partition}


def build_estimator(features, seed):
    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    return make_pipeline(
        make_column_transformer((encoder, ["carrier"]), remainder="passthrough"),
        HistGradientBoostingClassifier(min_samples_leaf=1, max_iter=5, random_state=seed),
    )


@pytest.fixture
def experiment():
    """A name that no other test uses, in databases that tests share."""
    return f"experiment-{uuid4().hex[:8]}"


def log(tracking, experiment, tags, **metrics):
    """One finished run with these metrics; returns its id."""
    with tracking.run(experiment=experiment, name="name", tags=tags) as run:
        run.log_metrics(metrics)
        return run.run_id


def fail(tracking, experiment, error, **metrics):
    """One run that ends with the error; returns its id."""
    seen = []

    def block():
        with tracking.run(experiment=experiment, name="name", tags=tags()) as run:
            seen.append(run.run_id)
            run.log_params({"rate": 0.1})
            run.log_metrics(metrics)
            raise error

    with pytest.raises(type(error), match="went wrong"):
        block()
    return seen[0]


def log_at_once(tracking, experiment, identities):
    """One run for each identity, from a thread of its own, all at the same moment."""
    barrier = threading.Barrier(len(identities))

    def attempt(number):
        barrier.wait()
        return log(tracking, experiment, identities[number], **{f"metric_{number}": float(number)})

    with ThreadPoolExecutor(len(identities)) as pool:
        return list(pool.map(attempt, range(len(identities))))


class TrackingContract:
    def test_what_was_logged_is_seen_when_the_block_has_ended(self, tracking, experiment):
        with tracking.run(experiment=experiment, name="model as of W10", tags=tags()) as run:
            run.log_params({"rate": 0.1, "estimator": "boosting"})
            run.log_params({"depth": 3})
            run.log_metrics({"rows": 12, "auc": 0.75})
        seen = self.look(tracking, run.run_id)
        assert (seen.status, seen.name) == ("FINISHED", "model as of W10")
        assert seen.params == {"rate": "0.1", "estimator": "boosting", "depth": "3"}
        assert seen.metrics == {"rows": 12.0, "auc": 0.75}
        assert tags().items() <= seen.tags.items()

    @pytest.mark.parametrize(
        ("error", "status"),
        [(ValueError, "FAILED"), (KeyboardInterrupt, "KILLED"), (SystemExit, "KILLED")],
    )
    def test_when_the_block_raises_then_the_run_says_so_and_the_error_goes_on(
        self, tracking, experiment, error, status
    ):
        run_id = fail(tracking, experiment, error("went wrong"), before=1)
        seen = self.look(tracking, run_id)
        assert (seen.status, seen.metrics) == (status, {"before": 1.0})

    def test_while_the_block_is_open_the_run_is_running(self, tracking, experiment):
        with tracking.run(experiment=experiment, name="name", tags=tags()) as run:
            assert self.look(tracking, run.run_id).status == "RUNNING"

    def test_given_a_failed_run_when_its_identity_tries_again_then_it_goes_on_and_finishes(
        self, tracking, experiment
    ):
        failed = fail(tracking, experiment, ValueError("went wrong"), first=1)
        with tracking.run(experiment=experiment, name="name", tags=tags()) as again:
            again.log_params({"rate": 0.1})
            again.log_metrics({"second": 2})
        assert again.run_id == failed
        seen = self.look(tracking, again.run_id)
        assert (seen.status, seen.metrics) == ("FINISHED", {"first": 1.0, "second": 2.0})

    def test_another_run_asset_partition_or_experiment_is_another_run(self, tracking, experiment):
        identities = [tags(), tags(run="run 2"), tags(asset="evaluation"), tags("2013-W11")]
        runs = [log(tracking, experiment, identity) for identity in identities]
        runs.append(log(tracking, f"{experiment}-b", tags()))
        assert len(set(runs)) == 5

    def test_tags_beyond_the_identity_do_not_make_another_run(self, tracking, experiment):
        first = log(tracking, experiment, {**tags(), "retry": "0"})
        assert log(tracking, experiment, {**tags(), "retry": "1"}) == first

    def test_metrics_and_pictures_can_be_added_to_a_run_that_has_ended(self, tracking, experiment):
        run_id = log(tracking, experiment, tags(), rows=12)
        tracking.annotate(run_id, {"auc": 0.75, "rows": 13}, {"roc": PNG, "slices": PNG[::-1]})
        seen = self.look(tracking, run_id)
        assert seen.metrics == {"auc": 0.75, "rows": 13.0}
        assert seen.images == {"roc": PNG, "slices": PNG[::-1]}
        assert seen.status == "FINISHED"

    def test_annotating_twice_is_harmless(self, tracking, experiment):
        run_id = log(tracking, experiment, tags())
        for _ in range(2):
            tracking.annotate(run_id, {"auc": 0.75}, {"roc": PNG})
        seen = self.look(tracking, run_id)
        assert (seen.metrics, seen.images) == ({"auc": 0.75}, {"roc": PNG})

    def test_a_parameter_cannot_change_within_a_run(self, tracking, experiment):
        with tracking.run(experiment=experiment, name="name", tags=tags()) as run:
            run.log_params({"rate": 0.1})
            with pytest.raises(Exception, match="rate"):
                run.log_params({"rate": 0.2})
        assert self.look(tracking, run.run_id).params == {"rate": "0.1"}

    def test_a_logged_model_answers_like_the_fitted_one(self, tracking, experiment):
        fitted = fit_estimator(build_estimator, ROWS, FEATURES, "late", parameters={}, seed=7)
        signature = ModelSignature(
            model="delays",
            features=FEATURES,
            entity_key="flight",
            time="moment",
            label="late",
            train_as_of="2013-W10",
            training_set="digest",
            estimator="build_estimator",
        )
        with tracking.run(experiment=experiment, name="name", tags=tags()) as run:
            uri = run.log_model(fitted, signature)
        loaded = self.load_model(tracking, uri)
        expected = predict_probability(fitted, ROWS, FEATURES)
        assert predict_probability(loaded, ROWS, FEATURES).tolist() == expected.tolist()

    def test_a_quote_in_a_tag_is_kept(self, tracking, experiment):
        run_id = log(tracking, experiment, tags("it's"))
        assert log(tracking, experiment, tags("it's")) == run_id
        assert self.look(tracking, run_id).tags["dagster_partition"] == "it's"

    def test_when_4_threads_track_different_identities_then_each_has_its_own_run(
        self, tracking, experiment
    ):
        log(tracking, experiment, tags("before"))
        runs = log_at_once(tracking, experiment, [tags(f"W{n}") for n in range(4)])
        for number, run_id in enumerate(runs):
            seen = self.look(tracking, run_id)
            assert seen.metrics == {f"metric_{number}": float(number)}
            assert seen.tags["dagster_partition"] == f"W{number}"
            assert seen.status == "FINISHED"

    def test_when_4_threads_track_the_same_identity_then_it_has_one_run(self, tracking, experiment):
        log(tracking, experiment, tags("before"))
        for turn in range(3):
            runs = log_at_once(tracking, experiment, [tags(f"W{turn}")] * 4)
            assert len(set(runs)) == 1

    def test_when_4_threads_are_first_in_an_experiment_then_each_has_its_run(
        self, tracking, experiment
    ):
        for turn in range(3):
            identities = [tags(f"W{n}") for n in range(4)]
            runs = log_at_once(tracking, f"{experiment}-{turn}", identities)
            assert len(set(runs)) == 4

    def test_a_run_within_a_run_keeps_what_is_its_own(self, tracking, experiment):
        with tracking.run(experiment=experiment, name="outer", tags=tags("outer")) as outer:
            inner = log(tracking, experiment, tags("inner"), inner=1)
            outer.log_metrics({"outer": 1})
        assert self.look(tracking, inner).metrics == {"inner": 1.0}
        assert self.look(tracking, inner).status == "FINISHED"
        assert self.look(tracking, outer.run_id).metrics == {"outer": 1.0}


class TestInMemoryTracking(TrackingContract):
    @pytest.fixture
    def tracking(self):
        return InMemoryTracking()

    def look(self, tracking, run_id):
        (run,) = (run for run in tracking.runs if run.run_id == run_id)
        params = {name: str(value) for name, value in run.params.items()}
        return Seen(run.status, run.name, run.tags, params, run.metrics, run.images)

    def load_model(self, tracking, uri):
        (model,) = (run.models[uri][0] for run in tracking.runs if uri in run.models)
        return model


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("tracking")


class TestMlflowTracking(TrackingContract):
    @pytest.fixture
    def tracking(self, folder):
        return MlflowTracking(f"sqlite:///{folder}/deep/mlflow.db", folder / "artifacts")

    @pytest.fixture(autouse=True)
    def _no_run_is_left_active(self):
        """What a test leaves open would be the next one's run."""
        yield
        import mlflow

        while mlflow.active_run():
            mlflow.end_run()

    def look(self, tracking, run_id):
        from mlflow import MlflowClient

        client = MlflowClient(tracking.uri)
        run = client.get_run(run_id)
        paths = [file.path for file in client.list_artifacts(run_id, "plots")]
        folder = tracking.artifacts / client.get_experiment(run.info.experiment_id).name
        data = run.data
        return Seen(
            run.info.status,
            run.info.run_name,
            data.tags,
            data.params,
            data.metrics,
            {
                path.removeprefix("plots/").removesuffix(".png"): (
                    folder / run_id / "artifacts" / path
                ).read_bytes()
                for path in paths
            },
        )

    def load_model(self, tracking, uri):
        import mlflow

        mlflow.set_tracking_uri(tracking.uri)
        return mlflow.sklearn.load_model(uri)

    def test_a_run_has_an_address_where_people_can_look(self, tracking, experiment):
        shown = MlflowTracking(tracking.uri, tracking.artifacts, "http://ui")
        with shown.run(experiment=experiment, name="name", tags=tags()) as run:
            assert run.url.startswith("http://ui/#/experiments/")
            assert run.url.endswith(f"/runs/{run.run_id}")
        with tracking.run(experiment=experiment, name="name", tags=tags()) as run:
            assert run.url is None

    def test_when_another_process_makes_the_same_run_in_between_then_its_run_is_kept(
        self, tracking, experiment, monkeypatch
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
        self, tracking, experiment, monkeypatch
    ):
        from mlflow import MlflowClient

        make = MlflowClient.create_experiment

        def make_second(client, *arguments):
            make(client, *arguments)
            return make(client, *arguments)

        monkeypatch.setattr(MlflowClient, "create_experiment", make_second)
        run_id = log(tracking, experiment, tags(), rows=1)
        assert self.look(tracking, run_id).metrics == {"rows": 1.0}

    @pytest.mark.parametrize("within", [True, False])
    @pytest.mark.parametrize(
        "step", ["dagster_mlflow.resources.MlFlow._start_run", "mlflow.set_tags"]
    )
    def test_when_opening_fails_then_the_run_has_failed_and_an_outer_one_goes_on(
        self, tracking, experiment, monkeypatch, within, step
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

    def test_when_threads_track_in_experiments_of_their_own_then_each_has_its_run(
        self, tracking, experiment
    ):
        barrier = threading.Barrier(4)

        def attempt(number):
            barrier.wait()
            return [log(tracking, f"{experiment}-{number}", tags(f"W{turn}")) for turn in range(4)]

        with ThreadPoolExecutor(4) as pool:
            runs = [run for several in pool.map(attempt, range(4)) for run in several]
        assert len(set(runs)) == 16
        assert {self.look(tracking, run).status for run in runs} == {"FINISHED"}

    def test_a_tag_with_both_kinds_of_quotes_is_refused_before_a_run_is_made(
        self, tracking, experiment
    ):
        with pytest.raises(ValueError, match="both kinds of quotes"):
            log(tracking, experiment, tags('it\'s "quoted"'))
