"""Registered model versions in MLflow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from threading import Lock
from typing import TYPE_CHECKING, Any

from mlops_assets.adapters.mlflow_tracking import connect, literal
from mlops_assets.adapters.ports import ModelVersion

if TYPE_CHECKING:
    from mlflow import MlflowClient

DIGEST = "digest"
_REGISTERING = Lock()


@dataclass(frozen=True)
class MlflowRegistry:
    """``Registry`` on an MLflow server or database. Version 3 is called ``v3`` here."""

    uri: str

    def register(self, model: str, digest: str, uri: str, tags: Mapping[str, str]) -> ModelVersion:
        with _REGISTERING:  # threads of this process wait for each other
            known = self._of_digest(model, digest)
            return known or self._make(model, digest, uri, tags)

    def get(self, model: str, version: str) -> ModelVersion:
        found = [known for known in self.versions(model) if known.version == version]
        if not found:
            raise KeyError(f"{model} {version}")
        return found[0]

    def versions(self, model: str) -> list[ModelVersion]:
        rows = self._client.search_model_versions(f"name = {literal(model)}", max_results=10_000)
        aliases = self._aliases(model) if rows else {}
        return [_version(row, aliases) for row in sorted(rows, key=lambda row: int(row.version))]

    def set_alias(self, model: str, alias: str, version: str | None) -> None:
        if version is not None:
            number = self.get(model, version).version.removeprefix("v")
            self._client.set_registered_model_alias(model, alias, number)
        elif any(alias in known.aliases for known in self.versions(model)):
            self._client.delete_registered_model_alias(model, alias)

    def _of_digest(self, model: str, digest: str) -> ModelVersion | None:
        same = (version for version in self.versions(model) if version.digest == digest)
        return next(same, None)

    def _make(self, model: str, digest: str, uri: str, tags: Mapping[str, str]) -> ModelVersion:
        import mlflow

        self._ensure_model(model)
        # A logged model is looked up where the process tracks by default, whatever client asks.
        mlflow.set_tracking_uri(self.uri)
        made = self._client.create_model_version(
            model, uri, tags={**tags, DIGEST: digest}, model_id=_logged_model(uri)
        )
        # Another process may have looked and made at the same time: all keep the lowest version.
        kept = self._of_digest(model, digest)
        assert kept is not None
        if kept.version != f"v{made.version}":
            self._client.delete_model_version(model, made.version)
        return kept

    def _ensure_model(self, model: str) -> None:
        from mlflow.exceptions import MlflowException

        try:
            self._client.create_registered_model(model)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise

    def _aliases(self, model: str) -> dict[tuple[str, str], str]:
        known = self._client.get_registered_model(model).aliases
        return {(str(version), alias): alias for alias, version in known.items()}

    @cached_property
    def _client(self) -> MlflowClient:
        return connect(self.uri)


def _logged_model(uri: str) -> str | None:
    """The id in ``models:/m-...``; a tracking server asks for it beside such a source."""
    name = uri.removeprefix("models:/")
    return name if name.startswith("m-") else None


def _version(row: Any, aliases: Mapping[tuple[str, str], str]) -> ModelVersion:
    return ModelVersion(
        model=row.name,
        version=f"v{row.version}",
        digest=row.tags.get(DIGEST, ""),  # registered by hand: shown, and fit for no verdict
        uri=row.source,
        tags=dict(row.tags),
        aliases=tuple(
            sorted(alias for (number, _), alias in aliases.items() if number == str(row.version))
        ),
    )
