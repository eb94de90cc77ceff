"""Tracking runs: one for each identity, ended the way their block ended."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from uuid import uuid4

import polars as pl
import pytest
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OrdinalEncoder
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from mlops_assets.adapters.fan_out_tracking import FanOutTracking
from mlops_assets.adapters.in_memory import InMemoryTracking
from mlops_assets.adapters.mlflow_tracking import MlflowTracking
from mlops_assets.adapters.ports import Dataset
from mlops_assets.adapters.tensorboard_run_file import RunFile
from mlops_assets.adapters.tensorboard_tracking import TensorboardTracking
from mlops_assets.adapters.tracking_identity import TRACKING_RUN
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
    texts: dict[str, str] = field(default_factory=dict)
    datasets: list[tuple[str, str, int, str]] = field(default_factory=list)
    children: dict[str, tuple[str, dict[str, float]]] = field(default_factory=dict)


FEATURES_DATA = Dataset("features", "d" * 64, "state/tables/features", 12, "training")


class TerminatedError(BaseException):
    """Like Dagster's own: it derives from no ``Exception``."""


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
        [
            (ValueError, "FAILED"),
            (KeyboardInterrupt, "KILLED"),
            (SystemExit, "KILLED"),
            (TerminatedError, "KILLED"),
        ],
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

    def test_when_the_generator_that_holds_the_block_is_closed_then_the_run_was_killed(
        self, tracking, experiment
    ):
        def hold():
            with tracking.run(experiment=experiment, name="name", tags=tags()) as run:
                yield run.run_id

        held = hold()
        run_id = next(held)
        held.close()
        assert self.look(tracking, run_id).status == "KILLED"

    def test_the_tags_of_the_last_try_are_seen_beside_those_of_earlier_ones(
        self, tracking, experiment
    ):
        log(tracking, experiment, {**tags(), "retry": "0", "early": "kept"})
        run_id = log(tracking, experiment, {**tags(), "retry": "1"})
        seen = self.look(tracking, run_id).tags
        assert (seen["retry"], seen["early"]) == ("1", "kept")

    def test_a_dataset_is_seen_once_however_often_it_is_named(self, tracking, experiment):
        other = Dataset("labels", "e" * 64, "state/tables/labels", 7, "evaluation")
        for _ in range(2):
            with tracking.run(experiment=experiment, name="name", tags=tags()) as run:
                run.log_dataset(FEATURES_DATA)
                run.log_dataset(other)
                run.log_dataset(FEATURES_DATA)
        seen = self.look(tracking, run.run_id).datasets
        assert sorted(seen) == [
            ("features", "d" * 64, 12, "training"),
            ("labels", "e" * 64, 7, "evaluation"),
        ]

    def test_another_digest_of_the_same_dataset_is_another_one(self, tracking, experiment):
        newer = Dataset("features", "f" * 64, "state/tables/features", 13, "training")
        with tracking.run(experiment=experiment, name="name", tags=tags()) as run:
            run.log_dataset(FEATURES_DATA)
            run.log_dataset(newer)
        seen = self.look(tracking, run.run_id).datasets
        assert sorted(rows for _, _, rows, _ in seen) == [12, 13]

    def test_children_are_seen_below_their_run_with_the_status_they_ended_in(
        self, tracking, experiment
    ):
        with tracking.run(experiment=experiment, name="name", tags=tags()) as run:
            run.log_child("trial 1", {"rate": 0.1}, {"loss": 0.5})
            run.log_child("trial 2", {"rate": 0.2}, {}, "FAILED")
            run.log_child("trial/3", {}, {"loss": 0.25}, "KILLED")
        assert self.look(tracking, run.run_id).children == {
            "trial 1": ("FINISHED", {"loss": 0.5}),
            "trial 2": ("FAILED", {}),
            "trial/3": ("KILLED", {"loss": 0.25}),
        }

    def test_when_a_retry_logs_a_child_again_then_there_is_one_as_it_was(
        self, tracking, experiment
    ):
        for loss in (0.5, 0.75):
            with tracking.run(experiment=experiment, name="name", tags=tags()) as run:
                run.log_child("trial 1", {"rate": 0.1}, {"loss": loss})
                run.log_child("trial 1", {"rate": 0.1}, {"loss": loss + 1})
        assert self.look(tracking, run.run_id).children == {"trial 1": ("FINISHED", {"loss": 0.5})}

    def test_when_a_retry_logs_a_child_that_had_failed_then_that_one_finishes(
        self, tracking, experiment
    ):
        for status, metrics in (("FAILED", {}), ("FINISHED", {"loss": 0.5})):
            with tracking.run(experiment=experiment, name="name", tags=tags()) as run:
                run.log_child("trial 1", {"rate": 0.1}, metrics, status)
        assert self.look(tracking, run.run_id).children == {"trial 1": ("FINISHED", {"loss": 0.5})}

    def test_a_child_is_not_taken_for_its_parent(self, tracking, experiment):
        with tracking.run(experiment=experiment, name="name", tags=tags()) as run:
            run.log_child("trial 1", {}, {"loss": 0.5})
        assert log(tracking, experiment, tags(), after=1) == run.run_id
        assert self.look(tracking, run.run_id).metrics == {"after": 1.0}

    def test_texts_can_be_added_to_a_run_that_has_ended_and_replaced(self, tracking, experiment):
        run_id = log(tracking, experiment, tags())
        tracking.annotate(run_id, {}, {}, {"model": "# Old", "data": "Rows: 12 \u2264 13"})
        tracking.annotate(run_id, {}, {}, {"model": "# Model\n\n| a | b |\n"})
        seen = self.look(tracking, run_id)
        assert seen.texts == {
            "model": "# Model\n\n| a | b |\n",
            "data": "Rows: 12 \u2264 13",
        }
        assert seen.status == "FINISHED"

    @pytest.mark.parametrize("unknown", ["0" * 32, "no such run"])
    def test_annotating_a_run_that_there_is_not_is_an_error(self, tracking, experiment, unknown):
        log(tracking, experiment, tags())
        with pytest.raises(Exception, match=unknown):
            tracking.annotate(unknown, {"auc": 0.75}, {})

    def test_the_open_runs_of_a_dagster_run_can_be_ended_by_others_once(self, tracking, experiment):
        mine, theirs = f"mine-{experiment}", f"theirs-{experiment}"
        ended = log(tracking, experiment, tags("ended", run=mine))
        with (
            tracking.run(experiment=experiment, name="a", tags=tags("a", run=mine)) as a,
            tracking.run(experiment=f"{experiment}-b", name="b", tags=tags("b", run=mine)) as b,
            tracking.run(experiment=experiment, name="c", tags=tags("a", run=theirs)) as c,
        ):
            a.log_child("trial 1", {}, {})
            assert set(tracking.end_unfinished(mine, "KILLED")) == {a.run_id, b.run_id}
            assert tracking.end_unfinished(mine, "FAILED") == []
            seen = [self.look(tracking, run).status for run in (a.run_id, b.run_id, c.run_id)]
            assert seen == ["KILLED", "KILLED", "RUNNING"]
        assert self.look(tracking, ended).status == "FINISHED"

    def test_a_dagster_run_that_tracked_nothing_has_nothing_to_end(self, tracking):
        assert tracking.end_unfinished("no such run", "KILLED") == []

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


class FurtherContract(TrackingContract):
    """What an adapter must do to stand behind another one."""

    def test_a_run_can_be_annotated_by_the_id_it_has_elsewhere(self, tracking, experiment):
        elsewhere = uuid4().hex
        run_id = log(tracking, experiment, {**tags(), TRACKING_RUN: elsewhere})
        log(tracking, experiment, tags("other"))
        tracking.annotate(elsewhere, {"auc": 0.75}, {})
        assert self.look(tracking, run_id).metrics == {"auc": 0.75}


class ModelKeepingContract(TrackingContract):
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


def look_in_memory(tracking, run_id):
    (run,) = (run for run in tracking.runs if run.run_id == run_id)
    params = {name: str(value) for name, value in run.params.items()}
    return Seen(
        run.status,
        run.name,
        run.tags,
        params,
        run.metrics,
        run.images,
        run.texts,
        [(data.name, data.digest, data.rows, data.context) for data in run.datasets],
        {name: (child.status, child.metrics) for name, child in run.children.items()},
    )


class TestInMemoryTracking(ModelKeepingContract, FurtherContract):
    @pytest.fixture
    def tracking(self):
        return InMemoryTracking()

    def look(self, tracking, run_id):
        return look_in_memory(tracking, run_id)

    def load_model(self, tracking, uri):
        (model,) = (run.models[uri][0] for run in tracking.runs if uri in run.models)
        return model


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("tracking")


class TestMlflowTracking(ModelKeepingContract, FurtherContract):
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
        artifacts = tracking.artifacts / client.get_experiment(run.info.experiment_id).name / run_id
        data = run.data
        return Seen(
            run.info.status,
            run.info.run_name,
            data.tags,
            data.params,
            data.metrics,
            {p.stem: p.read_bytes() for p in artifacts.glob("artifacts/plots/*.png")},
            {p.stem: p.read_text() for p in artifacts.glob("artifacts/cards/*.md")},
            [self.dataset(given) for given in run.inputs.dataset_inputs],
            self.children(client, run),
        )

    def dataset(self, given):
        profile = json.loads(given.dataset.profile)
        (context,) = (tag.value for tag in given.tags if tag.key == "mlflow.data.context")
        return given.dataset.name, profile["digest"], profile["num_rows"], context

    def children(self, client, run):
        below = f"tags.mlflow.parentRunId = '{run.info.run_id}'"
        found = client.search_runs([run.info.experiment_id], below)
        seen = {child.info.run_name: (child.info.status, child.data.metrics) for child in found}
        assert len(seen) == len(found)
        return seen

    def load_model(self, tracking, uri):
        import mlflow

        mlflow.set_tracking_uri(tracking.uri)
        return mlflow.sklearn.load_model(uri)


def newest_values(folder):
    """What TensorBoard reads in a folder: the last value of each tag, by kind."""
    read = EventAccumulator(str(folder), size_guidance={"images": 0, "tensors": 0, "scalars": 0})
    read.Reload()
    kinds = read.Tags()
    return (
        {tag: read.Scalars(tag)[-1].value for tag in kinds["scalars"]},
        {tag: read.Images(tag)[-1].encoded_image_string for tag in kinds["images"]},
        {
            tag: read.Tensors(tag)[-1].tensor_proto.string_val[0].decode()
            for tag in kinds["tensors"]
        },
    )


def below(values, folder):
    """The values whose tags lie below the folder, without it."""
    own = {tag: value for tag, value in values.items() if tag.startswith(f"{folder}/")}
    return {tag.removeprefix(f"{folder}/"): value for tag, value in own.items()}


class TestTensorboardTracking(FurtherContract):
    @pytest.fixture
    def tracking(self, tmp_path):
        return TensorboardTracking(tmp_path / "deep" / "tensorboard")

    def look(self, tracking, run_id):
        (folder,) = (
            found.parent
            for found in tracking.root.rglob("run.json")
            if RunFile(found.parent).read()["run_id"] == run_id
        )
        body = RunFile(folder).read()
        metrics, images, texts = newest_values(folder)
        names = {path.name.replace("%2F", "/"): path for path in folder.iterdir() if path.is_dir()}
        assert set(names) == set(body["children"])
        return Seen(
            body["status"],
            body["name"],
            body["tags"],
            {name: str(value) for name, value in body["params"].items()},
            metrics,
            below(images, "plots"),
            below(texts, "cards"),
            [(d["name"], d["digest"], d["rows"], d["context"]) for d in body["datasets"]],
            {
                name: (child["status"], newest_values(names[name])[0])
                for name, child in body["children"].items()
            },
        )


class TestFanOutTracking(ModelKeepingContract):
    """Over fakes that must both see the same, and TensorBoard's files."""

    @pytest.fixture
    def tracking(self, tmp_path):
        return FanOutTracking(
            InMemoryTracking(), (InMemoryTracking(), TensorboardTracking(tmp_path))
        )

    def look(self, tracking, run_id):
        (other,) = (run for run in tracking.others[0].runs if run.tags[TRACKING_RUN] == run_id)
        seen = look_in_memory(tracking.first, run_id)
        also = look_in_memory(tracking.others[0], other.run_id)
        del also.tags[TRACKING_RUN]
        assert also == seen
        also.tags[TRACKING_RUN] = run_id
        return seen

    def load_model(self, tracking, uri):
        (model,) = (run.models[uri][0] for run in tracking.first.runs if uri in run.models)
        return model
