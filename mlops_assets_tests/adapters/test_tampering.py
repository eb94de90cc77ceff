"""Twenty and more ways to tamper with a version: each is refused before anything is deserialised.

The payloads are real: whatever deserialises one of them leaves a file behind. One process of its
own tries all; what it imported and what it left behind says how far it went.
"""

from __future__ import annotations

import io
import json
import os
import pickle
import shutil
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from sklearn.dummy import DummyClassifier

from mlops_assets.adapters.skops_models import FolderModelFiles
from mlops_assets.lifecycle.digests import digest_files
from mlops_assets.lifecycle.training import Feature, ModelSignature

SIGNATURE = ModelSignature(
    "delays", (Feature("distance", "numeric"),), "flight", "moment", "late", "2013-W01", "t", "e"
)
MODEL, SIGNED = "model.skops", "signature.json"

LOADER = """
import json, sys
from pathlib import Path
from mlops_assets.adapters.skops_models import FolderModelFiles
from mlops_assets.lifecycle.errors import ArtifactError

heard = []
sys.addaudithook(lambda event, arguments: heard.append(event) if event.startswith("pickle.") else 0)
DESERIALISERS = {"skops", "sklearn", "numpy", "joblib", "cloudpickle"}
said = {}
for name, (root, digest) in json.load(sys.stdin).items():
    try:
        FolderModelFiles(Path(root)).load(digest)
        answer = "loaded"
    except ArtifactError as error:
        answer = f"refused: {error}"
    except Exception as error:
        answer = repr(error)
    said[name] = [answer, sorted(DESERIALISERS & set(sys.modules)), heard.copy()]
print(json.dumps(said))
"""


class Payload:
    """Whoever unpickles it makes the folder that it names."""

    def __init__(self, trace):
        self.trace = trace

    def __reduce__(self):
        return os.mkdir, (self.trace,)


def dump(model):
    import skops.io

    return skops.io.dumps(model)


def forge(model, change):
    """The skops file of a model with its schema changed."""
    with zipfile.ZipFile(io.BytesIO(model)) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    schema = json.loads(entries["schema.json"])
    change(schema)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in {**entries, "schema.json": json.dumps(schema).encode()}.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def call(trace):
    """A schema that calls ``os.mkdir``, for whoever trusts it."""
    text = {"__class__": "str", "__module__": "builtins", "__loader__": "JsonNode"}
    content = [{**text, "content": json.dumps(str(trace))}]
    arguments = {"__class__": "tuple", "__module__": "builtins", "__loader__": "TupleNode"}
    return {
        "__class__": "mkdir",
        "__module__": "os",
        "__loader__": "ConstructorFromReduceNode",
        "content": {**arguments, "content": content},
    }


def calling(trace):
    def change(schema):
        kept = {key: schema[key] for key in ("protocol", "_skops_version")}
        schema.clear()
        schema.update({**call(trace), **kept})

    return change


def bomb():
    """A few kilobytes that unpack to many megabytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("schema.json", b" " * (64 << 20))
    return buffer.getvalue()


class Victim:
    """One saved version, and another one beside it, to be tampered with."""

    def __init__(self, root, trace):
        self.files, self.trace = FolderModelFiles(root), trace
        model = DummyClassifier().fit([[0], [1]], [0, 1])
        self.digest = self.files.save(model, SIGNATURE)
        other = DummyClassifier(strategy="uniform").fit([[0], [1]], [0, 1])
        self.other = self.files.save(other, replace(SIGNATURE, train_as_of="2013-W02"))
        self.folder, self.beside = self.files.path(self.digest), self.files.path(self.other)

    def read(self, name):
        return (self.folder / name).read_bytes()

    def write(self, name, data):
        (self.folder / name).write_bytes(data)

    def edit(self, **changes):
        self.write(SIGNED, json.dumps({**json.loads(self.read(SIGNED)), **changes}).encode())

    def forge(self, change):
        self.write(MODEL, forge(self.read(MODEL), change))

    def replace_by(self, name, make):
        """What ``make`` makes in the place of a file."""
        (self.folder / name).unlink()
        make(self.folder / name)

    def rename_to(self, digest):
        self.folder.rename(self.files.root / digest)
        return digest


def flip(data, at):
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def trust_more(schema):
    schema["trusted"] = ["posix.mkdir", "os.mkdir"]
    schema["skops_trusted_types"] = ["os.mkdir"]


CASES = {
    "a byte of the model is changed": lambda v: v.write(MODEL, flip(v.read(MODEL), 99)),
    "the last byte of the model is changed": lambda v: v.write(MODEL, flip(v.read(MODEL), -2)),
    "a byte of the signature is changed": lambda v: v.write(SIGNED, flip(v.read(SIGNED), 30)),
    "the model is truncated": lambda v: v.write(MODEL, v.read(MODEL)[:-1]),
    "the model is longer": lambda v: v.write(MODEL, v.read(MODEL) + b"\0"),
    "a pickle is appended to the model": lambda v: v.write(
        MODEL, v.read(MODEL) + pickle.dumps(Payload(v.trace))
    ),
    "the model is empty": lambda v: v.write(MODEL, b""),
    "the signature is empty": lambda v: v.write(SIGNED, b""),
    "the model is another version's": lambda v: shutil.copy(v.beside / MODEL, v.folder / MODEL),
    "the signature is another version's": lambda v: shutil.copy(
        v.beside / SIGNED, v.folder / SIGNED
    ),
    "the model is a pickle": lambda v: v.write(MODEL, pickle.dumps(Payload(v.trace))),
    "the model is no archive": lambda v: v.write(MODEL, b"PK\x03\x04 but no more"),
    "the model unpacks to far more than it holds": lambda v: v.write(MODEL, bomb()),
    "the model calls what it likes": lambda v: v.forge(calling(v.trace)),
    "the model trusts what it likes": lambda v: v.forge(trust_more),
    "the signature trusts what it likes": lambda v: v.edit(trusted_types=["os.mkdir"]),
    "the signature has another feature": lambda v: v.edit(
        features=[{"name": "fare", "kind": "numeric"}]
    ),
    "the signature says another week": lambda v: v.edit(train_as_of="2014-W01"),
    "a pickle lies beside": lambda v: v.write("model.pkl", pickle.dumps(Payload(v.trace))),
    "a hidden file lies beside": lambda v: v.write(".hidden", b""),
    "a folder lies beside": lambda v: (v.folder / "more").mkdir(),
    "MLflow's allow-list lies beside": lambda v: v.write(
        "MLmodel", b"flavors:\n  sklearn:\n    skops_trusted_types: [os.mkdir]\n"
    ),
    "MLflow's copy lies in its place": lambda v: v.write(
        MODEL, dump(DummyClassifier().fit([[0], [1]], [0, 1]))
    ),
    "the model is missing": lambda v: (v.folder / MODEL).unlink(),
    "the signature is missing": lambda v: (v.folder / SIGNED).unlink(),
    "the folder is missing": lambda v: shutil.rmtree(v.folder),
    "the folder is a file": lambda v: (shutil.rmtree(v.folder), v.folder.write_bytes(b"")),
    "a folder is in the model's place": lambda v: v.replace_by(MODEL, Path.mkdir),
    "a pipe is in the model's place": lambda v: v.replace_by(MODEL, os.mkfifo),
    "a device is in the model's place": lambda v: v.replace_by(
        MODEL, lambda path: path.symlink_to("/dev/zero")
    ),
    "a link leads to another version's model": lambda v: v.replace_by(
        MODEL, lambda path: path.symlink_to(v.beside / MODEL)
    ),
    "a link leads nowhere": lambda v: v.replace_by(MODEL, lambda path: path.symlink_to("nowhere")),
    "the folder is a link to another version": lambda v: (
        shutil.rmtree(v.folder),
        v.folder.symlink_to(v.beside),
    ),
    "the files trade their names": lambda v: (
        (v.folder / MODEL).rename(v.folder / "aside"),
        (v.folder / SIGNED).rename(v.folder / MODEL),
        (v.folder / "aside").rename(v.folder / SIGNED),
    ),
    "a name differs in case": lambda v: (v.folder / MODEL).rename(v.folder / "Model.skops"),
}
"""What is done to the folder of a version that is then asked for by its digest."""

ASKED_FOR = {
    "the folder was renamed to another digest": lambda v: v.rename_to("f" * 64),
    "the folder was renamed to its digest in capitals": lambda v: v.rename_to(v.digest.upper()),
    "the digest leads out of the folder": lambda v: f"../models/{v.digest}",
    "the digest is absolute": lambda v: str(v.folder),
    "the digest goes on in a second line": lambda v: f"{v.digest}\n",
    "the digest is cut short": lambda v: v.digest[:-1],
    "the digest is that of the folder above": lambda _: "..",
    "the digest is in other digits": lambda v: v.rename_to("\u0660" * 64),
}
"""What is asked for in the place of the digest, which may be after a change."""

FORGED = {
    "the model calls what it likes": lambda v: {MODEL: forge(v.read(MODEL), calling(v.trace))},
    "the model is a pickle": lambda v: {MODEL: pickle.dumps(Payload(v.trace))},
    "the model unpacks to far more than it holds": lambda _: {MODEL: bomb()},
    "the model is no archive": lambda _: {MODEL: b"PK\x03\x04 but no more"},
    "the signature is a pickle": lambda v: {SIGNED: pickle.dumps(Payload(v.trace))},
}
"""Files under the very digest they have: no tampering with a version, but a version of their own,
which no verdict lets serve. They are refused as well, and nothing of theirs is called."""


def make_victim(folder):
    return Victim(folder / "models", str(folder / "trace"))


@pytest.fixture(scope="module")
def tampered(tmp_path_factory):
    """What loading said of each tampered version, and where each would have left a trace."""
    root, asked, traces = tmp_path_factory.mktemp("tampering"), {}, {}
    for number, (name, tamper) in enumerate({**CASES, **ASKED_FOR}.items()):
        victim = make_victim(root / str(number))
        answer = tamper(victim)
        digest = answer if name in ASKED_FOR else victim.digest
        asked[name], traces[name] = (str(victim.files.root), digest), Path(victim.trace)
    return load_elsewhere(asked), traces


@pytest.fixture(scope="module")
def forged(tmp_path_factory):
    root, asked, traces = tmp_path_factory.mktemp("forging"), {}, {}
    for number, (name, change) in enumerate(FORGED.items()):
        victim = make_victim(root / str(number))
        content = {MODEL: victim.read(MODEL), SIGNED: victim.read(SIGNED), **change(victim)}
        digest = digest_files(content)
        shutil.copytree(victim.folder, victim.files.root / digest)
        for file, data in content.items():
            (victim.files.root / digest / file).write_bytes(data)
        asked[name], traces[name] = (str(victim.files.root), digest), Path(victim.trace)
    return load_elsewhere(asked), traces


def load_elsewhere(asked):
    done = subprocess.run(
        [sys.executable, "-c", LOADER],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


def test_there_are_at_least_twenty_ways():
    assert len({**CASES, **ASKED_FOR}) >= 20


@pytest.mark.parametrize("name", [*CASES, *ASKED_FOR])
def test_tampering_is_refused_before_anything_is_deserialised(tampered, name):
    said, traces = tampered
    answer, imported, unpickled = said[name]
    assert answer.startswith("refused: model files: ")
    assert (imported, unpickled) == ([], [])
    assert not traces[name].exists()


@pytest.mark.parametrize("name", FORGED)
def test_a_forgery_under_its_own_digest_is_refused_and_calls_nothing(forged, name):
    said, traces = forged
    answer, _, unpickled = said[name]
    assert answer.startswith("refused: model files: ")
    assert "no model that can be trusted" in answer
    assert unpickled == []
    assert not traces[name].exists()


def test_what_was_not_tampered_with_is_loaded_by_the_same_process(tmp_path):
    victim = make_victim(tmp_path)
    asked = {digest: (str(victim.files.root), digest) for digest in (victim.digest, victim.other)}
    said = load_elsewhere(asked)
    assert [answer for answer, _, _ in said.values()] == ["loaded", "loaded"]
    assert all({"skops", "sklearn"} <= set(imported) for _, imported, _ in said.values())


READER = """
import os, sys
from pathlib import Path
from mlops_assets.adapters.skops_models import FolderModelFiles
from mlops_assets.lifecycle.errors import ArtifactError
files, digest = FolderModelFiles(Path(sys.argv[1])), sys.argv[2]
if os.geteuid() == 0:  # root may read what nobody may; nobody may not read what is imported
    files.load(digest)
    os.seteuid(65534)
try:
    files.load(digest)
    print("loaded")
except ArtifactError as error:
    print(error)
"""


@pytest.mark.parametrize("name", [MODEL, SIGNED, ""])
def test_files_that_may_not_be_read_are_refused(name):
    with tempfile.TemporaryDirectory() as root:
        Path(root).chmod(0o755)
        victim = make_victim(Path(root))
        victim.folder.chmod(0o755)
        command = [sys.executable, "-c", READER, str(victim.files.root), victim.digest]
        before = subprocess.run(command, capture_output=True, text=True, check=True)
        (victim.folder / name).chmod(0)
        after = subprocess.run(command, capture_output=True, text=True, check=True)
        (victim.folder / name).chmod(0o700)
    assert before.stdout == "loaded\n"
    assert "cannot be read" in after.stdout


def test_the_pickled_payload_leaves_a_trace_where_it_is_unpickled(tmp_path):
    pickle.loads(pickle.dumps(Payload(str(tmp_path / "trace"))))
    assert (tmp_path / "trace").exists()


def test_the_forged_schema_leaves_a_trace_where_it_is_trusted(tmp_path):
    import skops.io

    victim = make_victim(tmp_path)
    forged = forge(victim.read(MODEL), calling(victim.trace))
    skops.io.loads(forged, trusted=["os.mkdir"])
    assert Path(victim.trace).exists()
