"""TensorBoard: what its own reader finds in the folders of runs."""

from __future__ import annotations

import json
import signal
import struct
import subprocess
import sys
import zlib
from uuid import uuid4

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from mlops_assets.adapters import tensorboard_events
from mlops_assets.adapters.ports import Dataset
from mlops_assets.adapters.tensorboard_run_file import RunFile
from mlops_assets.adapters.tensorboard_tracking import TensorboardTracking
from mlops_assets.lifecycle.errors import SpecError


def tags(partition="2013-W10", **more):
    named = {"dagster_run_id": "run 1", "dagster_asset": "trained_model"}
    return {**named, "dagster_partition": partition, **more}


def png(width, height):
    """The smallest picture of one grey that a PNG reader opens."""

    def chunk(kind, data):
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    rows = zlib.compress((b"\0" + b"\x80" * width) * height)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    )


def read(folder):
    found = EventAccumulator(str(folder), size_guidance={"images": 0, "tensors": 0, "scalars": 0})
    return found.Reload()


def texts(events, tag):
    return [value.tensor_proto.string_val[0].decode() for value in events.Tensors(tag)]


def hparams_of(events, kind):
    """What the HParams table reads of a run, None when it was not told."""
    tag = f"_hparams_/{kind}"
    content = events.summary_metadata.get(tag)
    return HParamsPluginData.FromString(content.plugin_data.content) if content else None


def log(tracking, name="name", experiment="delays", identity=None, **metrics):
    with tracking.run(experiment=experiment, name=name, tags=identity or tags()) as run:
        run.log_metrics(metrics)
    return run


@pytest.fixture
def tracking(tmp_path):
    return TensorboardTracking(tmp_path / "tensorboard")


def test_a_run_lies_in_a_folder_named_for_people_below_its_experiment(tracking):
    run = log(tracking, "delays 2013-W10")
    assert run.folder.parent == tracking.root / "delays"
    assert run.folder.name == f"delays 2013-W10-{run.run_id[:12]}"


def test_the_id_of_a_run_is_the_same_wherever_it_is_tracked(tracking, tmp_path):
    elsewhere = TensorboardTracking(tmp_path / "elsewhere")
    assert log(tracking).run_id == log(elsewhere).run_id
    assert log(tracking, experiment="fares").run_id != log(elsewhere).run_id


def test_the_same_identity_appends_to_its_folder_and_loses_nothing(tracking):
    folders = {log(tracking, **{f"metric_{n}": n}).folder for n in range(3)}
    (folder,) = folders
    scalars = read(folder).Tags()["scalars"]
    assert scalars == ["metric_0", "metric_1", "metric_2"]


def test_metrics_keep_the_names_they_were_given(tracking):
    folder = log(tracking, **{"auc where carrier = UA": 0.5}).folder
    assert read(folder).Tags()["scalars"] == ["auc where carrier = UA"]


def test_params_and_datasets_are_tables_in_the_texts(tracking):
    with tracking.run(experiment="delays", name="name", tags=tags()) as run:
        run.log_params({"rate": 0.1, "kind": "a|b"})
        run.log_params({"depth": 3})
        run.log_dataset(Dataset("features", "d" * 64, "state/features", 12, "training"))
    events = read(run.folder)
    assert texts(events, "params")[-1].splitlines()[2:] == [
        "| rate | 0.1 |",
        "| kind | a&#124;b |",
        "| depth | 3 |",
    ]
    (table,) = texts(events, "datasets/features")
    assert {f"| digest | {'d' * 64} |", "| rows | 12 |", "| context | training |"} <= set(
        table.splitlines()
    )


def test_the_run_leads_back_to_dagster(tracking):
    run = log(tracking, identity=tags(dagster_run_url="http://dagster/runs/1"))
    assert "[run 1](http://dagster/runs/1)" in texts(read(run.folder), "run")[0]


def test_a_picture_keeps_its_bytes_and_size(tracking):
    run, picture = log(tracking), png(30, 20)
    tracking.annotate(run.run_id, {}, {"roc": picture})
    (seen,) = read(run.folder).Images("plots/roc")
    assert (seen.width, seen.height, seen.encoded_image_string) == (30, 20, picture)


def test_a_finished_run_is_a_row_of_the_table_of_hyper_parameters(tracking):
    with tracking.run(experiment="delays", name="name", tags=tags()) as run:
        run.log_params({"rate": 0.1, "depth": 3, "kind": "fast", "warm": True, "none": None})
        run.log_child("trial 1", {"rate": 0.2}, {"loss": 0.5})
    start = hparams_of(read(run.folder), "session_start_info").session_start_info.hparams
    assert {name: getattr(v, v.WhichOneof("kind")) for name, v in start.items()} == {
        "rate": 0.1,
        "depth": 3.0,
        "kind": "fast",
        "warm": True,
        "none": "None",
    }
    child = read(run.folder / "trial 1")
    told = hparams_of(child, "session_start_info").session_start_info.hparams
    assert told["rate"].number_value == 0.2
    assert hparams_of(child, "session_end_info") is not None


def test_a_child_that_failed_is_a_row_that_did_not_succeed(tracking):
    with tracking.run(experiment="delays", name="name", tags=tags()) as run:
        run.log_child("trial 1", {"rate": 0.2}, {}, "FAILED")
    child = read(run.folder / "trial 1")
    assert hparams_of(child, "session_start_info") is not None
    assert hparams_of(child, "session_end_info") is None


def test_no_model_is_kept(tracking):
    with tracking.run(experiment="delays", name="name", tags=tags()) as run:
        before = sorted(tracking.root.rglob("*"))
        assert run.log_model(object(), None) == ""
        assert sorted(tracking.root.rglob("*")) == before


@given(st.lists(st.text(min_size=1, max_size=12), min_size=2, max_size=4, unique=True))
@example([".", "..", "run.json", "run.lock"])
def test_whatever_a_child_is_called_it_has_a_folder_of_its_own_below_its_run(
    tmp_path_factory, names
):
    tracking = TensorboardTracking(tmp_path_factory.mktemp("names"))
    identity = {**tags(), "dagster_run_id": uuid4().hex}
    with tracking.run(experiment="../up", name="..", tags=identity) as run:
        for number, name in enumerate(names):
            run.log_child(name, {}, {"number": number})
    assert run.folder.parent.parent == tracking.root
    folders = [path for path in run.folder.iterdir() if path.is_dir()]
    assert len(folders) == len(names)
    seen = sorted(read(path).Scalars("number")[0].value for path in folders)
    assert seen == list(range(len(names)))


KILLED = """
import sys, time
from pathlib import Path

from mlops_assets.adapters.tensorboard_tracking import TensorboardTracking

tags = {"dagster_run_id": "run", "dagster_asset": "asset", "dagster_partition": "W1"}
with TensorboardTracking(Path(sys.argv[1])).run(experiment="e", name="n", tags=tags) as run:
    run.log_metrics({"loss": 0.5})
    print("hanging", flush=True)
    time.sleep(600)
"""


def test_what_a_killed_process_logged_is_kept_and_others_can_end_its_run(tracking):
    given = [sys.executable, "-c", KILLED, str(tracking.root)]
    with subprocess.Popen(given, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout.readline() == "hanging\n"
        finally:
            process.send_signal(signal.SIGKILL)
    (folder,) = tracking.root.glob("e/*")
    assert read(folder).Scalars("loss")[0].value == 0.5
    assert RunFile(folder).read()["status"] == "RUNNING"
    (run_id,) = tracking.end_unfinished("run", "KILLED")
    body = RunFile(folder).read()
    assert (body["status"], body["run_id"]) == ("KILLED", run_id)


def test_given_the_package_is_missing_then_the_error_names_the_extra_and_nothing_is_made(
    tracking, monkeypatch
):
    for name in [name for name in sys.modules if name.split(".")[0] == "tensorboardX"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(SpecError, match=r"mlops-assets\[tensorboard\]"):
        log(tracking)
    assert not tracking.root.exists()


def test_two_writers_of_one_folder_have_files_of_their_own(tmp_path):
    writers = [tensorboard_events.EventFile(tmp_path) for _ in range(4)]
    for number, writer in enumerate(writers):
        writer.add(tensorboard_events.scalar(f"metric_{number}", number))
    for writer in writers:
        writer.close()
    assert len(list(tmp_path.iterdir())) == 4
    assert len(read(tmp_path).Tags()["scalars"]) == 4


def test_a_writer_that_was_told_nothing_leaves_no_file(tmp_path):
    tensorboard_events.EventFile(tmp_path / "events").close()
    assert not list(tmp_path.iterdir())


class TestRunFile:
    def test_a_run_that_was_never_opened_is_empty(self, tmp_path):
        assert RunFile(tmp_path).read() == {}

    def test_what_is_changed_in_the_block_is_read_afterwards(self, tmp_path):
        with RunFile(tmp_path / "run").change() as body:
            body["status"] = "RUNNING"
        assert RunFile(tmp_path / "run").read() == {"status": "RUNNING"}

    def test_a_block_that_raises_changes_nothing(self, tmp_path):
        def spoil():
            with RunFile(tmp_path).change() as body:
                body["status"] = "FINISHED"
                raise ValueError("wrong")

        (tmp_path / "run.json").write_text(json.dumps({"status": "RUNNING"}))
        with pytest.raises(ValueError, match="wrong"):
            spoil()
        assert RunFile(tmp_path).read() == {"status": "RUNNING"}
