"""What all assets of a model have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import dagster as dg

from mlops_assets.adapters.dagster_ui import DagsterUi
from mlops_assets.components.definition import ModelDefinition
from mlops_assets.components.metadata import check_result
from mlops_assets.lifecycle.errors import MlopsAssetsError, RefusedError
from mlops_assets.lifecycle.verdicts import Verdict, combine

ONE_RUN = dg.BackfillPolicy.single_run()


def key_of(model: ModelDefinition, name: str) -> dg.AssetKey:
    """``[model, name]``."""
    return dg.AssetKey([model.name, name])


def asset_arguments(model: ModelDefinition, kinds: Iterable[str]) -> dict[str, Any]:
    """The arguments every asset is made with: group, owners and kinds."""
    return {"group_name": model.name, "owners": list(model.spec.owners), "kinds": set(kinds)}


def blocking_check(asset: dg.AssetKey, name: str, description: str) -> dg.AssetCheckSpec:
    """A check that stops everything downstream in the run when it is not green."""
    return dg.AssetCheckSpec(name, asset=asset, description=description, blocking=True)


def tracking_tags(
    model: ModelDefinition,
    context: dg.AssetExecutionContext,
    key: dg.AssetKey,
    partition: str,
    ui: DagsterUi,
) -> dict[str, str]:
    """What names one tracking run, and leads back from it to the Dagster run."""
    run_id = context.run.run_id
    return {
        "dagster_run_id": run_id,
        "dagster_asset": key.to_user_string(),
        "dagster_partition": partition,
        "dagster_run_url": ui.run_url(run_id),
        "code_version": model.code_digest,
    }


@contextmanager
def failing_when_refused() -> Iterator[None]:
    """A refusal fails the step, and is not tried again: the same would be refused again."""
    try:
        yield
    except RefusedError as error:
        raise dg.Failure(str(error), allow_retries=False) from error


@dataclass(frozen=True)
class Outcome:
    """What materializing one partition gave: what people see, what names it, what was judged."""

    metadata: Mapping[str, Any]
    version: str
    verdicts: Sequence[Verdict] = ()


def only_partition(context: dg.AssetExecutionContext) -> str:
    """The partition of a run that has one.

    Raises ``Failure`` for a range: Dagster would hand over its first and record all as made.
    """
    keys = list(context.partition_keys)
    if len(keys) > 1:
        raise dg.Failure(
            f"{context.asset_key.to_user_string()}: {keys[0]} to {keys[-1]} in one run, it takes "
            "one partition at a time; launch them as one run each",
            allow_retries=False,
        )
    return keys[0]


def materialize_each(
    context: dg.AssetExecutionContext,
    key: dg.AssetKey,
    work: Callable[[str], Outcome],
    *,
    blocks_in_range: bool = True,
    advisory: bool = False,
) -> dg.MaterializeResult:
    """Do the work for each partition of the run, one or a range of them in this one step.

    In a range a partition that fails costs none of the others: they are recorded, and the step
    fails at its end naming those that did not come off. With ``blocks_in_range`` false a check
    that is not green in one of them warns, and what comes after runs. ``advisory`` checks warn at
    most.
    """
    partitions = list(context.partition_keys)
    if len(partitions) == 1:
        done = work(partitions[0])
        return _result(key, done.metadata, done.version, done.verdicts, blocks=not advisory)
    outcomes: dict[str, Outcome] = {}
    errors: dict[str, str] = {}
    for number, partition in enumerate(partitions, start=1):
        try:
            outcomes[partition] = work(partition)
        except MlopsAssetsError as error:
            errors[partition] = str(error)
        said = errors.get(partition, "done")
        context.log.info(f"{partition}, {number} of {len(partitions)}: {said}")
    if errors:
        raise _failure(context, key, outcomes, errors)
    for partition, outcome in outcomes.items():
        context.add_asset_metadata(dict(outcome.metadata), asset_key=key, partition_key=partition)
    blocks = blocks_in_range and not advisory
    counted = {"partitions": len(outcomes)}
    return _result(key, counted, _version(outcomes), _combined(outcomes), blocks=blocks)


def _result(
    key: dg.AssetKey,
    metadata: Mapping[str, Any],
    version: str,
    verdicts: Sequence[Verdict],
    *,
    blocks: bool = True,
) -> dg.MaterializeResult:
    checks = [check_result(verdict, key) for verdict in verdicts]
    if not blocks:
        checks = [check._replace(severity=dg.AssetCheckSeverity.WARN) for check in checks]
    return dg.MaterializeResult(
        metadata=metadata, data_version=dg.DataVersion(version), check_results=checks
    )


def _version(outcomes: Mapping[str, Outcome]) -> str:
    from mlops_assets.lifecycle.digests import digest_value

    return digest_value({partition: outcome.version for partition, outcome in outcomes.items()})


def _combined(outcomes: Mapping[str, Outcome]) -> list[Verdict]:
    """One verdict per check over all partitions, each blamed one by its partition."""
    names = dict.fromkeys(v.name for outcome in outcomes.values() for v in outcome.verdicts)
    return [
        combine(
            name,
            [
                Verdict(partition, verdict.outcome, verdict.reason, verdict.evidence)
                for partition, outcome in outcomes.items()
                for verdict in outcome.verdicts
                if verdict.name == name
            ],
        )
        for name in names
    ]


def _failure(
    context: dg.AssetExecutionContext,
    key: dg.AssetKey,
    outcomes: Mapping[str, Outcome],
    errors: Mapping[str, str],
) -> dg.Failure:
    for partition, outcome in outcomes.items():
        context.log_event(
            dg.AssetMaterialization(key, partition=partition, metadata=dict(outcome.metadata))
        )
    said = [f"{partition}: {error}" for partition, error in errors.items()]
    return dg.Failure(
        description=f"{len(errors)} partition(s) of {key.to_user_string()} failed, "
        f"{len(outcomes)} done.\n" + "\n".join(said[:5]),
        metadata={"failed_partitions": dg.MetadataValue.json(said)},
        allow_retries=False,
    )
