"""Model files: named by their content, and loaded only when it is what the name says."""

from __future__ import annotations

import io
import json
import os
import runpy
import shutil
import signal
import subprocess
import sys
import zipfile
from collections.abc import MutableMapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.base import BaseEstimator

from mlops_assets.adapters.in_memory import InMemoryModelFiles
from mlops_assets.adapters.skops_models import TRUSTED_TYPES, FolderModelFiles, canonical_skops
from mlops_assets.lifecycle.digests import digest_files
from mlops_assets.lifecycle.errors import ArtifactError
from mlops_assets.lifecycle.staging import build_probe_rows
from mlops_assets.lifecycle.training import Feature, ModelSignature, predict_probability

KINDS_FILE = str(Path(__file__).with_name("model_kinds.py"))
KINDS = runpy.run_path(KINDS_FILE)

KINDS_SAVER = """
import json, runpy, sys
from pathlib import Path
from mlops_assets.adapters.skops_models import FolderModelFiles
kinds = runpy.run_path(sys.argv[2])
files = FolderModelFiles(Path(sys.argv[1]))
fitted, signature = kinds["fit_kinds"](), kinds["signature"]
print(json.dumps({name: files.save(model, signature(name)) for name, model in fitted.items()}))
"""

FIT = """
import numpy as np
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OrdinalEncoder

X = np.array([[distance % 7, distance % 3] for distance in range(60)], dtype=float)
y = np.arange(60) % 7 > 3
MODEL = make_pipeline(
    make_column_transformer((OrdinalEncoder(), [1]), remainder="passthrough"),
    HistGradientBoostingClassifier(max_iter=5, min_samples_leaf=2, random_state=7),
).fit(X, y)
"""

SAVER = f"""
import sys
from pathlib import Path
from mlops_assets.adapters.skops_models import FolderModelFiles
from mlops_assets.lifecycle.training import Feature, ModelSignature
{FIT}
files = FolderModelFiles(Path(sys.argv[1]))
for number in range(int(sys.argv[2])):
    signature = ModelSignature(
        "delays", (Feature("distance", "numeric"), Feature("carrier", "categorical")), "flight",
        "moment", "late", f"2013-W{{number:02d}}", "digest", "boosting", {{"rate": 0.1}},
    )
    print(files.save(MODEL, signature), flush=True)
"""

LOADER = """
import sys
from pathlib import Path
from mlops_assets.adapters.skops_models import FolderModelFiles
from mlops_assets.lifecycle.errors import ArtifactError
try:
    FolderModelFiles(Path(sys.argv[1])).load(sys.argv[2])
except ArtifactError:
    print("refused", "skops" in sys.modules, "sklearn" in sys.modules)
"""

SIGNATURE = ModelSignature(
    model="delays",
    features=(Feature("distance", "numeric"), Feature("carrier", "categorical")),
    entity_key="flight",
    time="moment",
    label="late",
    train_as_of="2013-W00",
    training_set="digest",
    estimator="boosting",
    parameters={"rate": 0.1},
)


class Unvouched(BaseEstimator):
    """An estimator of a type that nobody vouched for."""

    def __init__(self, answer=1):
        self.answer = answer


class Folder(MutableMapping):
    """The files of a folder by name."""

    def __init__(self, path: Path):
        self.path = path

    def __getitem__(self, name):
        return (self.path / name).read_bytes()

    def __setitem__(self, name, data):
        self.path.mkdir(parents=True, exist_ok=True)
        (self.path / name).write_bytes(data)

    def __delitem__(self, name):
        (self.path / name).unlink()

    def __iter__(self):
        return iter(sorted(entry.name for entry in self.path.iterdir()))

    def __len__(self):
        return len(list(self.path.iterdir()))


@pytest.fixture(scope="module")
def fitted():
    """A fitted pipeline, and rows to ask it about."""
    scope = {}
    exec(FIT, scope)
    return scope["MODEL"], scope["X"]


class ModelFilesContract:
    @pytest.fixture
    def model(self, fitted):
        return fitted[0]

    @pytest.fixture
    def saved(self, files, model):
        return files.save(model, SIGNATURE)

    def test_a_model_comes_back_with_its_answers_and_its_signature(self, files, saved, fitted):
        model, rows = fitted
        loaded, signature = files.load(saved)
        assert signature == SIGNATURE
        assert np.array_equal(loaded.predict_proba(rows), model.predict_proba(rows))

    def test_the_digest_is_that_of_the_files(self, files, saved):
        folder = self.folder(files, saved)
        assert sorted(folder) == ["model.skops", "signature.json"]
        assert digest_files(folder) == saved
        assert files.path(saved).name == saved

    def test_saving_the_same_twice_gives_the_same_digest_and_files(self, files, saved, model):
        before = dict(self.folder(files, saved))
        assert files.save(model, SIGNATURE) == saved
        assert dict(self.folder(files, saved)) == before

    def test_a_loaded_model_saves_to_the_digest_it_came_from(self, files, saved):
        assert files.save(*files.load(saved)) == saved

    def test_another_model_or_signature_has_another_digest(self, files, saved, fitted):
        model, rows = fitted
        other = files.load(saved)[0]
        other.set_params(histgradientboostingclassifier__max_iter=6)
        refitted = other.fit(rows, np.arange(60) % 7 > 3)
        digests = {
            saved,
            files.save(refitted, SIGNATURE),
            files.save(model, replace(SIGNATURE, train_as_of="2013-W11")),
            files.save(model, replace(SIGNATURE, features=SIGNATURE.features[::-1])),
        }
        assert len(digests) == 4

    @pytest.mark.parametrize("name", ["model.skops", "signature.json"])
    def test_a_change_of_any_byte_is_refused(self, files, saved, name):
        folder = self.folder(files, saved)
        whole = folder[name]
        for at in {*range(0, len(whole), 67), len(whole) - 1}:
            folder[name] = whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :]
            with pytest.raises(ArtifactError):
                files.load(saved)
        folder[name] = whole
        assert files.load(saved)[1] == SIGNATURE

    @pytest.mark.parametrize("name", ["model.skops", "signature.json"])
    @pytest.mark.parametrize(
        "change", [lambda whole: whole[:-1], lambda whole: whole + b"\0", lambda whole: whole[:0]]
    )
    def test_a_shorter_or_longer_file_is_refused(self, files, saved, name, change):
        folder = self.folder(files, saved)
        folder[name] = change(folder[name])
        with pytest.raises(ArtifactError):
            files.load(saved)

    @pytest.mark.parametrize("name", ["model.skops", "signature.json"])
    def test_a_missing_file_is_refused(self, files, saved, name):
        del self.folder(files, saved)[name]
        with pytest.raises(ArtifactError):
            files.load(saved)

    @pytest.mark.parametrize("name", ["payload.pkl", ".hidden", "model.skops.bak"])
    def test_an_extra_file_is_refused(self, files, saved, name):
        self.folder(files, saved)[name] = b""
        with pytest.raises(ArtifactError):
            files.load(saved)

    def test_files_under_the_digest_of_another_model_are_refused(self, files, saved, model):
        other = files.save(model, replace(SIGNATURE, train_as_of="2013-W11"))
        mine, theirs = self.folder(files, saved), self.folder(files, other)
        whole = dict(mine)
        for name in list(mine):
            mine[name] = theirs[name]
        with pytest.raises(ArtifactError):
            files.load(saved)
        assert files.load(other)[1].train_as_of == "2013-W11"
        mine["model.skops"] = whole["model.skops"]
        with pytest.raises(ArtifactError):
            files.load(saved)

    def test_files_that_trade_their_names_are_refused(self, files, saved):
        folder = self.folder(files, saved)
        folder["model.skops"], folder["signature.json"] = (
            folder["signature.json"],
            folder["model.skops"],
        )
        with pytest.raises(ArtifactError):
            files.load(saved)

    @pytest.mark.usefixtures("saved")
    def test_an_unknown_digest_is_refused(self, files):
        with pytest.raises(ArtifactError):
            files.load("0" * 64)

    @pytest.mark.parametrize("digest", ["", "..", "../" + "a" * 61, "A" * 64, "a" * 63, "a" * 65])
    def test_what_is_no_digest_is_refused_before_any_file_is_looked_for(self, files, digest):
        for ask in (files.path, files.load):
            with pytest.raises(ArtifactError, match="digest"):
                ask(digest)

    def test_an_estimator_of_a_type_nobody_vouched_for_is_not_saved(self, files):
        with pytest.raises(ArtifactError, match="Unvouched"):
            files.save(Unvouched(), SIGNATURE)

    def test_files_with_a_type_nobody_vouched_for_are_refused_also_with_the_right_digest(
        self, files, saved
    ):
        import skops.io

        forged = {**self.folder(files, saved), "model.skops": skops.io.dumps(Unvouched())}
        digest = digest_files(forged)
        self.plant(files, digest, forged)
        with pytest.raises(ArtifactError):
            files.load(digest)

    def test_given_damaged_files_when_the_same_is_saved_again_then_it_loads(
        self, files, saved, model
    ):
        del self.folder(files, saved)["model.skops"]
        assert files.save(model, SIGNATURE) == saved
        assert files.load(saved)[1] == SIGNATURE

    def test_when_threads_save_the_same_then_it_is_there_once_and_whole(self, files, model):
        with ThreadPoolExecutor(4) as pool:
            digests = set(pool.map(lambda _: files.save(model, SIGNATURE), range(4)))
        assert len(digests) == 1
        assert files.load(digests.pop())[1] == SIGNATURE


class TestInMemoryModelFiles(ModelFilesContract):
    @pytest.fixture
    def files(self):
        return InMemoryModelFiles()

    def folder(self, files, digest):
        return files.folders[files.path(digest)]

    def plant(self, files, digest, content):
        files.folders[files.path(digest)] = dict(content)


class TestFolderModelFiles(ModelFilesContract):
    @pytest.fixture
    def files(self, tmp_path):
        return FolderModelFiles(tmp_path / "deep" / "models")

    def folder(self, files, digest):
        return Folder(files.path(digest))

    def plant(self, files, digest, content):
        Folder(files.path(digest)).update(content)

    @pytest.mark.parametrize(
        "forged",
        [
            {"model.skops": b"garbage", "signature.json": b"{}"},
            {"model.skops": b"", "signature.json": b""},
            {"signature.json": b"garbage"},
            {"signature.json": b"[]"},
            {"signature.json": b'{"features": [{"nose": "long"}]}'},
        ],
    )
    def test_garbage_is_refused_also_with_the_right_digest(self, files, saved, forged):
        content = {**self.folder(files, saved), **forged}
        digest = digest_files(content)
        self.plant(files, digest, content)
        with pytest.raises(ArtifactError, match=digest):
            files.load(digest)

    @pytest.mark.parametrize("name", ["model.skops", "signature.json", "extra"])
    def test_given_changed_files_when_the_same_is_saved_again_then_it_is_there_whole(
        self, files, saved, model, name
    ):
        self.folder(files, saved)[name] = b"changed"
        with ThreadPoolExecutor(4) as pool:
            assert set(pool.map(lambda _: files.save(model, SIGNATURE), range(4))) == {saved}
        assert files.load(saved)[1] == SIGNATURE
        assert [entry.name for entry in files.root.iterdir()] == [saved]

    def test_given_a_file_in_the_place_of_the_folder_when_saved_again_then_it_loads(
        self, files, saved, model
    ):
        shutil.rmtree(files.path(saved))
        files.path(saved).write_text("no folder")
        assert files.save(model, SIGNATURE) == saved
        assert files.load(saved)[1] == SIGNATURE

    def test_whole_files_are_left_as_they_are_when_the_same_is_saved_again(
        self, files, saved, model
    ):
        before = (files.path(saved) / "model.skops").stat()
        files.save(model, SIGNATURE)
        assert (files.path(saved) / "model.skops").stat() == before

    def test_numbers_of_numpy_stay_numbers(self, files, model):
        parameters = {
            "whole": np.int64(3),
            "share": np.float32(0.5),
            "flag": np.bool_(True),
            "text": np.str_("log"),
            "list": np.array([1, 2]),
            "path": Path("a/b"),
        }
        _, signature = files.load(files.save(model, replace(SIGNATURE, parameters=parameters)))
        assert signature.parameters == {
            "whole": 3,
            "share": 0.5,
            "flag": True,
            "text": "log",
            "list": [1, 2],
            "path": "a/b",
        }

    def test_another_process_saves_the_same_model_to_the_same_digest(self, files, saved):
        told = subprocess.run(
            [sys.executable, "-c", SAVER, str(files.root / "theirs"), "1"],
            env={**os.environ, "PYTHONHASHSEED": "1"},
            capture_output=True,
            text=True,
            check=True,
        )
        assert told.stdout.split() == [saved]
        theirs = Folder(FolderModelFiles(files.root / "theirs").path(saved))
        assert dict(theirs) == dict(self.folder(files, saved))

    @pytest.mark.parametrize("name", ["model.skops", "signature.json", "extra"])
    def test_changed_files_are_refused_before_anything_is_deserialised(self, files, saved, name):
        self.folder(files, saved)[name] = b"changed"
        told = subprocess.run(
            [sys.executable, "-c", LOADER, str(files.root), saved],
            capture_output=True,
            text=True,
            check=True,
        )
        assert told.stdout.split() == ["refused", "False", "False"]

    def test_a_folder_within_the_folder_is_refused(self, files, saved):
        (files.path(saved) / "inside").mkdir()
        with pytest.raises(ArtifactError):
            files.load(saved)

    def test_a_folder_that_was_removed_is_refused_and_can_be_saved_again(self, files, saved, model):
        shutil.rmtree(files.path(saved))
        with pytest.raises(ArtifactError, match=saved):
            files.load(saved)
        assert files.save(model, SIGNATURE) == saved
        assert files.load(saved)[1] == SIGNATURE

    def test_saving_leaves_nothing_else_behind(self, files, saved):
        assert [entry.name for entry in files.root.iterdir()] == [saved]
        assert json.loads(self.folder(files, saved)["signature.json"])["model"] == "delays"

    def test_when_saving_is_killed_then_only_whole_models_have_a_digest(self, files):
        with subprocess.Popen(
            [sys.executable, "-c", SAVER, str(files.root), "1000"],
            stdout=subprocess.PIPE,
            text=True,
        ) as saver:
            told = [saver.stdout.readline().strip() for _ in range(5)]
            saver.send_signal(signal.SIGKILL)
        assert saver.returncode == -signal.SIGKILL
        left = {entry.name for entry in files.root.iterdir() if not entry.name.startswith(".")}
        assert left >= set(told)
        assert {files.load(digest)[1].model for digest in left} == {"delays"}


@pytest.fixture(scope="module")
def fitted_kinds():
    return KINDS["fit_kinds"]()


@pytest.fixture(scope="module")
def saved_kinds(fitted_kinds, tmp_path_factory):
    """The files that hold one model of each kind, and their digests."""
    files = FolderModelFiles(tmp_path_factory.mktemp("kinds"))
    signature = KINDS["signature"]
    return files, {name: files.save(model, signature(name)) for name, model in fitted_kinds.items()}


@pytest.fixture(scope="module")
def saved_elsewhere(tmp_path_factory):
    """The digests that two other processes give to what they fit, each hashing text its own way."""
    told = []
    for seed in ("1", "2"):
        folder = tmp_path_factory.mktemp(f"kinds-{seed}")
        done = subprocess.run(
            [sys.executable, "-c", KINDS_SAVER, str(folder), KINDS_FILE],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        )
        told.append(json.loads(done.stdout))
    return told


@pytest.mark.parametrize("kind", KINDS["KINDS"])
class TestKindsOfModels:
    def test_it_comes_back_and_predicts_the_same_doubles(self, kind, saved_kinds, fitted_kinds):
        files, digests = saved_kinds
        features = KINDS["FEATURES"]
        rows = build_probe_rows(KINDS["make_rows"](), features, 400, seed=1)
        loaded, signature = files.load(digests[kind])
        before = predict_probability(fitted_kinds[kind], rows, features)
        assert signature == KINDS["signature"](kind)
        assert np.array_equal(predict_probability(loaded, rows, features), before)
        assert np.unique(before).size > 3

    def test_processes_that_fit_it_anew_give_it_the_same_digest(
        self, kind, saved_kinds, saved_elsewhere
    ):
        _, digests = saved_kinds
        assert [told[kind] for told in saved_elsewhere] == [digests[kind]] * 2

    def test_loaded_and_saved_again_it_has_the_same_digest(self, kind, saved_kinds):
        files, digests = saved_kinds
        assert files.save(*files.load(digests[kind])) == digests[kind]


def test_every_trusted_type_is_needed_by_a_kind_of_model(saved_kinds):
    """A type that no kind needs is trust for nothing; skops may come to trust some by itself."""
    import skops.io
    from skops.io._trusted_types import SKLEARN_INTERNAL_TYPE_NAMES

    files, digests = saved_kinds
    paths = [files.path(digest) / "model.skops" for digest in digests.values()]
    asked = {name for path in paths for name in skops.io.get_untrusted_types(file=path)}
    assert asked == set(TRUSTED_TYPES) - set(SKLEARN_INTERNAL_TYPE_NAMES)


def test_what_lies_between_the_fields_of_records_is_not_saved():
    record = np.dtype({"names": ["a", "b"], "formats": ["u1", "f8"], "offsets": [0, 8]})
    first, second = (np.full((2, 3, 16), fill, "u1").view(record)[..., 0] for fill in (0, 255))
    for field, value in (("a", 7), ("b", 0.5)):
        first[field] = second[field] = value
    assert first.tobytes() != second.tobytes()
    for order in ("C", "F"):
        files = [canonical_skops(archive(array.copy(order))) for array in (first, second)]
        assert files[0] == files[1]
        assert np.array_equal(read_array(files[0]), first)


def archive(array):
    """An archive as skops writes it, of one array with whatever lies between its fields."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, np.lib.format.header_data_from_array_1_0(array))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as written:
        written.writestr("123.npy", header.getvalue() + array.tobytes("A"))
        written.writestr("schema.json", json.dumps({"__id__": 123, "file": "123.npy"}, indent=2))
    return buffer.getvalue()


def read_array(data):
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return np.load(io.BytesIO(archive.read("1.npy")), allow_pickle=False)


def test_a_schema_loses_its_indentation_and_nothing_else():
    value = {"__id__": 9, "text": "a\n  b\u2028\n", "many": [1, 2.5, {"x": None}], "": "  "}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as written:
        written.writestr("schema.json", json.dumps(value, indent=2))
    with zipfile.ZipFile(io.BytesIO(canonical_skops(buffer.getvalue()))) as archive:
        schema = archive.read("schema.json").decode()
    assert "\n" not in schema
    assert json.loads(schema) == {**value, "__id__": 1}
