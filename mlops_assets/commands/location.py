"""The code location in this process: its jobs run here, its sensors are asked here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mlops_assets.lifecycle.errors import MlopsAssetsError

if TYPE_CHECKING:
    import dagster as dg

    from mlops_assets.components.definition import ModelDefinition


_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


class JobFailedError(MlopsAssetsError):
    """A job that had to succeed did not; the message has the steps and their causes."""


class Location:
    """The code location with one of its models, on the Dagster instance of the environment.

    Raises what loading the definitions raises.
    """

    def __init__(self, model: str) -> None:

        from mlops_assets.components.model_lifecycle import ModelLifecycleComponent
        from mlops_assets.definitions import definitions

        loaded: dg.Definitions = definitions()
        tree = loaded.component_tree
        assert tree is not None
        self.model: ModelDefinition = tree.load_component(model, ModelLifecycleComponent).model
        self._open(loaded)

    @classmethod
    def of(cls, model: ModelDefinition, resources: Mapping[str, Any]) -> Location:
        """A location that holds nothing but this model, as it is given, on these resources: a
        spec may say other than its ``defs.yaml``, and a clock another time than the system's."""
        import dagster as dg

        from mlops_assets.components.model_lifecycle import ModelLifecycleComponent

        location = cls.__new__(cls)
        location.model = model
        shared = dg.Definitions(resources=dict(resources), executor=dg.in_process_executor)
        context = dg.ComponentTree.for_test().load_context  # the component asks it nothing
        lifecycle = ModelLifecycleComponent(model).build_defs(context)
        location._open(dg.Definitions.merge(lifecycle, shared))
        return location

    def _open(self, loaded: dg.Definitions) -> None:
        import dagster as dg

        self._definitions = loaded
        self._repository = loaded.get_repository_def()
        self._instance = dg.DagsterInstance.get()
        self._asked: set[str] = set()

    def run_job(
        self,
        name: str,
        *,
        partition: str | None = None,
        span: tuple[str, str] | None = None,
        ops: Mapping[str, Any] | None = None,
    ) -> None:
        """Run ``<model>__<name>`` for a partition, or a span of them as one run.

        Raises ``JobFailedError``.
        """
        from mlops_assets.components.partitions import range_tags

        result = self._definitions.resolve_job_def(f"{self.model.name}__{name}").execute_in_process(
            run_config={**_QUIET, "ops": dict(ops or {})},
            instance=self._instance,
            partition_key=partition,
            tags=range_tags(span) if span else None,
            raise_on_error=False,
        )
        _require_success(f"job {name} {partition or ''}", result)

    def materialize(
        self,
        *names: str,
        partition: str | None = None,
        span: tuple[str, str] | None = None,
        ops: Mapping[str, Any] | None = None,
    ) -> None:
        """Materialize single assets of the model for a partition, or a span of them as one run,
        as a click in the UI does.

        Raises ``JobFailedError``.
        """
        import dagster as dg

        from mlops_assets.components.partitions import range_tags

        result = self._definitions.resolve_implicit_global_asset_job_def().execute_in_process(
            run_config={**_QUIET, "ops": dict(ops or {})},
            instance=self._instance,
            partition_key=partition,
            tags=range_tags(span) if span else None,
            asset_selection=[dg.AssetKey([self.model.name, name]) for name in names],
            raise_on_error=False,
        )
        _require_success(f"{', '.join(names)} {partition or span}", result)

    def ask_sensor(
        self, name: str, resources: Mapping[str, Any]
    ) -> tuple[dg.RunRequest | None, str]:
        """One tick of ``<model>__<name>``: the first that it asks for, or why nothing.

        A run key is answered once, as the daemon does.
        """
        import dagster as dg

        sensor = self._repository.get_sensor_def(f"{self.model.name}__{name}")
        answer = sensor(
            dg.build_sensor_context(
                instance=self._instance,
                repository_def=self._repository,
                resources=dict(resources),
            )
        )
        if isinstance(answer, dg.SkipReason):
            return None, str(answer.skip_message)
        answers = answer if isinstance(answer, list) else [answer]
        asked = [each for each in answers if isinstance(each, dg.RunRequest)]
        new = [request for request in asked if request.run_key not in self._asked]
        if not new:
            return None, f"{asked[0].run_key} was asked for before"
        self._asked.add(str(new[0].run_key))
        return new[0], ""


def _require_success(what: str, result: Any) -> None:
    failed = [_describe(event) for event in result.all_node_events if event.is_step_failure]
    if not result.success:
        raise JobFailedError(f"{what} failed: {'; '.join(failed)}")


def _describe(event: Any) -> str:
    error = event.step_failure_data.error
    while error is not None and error.cause is not None:
        error = error.cause
    return f"{event.message} {error.message.strip() if error else ''}"
