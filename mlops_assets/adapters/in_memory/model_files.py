"""Model files in a dictionary."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mlops_assets.adapters.skops_models import (
    MODEL_FILE,
    SIGNATURE_FILE,
    TRUSTED_TYPES,
    canonical_skops,
    read_signature,
)
from mlops_assets.lifecycle.digests import digest_files
from mlops_assets.lifecycle.errors import ArtifactError
from mlops_assets.lifecycle.training import ModelSignature


class InMemoryModelFiles:
    """``ModelFiles`` whose folders are entries of ``folders``: file names and their bytes."""

    def __init__(self) -> None:
        self.folders: dict[Path, dict[str, bytes]] = {}

    def save(self, model: Any, signature: ModelSignature) -> str:
        import skops.io

        data = canonical_skops(skops.io.dumps(model))
        _require_trusted(data)
        text = json.dumps(asdict(signature), sort_keys=True, default=str)
        files = {MODEL_FILE: data, SIGNATURE_FILE: text.encode()}
        digest = digest_files(files)
        self.folders[self.path(digest)] = files
        return digest

    def load(self, digest: str) -> tuple[Any, ModelSignature]:
        import skops.io

        files = self.folders.get(self.path(digest))
        if files is None or digest_files(files) != digest:
            raise ArtifactError(f"model files: {digest} is missing or was changed")
        _require_trusted(files[MODEL_FILE])
        model = skops.io.loads(files[MODEL_FILE], trusted=list(TRUSTED_TYPES))
        return model, read_signature(files[SIGNATURE_FILE])

    def holds(self, digest: str) -> bool:
        return self.path(digest) in self.folders

    def path(self, digest: str) -> Path:
        if not re.fullmatch(r"[0-9a-f]{64}", digest):
            raise ArtifactError(f"model files: '{digest}' is not a SHA-256 digest")
        return Path("in-memory") / digest


def _require_trusted(data: bytes) -> None:
    import skops.io

    untrusted = set(skops.io.get_untrusted_types(data=data)) - set(TRUSTED_TYPES)
    if untrusted:
        raise ArtifactError(f"model files: types that are not trusted: {sorted(untrusted)}")
