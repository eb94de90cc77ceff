"""Model versions in a dictionary."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from threading import Lock

from mlops_assets.adapters.ports import ModelVersion


class InMemoryRegistry:
    """``Registry`` that numbers a model's versions from ``v1``."""

    def __init__(self) -> None:
        self._versions: dict[str, list[ModelVersion]] = {}
        self._aliases: dict[tuple[str, str], str] = {}
        self._lock = Lock()

    def register(self, model: str, digest: str, uri: str, tags: Mapping[str, str]) -> ModelVersion:
        with self._lock:
            known = self._versions.setdefault(model, [])
            same = [version for version in known if version.digest == digest]
            if not same:
                name, labels = f"v{len(known) + 1}", {**tags, "digest": digest}
                known.append(ModelVersion(model, name, digest, uri, labels))
            version = (same or known[-1:])[0].version
        return self.get(model, version)

    def get(self, model: str, version: str) -> ModelVersion:
        for known in self.versions(model):
            if known.version == version:
                return known
        raise KeyError(f"{model} {version}")

    def versions(self, model: str) -> list[ModelVersion]:
        return [
            replace(
                known,
                tags=dict(known.tags),
                aliases=tuple(
                    sorted(
                        alias
                        for (of, alias), version in self._aliases.items()
                        if (of, version) == (model, known.version)
                    )
                ),
            )
            for known in self._versions.get(model, [])
        ]

    def set_alias(self, model: str, alias: str, version: str | None) -> None:
        if version is None:
            self._aliases.pop((model, alias), None)
        else:
            self._aliases[model, alias] = self.get(model, version).version
