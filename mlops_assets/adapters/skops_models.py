"""Fitted models as skops files, named by the digest of their content."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import tempfile
import zipfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from mlops_assets.lifecycle.digests import digest_files
from mlops_assets.lifecycle.errors import ArtifactError
from mlops_assets.lifecycle.training import Feature, ModelSignature

MODEL_FILE = "model.skops"
SIGNATURE_FILE = "signature.json"
FILES = (MODEL_FILE, SIGNATURE_FILE)

TRUSTED_TYPES = (
    # The type of an encoder's output: a name, kept as an empty array.
    "numpy.dtype",
    # Gradient boosting: its trees, and the loss and link it was fitted with. Trees are arrays of
    # indices that nobody bounds; a forged one can crash a process, so the digest is checked first.
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn._loss.link.Interval",
    "sklearn._loss.link.LogitLink",
    "sklearn._loss.loss.HalfBinomialLoss",
    # Forests: their trees, arrays of indices as above.
    "sklearn.tree._tree.Tree",
    # Splines: knots and coefficients, and the function that makes arrays of what it is given.
    "scipy.interpolate._bsplines.BSpline",
    "scipy._lib.array_api_compat.numpy._aliases.asarray",
    # Voting and stacking: their members by name, a dictionary with attributes.
    "sklearn.utils._bunch.Bunch",
    # Calibration: an estimator with its calibrators, and the two numbers of a sigmoid.
    "sklearn.calibration._CalibratedClassifier",
    "sklearn.calibration._SigmoidCalibration",
)
"""Types beyond skops' own defaults that a model file may hold. Ours, never the file's own list."""

_ATTEMPTS = 3
_EPOCH = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class FolderModelFiles:
    """``ModelFiles`` on a local folder: ``<root>/<digest>/{model.skops, signature.json}``."""

    root: Path

    def path(self, digest: str) -> Path:
        if not re.fullmatch(r"[0-9a-f]{64}", digest):
            raise ArtifactError(f"model files: '{digest}' is not a SHA-256 digest")
        return self.root / digest

    def holds(self, digest: str) -> bool:
        return all((self.path(digest) / name).is_file() for name in FILES)

    def save(self, model: Any, signature: ModelSignature) -> str:
        import skops.io

        text = json.dumps(asdict(signature), indent=1, sort_keys=True, default=_plain)
        files = {
            MODEL_FILE: canonical_skops(skops.io.dumps(model)),
            SIGNATURE_FILE: text.encode(),
        }
        untrusted = set(skops.io.get_untrusted_types(data=files[MODEL_FILE])) - set(TRUSTED_TYPES)
        if untrusted:
            raise ArtifactError(
                f"model files: the estimator holds types that are not trusted: {sorted(untrusted)};"
                " use a scikit-learn estimator, or vouch for them in TRUSTED_TYPES"
            )
        digest = digest_files(files)
        self._commit(self.path(digest), files)
        return digest

    def load(self, digest: str) -> tuple[Any, ModelSignature]:
        folder = self.path(digest)
        try:
            files = _read(folder)
        except OSError as error:
            raise ArtifactError(f"model files: {folder} cannot be read: {error}") from error
        if sorted(files) != sorted(FILES) or digest_files(files) != digest:
            raise ArtifactError(
                f"model files: {folder} does not match its digest; it was changed after training, "
                "restore it or train again"
            )
        import skops.io

        try:
            _require_stored(files[MODEL_FILE])
            model = skops.io.loads(files[MODEL_FILE], trusted=list(TRUSTED_TYPES))
            return model, read_signature(files[SIGNATURE_FILE])
        except Exception as error:  # a forged file can make the parsers say anything
            raise ArtifactError(
                f"model files: {folder} holds no model that can be trusted: {error}"
            ) from error

    def _commit(self, folder: Path, files: dict[str, bytes]) -> None:
        """Write to a folder beside, then rename: the whole version appears, or none of it."""
        if _holds(folder, files):
            return
        self.root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self.root, prefix=".writing-") as temporary:
            written = Path(temporary) / "files"
            written.mkdir()
            for name, data in files.items():
                with (written / name).open("wb") as handle:
                    handle.write(data)
                    handle.flush()
                    os.fsync(handle.fileno())
            _put(written, folder, files)


def _put(written: Path, folder: Path, files: dict[str, bytes]) -> None:
    """Rename to the folder; a damaged one that lies there is moved beside what was written."""
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            written.rename(folder)
            return
        except OSError:
            if _holds(folder, files):  # somebody else finished the same content first
                return
            if attempt == _ATTEMPTS:
                raise
        with contextlib.suppress(FileNotFoundError):  # somebody else moved it first
            folder.rename(written.with_name(f"damaged-{attempt}"))


def _holds(folder: Path, files: dict[str, bytes]) -> bool:
    try:
        return _read(folder) == files
    except OSError:
        return False


def _read(folder: Path) -> dict[str, bytes]:
    """All the folder holds, by name; of what is no model file only the name is told.

    A pipe or a device in a file's place could be read for ever, and is no model file.
    """
    return {
        entry.name: entry.read_bytes() if entry.name in FILES and _can_end(entry) else b""
        for entry in folder.iterdir()
    }


def _can_end(entry: Path) -> bool:
    return entry.is_file() or entry.is_dir()  # reading a folder is an error that says so


def _require_stored(data: bytes) -> None:
    """Refuse an archive that unpacks to more than it holds: ours are never compressed."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        claimed = sum(entry.file_size for entry in archive.infolist())
    if claimed > len(data):
        raise ArtifactError(f"{len(data)} bytes claim to unpack to {claimed}")


def _plain(value: Any) -> Any:
    """Numbers and arrays of NumPy stay what they are; what else JSON does not know is text."""
    return value.tolist() if hasattr(value, "tolist") else str(value)


def read_signature(data: bytes) -> ModelSignature:
    """The signature stored beside a model."""
    body = json.loads(data)
    body["features"] = tuple(Feature(**feature) for feature in body["features"])
    return ModelSignature(**body)


def canonical_skops(data: bytes) -> bytes:
    """The same archive without what changes from run to run.

    skops names objects by their address in memory, a zip entry carries the time of writing, and
    NumPy leaves whatever was in memory in the padding of a tree's nodes; all are replaced, so that
    equal models have equal bytes.
    """
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    schema = entries.pop("schema.json").decode()
    numbers: dict[str, str] = {}

    def renumber(match: re.Match[str]) -> str:
        number = numbers.setdefault(match["id"], str(len(numbers) + 1))
        return f"{match['before']}{number}{match['after']}"

    pattern = r'(?P<before>"__id__": |"file": ")(?P<id>\d+)(?P<after>\.\w+"|\b)'
    schema = re.sub(r"\n *", "", re.sub(pattern, renumber, schema))  # indented it is thrice as long
    renamed = {
        re.sub(r"^\d+", lambda match: numbers[match[0]], name): _zero_padding(name, content)
        for name, content in entries.items()
    }
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in sorted({**renamed, "schema.json": schema.encode()}.items()):
            archive.writestr(zipfile.ZipInfo(name, date_time=_EPOCH), content)
    return buffer.getvalue()


def _zero_padding(name: str, content: bytes) -> bytes:
    """The file of an array of records with zeros between their fields; any other as it is."""
    import numpy as np

    if not name.endswith(".npy"):
        return content
    array = np.load(io.BytesIO(content), allow_pickle=False)
    if array.dtype.names is None:
        return content
    clean = np.zeros(array.shape, array.dtype)
    for field in array.dtype.names:
        clean[field] = array[field]
    order: Literal["F", "C"] = "F" if array.flags.fnc else "C"
    return content[: -array.nbytes or None] + clean.tobytes(order)
