"""The serving process unpickles nothing: not when it loads, not when it predicts, not if asked."""

from __future__ import annotations

import json
import runpy
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import httpx
import numpy as np
import pytest

from mlops_assets.adapters.journal import write_champion, write_once
from mlops_assets.adapters.skops_models import FolderModelFiles
from mlops_assets.adapters.sql_ledger import SqlLedger
from mlops_assets.adapters.staged_requests import build_request
from mlops_assets.lifecycle.rollout.state import Champion
from mlops_assets.lifecycle.staging import predict_offline
from mlops_assets.serving import no_unpickling

KINDS = runpy.run_path(str(Path(__file__).parents[1] / "adapters" / "model_kinds.py"))
ROWS = KINDS["make_rows"](40, seed=9).drop("late")
AT = datetime(2013, 6, 1, tzinfo=UTC)
ENOUGH = 120.0

SERVER = """
import json, os, pathlib, pickle, runpy, sys, threading, time

folder = pathlib.Path(sys.argv.pop(1))
heard = (folder / "heard.txt").open("a", buffering=1)

def hear(event, arguments):
    if event.startswith("pickle."):
        heard.write(f"{event} {arguments}\\n")

sys.addaudithook(hear)

class Payload:
    def __reduce__(self):
        return os.mkdir, (str(folder / "trace"),)

def load_when_asked():
    while not (folder / "plant").exists():
        time.sleep(0.01)
    import io, joblib, numpy
    said = {}
    for name, load in {
        "pickle": lambda data: pickle.loads(data),
        "pickle in Python": lambda data: pickle._loads(data),
        "joblib": lambda data: joblib.load(io.BytesIO(data)),
        "numpy": lambda data: numpy.load(io.BytesIO(data), allow_pickle=True),
        "plain values": lambda _: pickle.loads(pickle.dumps({"a": [1, 2.5, None, "b"]})),
    }.items():
        try:
            said[name] = repr(load(pickle.dumps(Payload())))
        except BaseException as error:
            said[name] = f"{error!r} because of {error.__cause__!r}"
    (folder / "writing").write_text(json.dumps(said))
    (folder / "writing").rename(folder / "said.json")

threading.Thread(target=load_when_asked, daemon=True).start()
runpy.run_module("mlops_assets.serving", run_name="__main__", alter_sys=True)
"""


def wait_for(condition):
    deadline = time.monotonic() + ENOUGH
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture(scope="module")
def fitted():
    return KINDS["fit_kinds"]()


@pytest.fixture(scope="module")
def served(fitted, tmp_path_factory):
    """A folder and the address of the real server, with one model of each kind."""
    root = tmp_path_factory.mktemp("serving")
    files, ledger = FolderModelFiles(root / "models"), SqlLedger(f"sqlite:///{root}/ledger.db")
    for kind, model in fitted.items():
        digest = files.save(model, KINDS["signature"](kind))
        write_once(ledger, "verdict", kind, digest, {"outcome": "passed"}, AT)
        write_champion(ledger, kind, Champion("v1", digest, "2013-W10"), AT)
    options = {"--ledger": ledger.url, "--port": "0"}
    options |= {f"--{name}": str(root / name) for name in ("models", "log", "state")}
    words = [word for option in options.items() for word in option]
    with subprocess.Popen([sys.executable, "-c", SERVER, str(root), *words]) as process:
        try:
            wait_for((root / "state" / "server.json").exists)
            yield root, json.loads((root / "state" / "server.json").read_text())["url"]
        finally:
            process.terminate()
    assert process.returncode == 0


@pytest.fixture(scope="module")
def answers(served):
    """What a model of each kind answers over HTTP to the same rows."""
    _, url = served
    body, said = build_request(ROWS, KINDS["FEATURES"], "one"), {}
    with httpx.Client(base_url=url, timeout=ENOUGH, trust_env=False) as client:
        for kind in KINDS["KINDS"]:
            wait_for(lambda path=f"/v2/models/{kind}/ready": client.get(path).status_code == 200)
            said[kind] = client.post(f"/v2/models/{kind}/infer", content=body)
    return said


@pytest.fixture(scope="module")
def heard(served, answers):
    """What the process was heard to do with pickles until all had answered."""
    assert answers
    return (served[0] / "heard.txt").read_text()


@pytest.fixture(scope="module")
def planted(served, heard):
    """What the server's own process says when it is then made to unpickle something."""
    root, _ = served
    (root / "plant").touch()
    wait_for((root / "said.json").exists)
    return json.loads((root / "said.json").read_text())


@pytest.mark.parametrize("kind", KINDS["KINDS"])
def test_a_model_of_each_kind_is_loaded_and_predicts_what_it_did(answers, fitted, kind):
    assert answers[kind].status_code == 200
    served = np.array(answers[kind].json()["outputs"][0]["data"])
    assert np.array_equal(served, predict_offline(fitted[kind], ROWS, KINDS["FEATURES"]))


def test_loading_and_predicting_read_no_pickle(heard):
    assert heard == ""


@pytest.mark.parametrize("way", ["pickle", "pickle in Python", "joblib", "numpy"])
def test_a_pickle_planted_in_the_process_is_refused_and_calls_nothing(served, planted, way):
    root, _ = served
    assert "nothing is unpickled in this process" in planted[way]
    assert "mkdir" in planted[way]
    assert not (root / "trace").exists()
    assert "pickle.find_class" in (root / "heard.txt").read_text()


def test_what_was_refused_leaves_the_server_answering(served, planted):
    _, url = served
    assert planted
    assert httpx.get(f"{url}/v2/health/live", trust_env=False).status_code == 200


def test_a_pickle_of_plain_values_names_nothing_and_is_left_alone(planted):
    assert planted["plain values"] == "{'a': [1, 2.5, None, 'b']}"


def test_the_refusal_is_an_artifact_error_that_says_what_to_do():
    code = """
import pickle, collections
from mlops_assets.serving.no_unpickling import refuse_unpickling
data = pickle.dumps(collections.OrderedDict())
pickle.loads(data)
refuse_unpickling()
try:
    pickle.loads(data)
except Exception as error:
    print(type(error).__name__, error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == (
        "ArtifactError model server: a pickle asks for collections.OrderedDict, nothing is "
        "unpickled in this process; store models with the project's own model files\n"
    )


def test_other_events_pass():
    assert no_unpickling._refuse("open", ("file", "r", 0)) is None
    assert no_unpickling._refuse("import", ("pickle",)) is None
