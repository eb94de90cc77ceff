"""Several trackings as one: the first counts, no other can lose a training."""

from __future__ import annotations

import logging

import pytest

from mlops_assets.adapters.fan_out_tracking import FanOutTracking
from mlops_assets.adapters.in_memory import InMemoryTracking
from mlops_assets.adapters.ports import Dataset
from mlops_assets.adapters.tensorboard_run_file import RunFile
from mlops_assets.adapters.tensorboard_tracking import TensorboardTracking
from mlops_assets.lifecycle.errors import TrainingError

TAGS = {"dagster_run_id": "run 1", "dagster_asset": "study", "dagster_partition": "W1"}
DATA = Dataset("features", "digest", "state/features", 12, "training")


class Broken(InMemoryTracking):
    """A tracking whose disk fills up at one of its moments; it works again ``times`` later."""

    def __init__(self, moment, times=10):
        super().__init__()
        self.moment, self.times = moment, times

    def run(self, **given):
        if self.moment == "ask":
            raise OSError("disk is full")
        return Door(self, super().run(**given))

    def annotate(self, *given):
        self.fail_at("annotate")
        super().annotate(*given)

    def end_unfinished(self, *given):
        self.fail_at("end_unfinished")
        return super().end_unfinished(*given)

    def fail_at(self, moment):
        if moment == self.moment and self.times:
            self.times -= 1
            raise OSError("disk is full")


class Door:
    """The context of a run that may fail to open, to log, and to end."""

    def __init__(self, owner, context):
        self.owner, self.context = owner, context

    def __enter__(self):
        self.owner.fail_at("open")
        run = self.context.__enter__()
        log_metrics = run.log_metrics

        def log(metrics):
            self.owner.fail_at("log")
            log_metrics(metrics)

        run.log_metrics = log
        return run

    def __exit__(self, *error):
        ended = self.context.__exit__(*error)
        self.owner.fail_at("end")
        return ended


def train(tracking, error=None):
    """A run that logs a little, and raises the error when there is one."""
    with tracking.run(experiment="delays", name="name", tags=TAGS) as run:
        run.log_metrics({"first": 1})
        run.log_metrics({"second": 2})
        if error:
            raise error
    return run


def test_its_id_address_and_model_are_those_of_the_first():
    first, other = InMemoryTracking(), InMemoryTracking()
    with other.run(experiment="e", name="before", tags={**TAGS, "dagster_asset": "before"}):
        pass  # so that ids differ
    with FanOutTracking(first, (other,)).run(experiment="e", name="n", tags=TAGS) as run:
        uri = run.log_model("model", None)
    assert (run.run_id, uri) == (first.runs[0].run_id, "in-memory:/run-1/1")
    assert run.url is first.runs[0].url
    assert other.runs[1].run_id == "run-2"
    assert list(other.runs[1].models.values()) == [("model", None)]


def test_the_others_know_their_run_by_its_id_in_the_first_and_the_first_needs_none():
    first, other = InMemoryTracking(), InMemoryTracking()
    run = train(FanOutTracking(first, (other,)))
    assert other.runs[0].tags["tracking_run"] == run.run_id
    assert first.runs[0].tags == TAGS


def test_another_instance_that_knows_the_id_of_the_first_alone_annotates_all(tmp_path):
    first, root = InMemoryTracking(), tmp_path / "tensorboard"
    run_id = train(FanOutTracking(first, (TensorboardTracking(root),))).run_id
    later = FanOutTracking(first, (TensorboardTracking(root),))
    later.annotate(run_id, {"auc": 0.5}, {}, {"model": "# Model"})
    assert first.runs[0].metrics["auc"] == 0.5
    (folder,) = root.glob("*/*")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder)).Reload()
    assert events.Scalars("auc")[0].value == 0.5
    assert "cards/model" in events.Tags()["tensors"]


def test_another_instance_ends_the_open_runs_of_all_and_tells_those_of_the_first(tmp_path):
    first, root = InMemoryTracking(), tmp_path / "tensorboard"
    opened = FanOutTracking(first, (TensorboardTracking(root),))
    with opened.run(experiment="e", name="n", tags=TAGS) as run:
        later = FanOutTracking(first, (TensorboardTracking(root),))
        assert later.end_unfinished("run 1", "KILLED") == [run.run_id]
        (folder,) = root.glob("*/*")
        assert first.runs[0].status == RunFile(folder).read()["status"] == "KILLED"
        assert later.end_unfinished("run 1", "KILLED") == []


@pytest.mark.parametrize(
    ("error", "status"),
    [(None, "FINISHED"), (TrainingError("wrong"), "FAILED"), (KeyboardInterrupt(), "KILLED")],
)
@pytest.mark.parametrize("moment", ["never", "ask", "open", "log", "end"])
def test_whenever_one_of_the_others_fails_the_rest_end_as_the_training_did(moment, error, status):
    first, healthy = InMemoryTracking(), InMemoryTracking()
    tracking = FanOutTracking(first, (Broken(moment), healthy))
    if error:
        with pytest.raises(type(error)) as raised:
            train(tracking, error)
        assert raised.value is error
    else:
        train(tracking)
    for run in (first.runs[0], healthy.runs[0]):
        assert (run.status, run.metrics) == (status, {"first": 1, "second": 2})


@pytest.mark.parametrize("moment", ["ask", "open", "log", "end"])
def test_a_failure_of_another_is_warned_of_once_with_the_reason(moment, caplog):
    with caplog.at_level(logging.WARNING):
        train(FanOutTracking(InMemoryTracking(), (Broken(moment),)))
    (record,) = caplog.records
    assert "Broken failed and is left out" in record.message
    assert "disk is full" in str(record.exc_info[1])


def test_one_that_failed_hears_nothing_more_but_how_the_run_ended():
    broken = Broken("log", times=1)
    train(FanOutTracking(InMemoryTracking(), (broken,)))
    assert (broken.runs[0].metrics, broken.runs[0].status) == ({}, "FINISHED")


def test_one_that_failed_takes_part_in_the_next_run():
    broken = Broken("log", times=1)
    tracking = FanOutTracking(InMemoryTracking(), (broken,))
    train(tracking)
    train(tracking)
    assert broken.runs[0].metrics == {"first": 1, "second": 2}


def test_what_interrupts_another_while_it_is_told_is_no_failure_of_it():
    class Interrupted(Broken):
        def fail_at(self, moment):
            if moment == self.moment:
                raise KeyboardInterrupt

    first = InMemoryTracking()
    with pytest.raises(KeyboardInterrupt):
        train(FanOutTracking(first, (Interrupted("log"),)))
    assert first.runs[0].status == "KILLED"


@pytest.mark.parametrize("moment", ["ask", "open", "log", "end"])
def test_a_failure_of_the_first_is_raised_and_the_others_have_failed_too(moment):
    other = InMemoryTracking()
    with pytest.raises(OSError, match="disk is full"):
        train(FanOutTracking(Broken(moment), (other,)))
    assert [run.status for run in other.runs] == ([] if moment in ("ask", "open") else ["FAILED"])


@pytest.mark.parametrize("moment", ["annotate", "end_unfinished"])
def test_annotating_and_ending_go_on_past_another_that_fails(moment):
    first, healthy = InMemoryTracking(), InMemoryTracking()
    tracking = FanOutTracking(first, (Broken(moment), healthy))
    with tracking.run(experiment="delays", name="name", tags=TAGS) as run:
        tracking.annotate(run.run_id, {"auc": 0.5}, {"roc": b"png"}, {"card": "# Card"})
        assert tracking.end_unfinished("run 1", "KILLED") == [run.run_id]
        assert healthy.runs[0].status == "KILLED"
    assert healthy.runs[0].metrics == first.runs[0].metrics == {"auc": 0.5}
    assert healthy.runs[0].texts == {"card": "# Card"}


def test_annotating_fails_with_the_first():
    with pytest.raises(OSError, match="disk is full"):
        FanOutTracking(Broken("annotate"), ()).annotate("run-1", {}, {})


def test_ending_fails_with_the_first():
    with pytest.raises(OSError, match="disk is full"):
        FanOutTracking(Broken("end_unfinished"), ()).end_unfinished("run 1", "KILLED")


def test_all_that_is_logged_goes_to_all():
    first, other = InMemoryTracking(), InMemoryTracking()
    with FanOutTracking(first, (other,)).run(experiment="e", name="n", tags=TAGS) as run:
        run.log_params({"rate": 0.1})
        run.log_dataset(DATA)
        run.log_child("trial 1", {"rate": 0.2}, {"loss": 0.5}, "FAILED")
    for seen in (first.runs[0], other.runs[0]):
        assert (seen.params, seen.datasets) == ({"rate": 0.1}, [DATA])
        (child,) = seen.children.values()
        assert (child.params, child.metrics, child.status) == (
            {"rate": 0.2},
            {"loss": 0.5},
            "FAILED",
        )
