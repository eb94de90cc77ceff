"""What is wrong in a ``defs.yaml`` that only shows when its parts are read together."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from mlops_assets.components.specs import (
    CandidateSpec,
    LifecycleSpec,
    SourceSpec,
    TuningSpec,
)
from mlops_assets.lifecycle.ensembles import ENSEMBLE
from mlops_assets.lifecycle.errors import did_you_mean
from mlops_assets.lifecycle.retraining.chance import expected_false_retrains

Path = tuple[str | int, ...]
Complaint = tuple[Path, str]
"""Where in the YAML, and what is wrong there."""

TAKEN = (
    *("predicted_at", "known_at", "moment", "day", "partition", "request_id", "row", "version"),
    *("digest", "arm", "received_at", "entity", "time", "probability", "milliseconds", "model"),
    "routed",
)
"""Columns of the tables that keep features and predictions: no feature can be named like one."""


def find_complaints(spec: LifecycleSpec) -> Iterator[Complaint]:
    """What only shows when the sections are read together."""
    for name, source in spec.sources.items():
        yield from find_source_complaints(("sources", name), source)
    yield from _entity_complaints(spec)
    yield from _feature_complaints(spec)
    yield from _online_complaints(spec)
    yield from _choice_complaints(spec)
    yield from _candidate_complaints(spec)
    yield from _retraining_complaints(spec)


def _retraining_complaints(spec: LifecycleSpec) -> Iterator[Complaint]:
    """A policy that would retrain more often by chance alone than its own budget allows."""
    policy, rate = spec.retraining, spec.monitoring.false_discovery_rate
    a_year = {"daily": 365, "weekly": 52, "monthly": 12}[spec.calendar.cadence]
    expected = expected_false_retrains(rate, policy, a_year)
    allowed = policy.budget.false_per_year
    if policy.mode != "disabled" and expected > allowed:
        yield (
            ("retraining",),
            f"{policy.violated} of {policy.windows} windows, each drifting by chance with a "
            f"probability of {rate}, ask for up to {expected:.1f} false retrainings a year, "
            f"budget.false_per_year allows {allowed:g}; raise violated, lower windows or "
            "monitoring.false_discovery_rate, or allow more",
        )


def _entity_complaints(spec: LifecycleSpec) -> Iterator[Complaint]:
    source = spec.sources.get(spec.entities.source)
    if source is None:
        yield ("entities", "source"), say_unknown("source", spec.entities.source, spec.sources)
        return
    if not source.partitioned_by:
        yield ("entities", "source"), f"source '{spec.entities.source}' has to be partitioned"
    for name in spec.entities.known:
        if name not in source.columns:
            yield ("entities", "known"), say_unknown("column", name, source.columns)


def _feature_complaints(spec: LifecycleSpec) -> Iterator[Complaint]:
    features = {
        ("features", kind, index): name
        for kind in ("categorical", "numeric")
        for index, name in enumerate(getattr(spec.features, kind))
    }
    taken = list(dict.fromkeys([spec.entities.key, spec.entities.time, *TAKEN]))
    if not features:
        yield ("features",), "name at least one categorical or numeric feature"
    seen: set[str] = set()
    for path, name in features.items():
        if name in seen:
            yield path, f"feature '{name}' is named twice"
        if name == spec.label:
            yield path, f"the label '{name}' cannot be a feature"
        elif name in taken:
            yield path, f"'{name}' cannot be a feature, taken are {', '.join(taken)}"
        seen.add(name)


def _online_complaints(spec: LifecycleSpec) -> Iterator[Complaint]:
    """Groups of features to look up; which columns there are shows when they are built."""
    features = [*spec.features.categorical, *spec.features.numeric]
    groups: dict[str, int] = {}
    for index, group in enumerate(spec.features.online):
        path: Path = ("features", "online", index)
        for name in dict.fromkeys(name for name in group.by if group.by.count(name) > 1):
            yield (*path, "by"), f"column '{name}' is named twice"
        for name in sorted({spec.entities.key, spec.entities.time, spec.label} & {*group.by}):
            yield (*path, "by"), f"'{name}' tells rows apart, or what becomes of them: no key"
        for place, name in enumerate(group.features):
            if name not in features:
                yield (*path, "features", place), say_unknown("feature", name, features)
            elif name in groups:
                first = f"already in group {groups[name]}"
                yield (*path, "features", place), f"feature '{name}' is {first}, give it one"
            groups.setdefault(name, index)


def _choice_complaints(spec: LifecycleSpec) -> Iterator[Complaint]:
    """Features that other sections name."""
    features = [*spec.features.categorical, *spec.features.numeric]
    for name, expression in spec.evaluation.slices.items():
        for column in columns_in_sql(expression):
            if column not in features:
                yield ("evaluation", "slices"), _say_slice(name, column, features)
    for index, name in enumerate(spec.monitoring.ignore):
        if name not in features:
            yield ("monitoring", "ignore", index), say_unknown("feature", name, features)
    if features and set(features) <= set(spec.monitoring.ignore):
        yield ("monitoring", "ignore"), "names every feature, so none is left to watch"


def _say_slice(name: str, column: str, features: list[str]) -> str:
    """What is wrong with a slice, named only where its name is not the column itself."""
    said = say_unknown("feature", column, features)
    return said if name == column else f"{name}: {said}"


def _candidate_complaints(spec: LifecycleSpec) -> Iterator[Complaint]:
    """What candidates, the ensemble, calibration and tuning need from each other."""
    for key in ("estimator", "parameters"):
        if spec.candidates and key in spec.training.model_fields_set:
            yield ("training", key), "has no meaning beside candidates; say it for each of them"
    if ENSEMBLE in spec.candidates:
        yield ("candidates", ENSEMBLE), "is what candidates together are called, name it otherwise"
    if spec.ensemble and len(spec.candidates) < 2:
        yield ("ensemble",), f"needs at least 2 candidates, there are {len(spec.candidates)}"
    needing = [
        *(["candidates"] if len(spec.candidates) > 1 else []),
        *(["training.calibration"] if spec.training.calibration != "none" else []),
    ]
    if needing and not spec.training.split.calibration:
        yield (
            ("training", "split"),
            f"calibration has to be at least 1, for {' and '.join(needing)}: rows that no "
            "candidate was fitted on",
        )
    yield from _tuning_complaints(spec)


def _tuning_complaints(spec: LifecycleSpec) -> Iterator[Complaint]:
    searched = {
        ("candidates", name): candidate
        for name, candidate in spec.candidates.items()
        if candidate.space or candidate.space_from
    }
    for path, candidate in searched.items():
        if candidate.space and candidate.space_from:
            yield (*path, "space_from"), "give either space or space_from"
        if not spec.tuning:
            yield path, "has a space to search, but there is no section tuning"
    if spec.tuning is None:
        return
    own = bool(spec.tuning.space) + bool(spec.tuning.space_from)
    if spec.candidates and own:
        key = "space" if spec.tuning.space else "space_from"
        yield ("tuning", key), "has no meaning beside candidates; give it to one of them"
    elif own == 2:
        yield ("tuning", "space_from"), "give either space or space_from"
    elif not (own or searched):
        yield ("tuning",), "space must name at least one parameter"


def find_function_complaints(
    spec: LifecycleSpec, functions: Mapping[str, int]
) -> Iterator[Complaint]:
    """Functions that the YAML names and model.py (its functions and their lines) has not."""
    offered = sorted(name for name in functions if not name.startswith("_"))
    wanted: dict[Path, str] = {
        ("entities",): "build_entities",
        ("label",): "build_labels",
        ("features",): "build_features",
    }
    if not spec.candidates:
        wanted["training", "estimator"] = spec.training.estimator
    spaces: dict[Path, CandidateSpec | TuningSpec] = {
        ("candidates", name): candidate for name, candidate in spec.candidates.items()
    }
    for candidate, of in spec.candidates.items():
        wanted["candidates", candidate, "estimator"] = of.estimator
    if spec.tuning:
        spaces["tuning",] = spec.tuning
    for path, section in spaces.items():
        if section.space_from:
            wanted[*path, "space_from"] = section.space_from
    for index, behaviour in enumerate(spec.gates.behaviour):
        wanted["gates", "behaviour", index] = behaviour
    for path, name in wanted.items():
        if name not in functions:
            has = f"{', '.join(offered) or 'none'}{did_you_mean(name, offered)}"
            yield path, f"model.py has no function '{name}', it has {has}"


def find_source_complaints(path: Path, source: SourceSpec) -> Iterator[Complaint]:
    """What is wrong within one source."""
    yield from _column_complaints(path, source)
    for rule, expression in source.rules.items():
        for name in columns_in_sql(expression):
            if name not in source.columns:
                yield (*path, "rules", rule), say_unknown("column", name, source.columns)
    if len(source.partitioned_by) not in (0, 1, 3):
        yield (
            (*path, "partitioned_by"),
            (
                f"names one date or datetime column, or year, month and day; "
                f"got {len(source.partitioned_by)} columns"
            ),
        )
    if "{partition}" in source.path and not source.partitioned_by:
        yield (*path, "path"), "has {partition}, so partitioned_by has to name the date column"


def _column_complaints(path: Path, source: SourceSpec) -> Iterator[Complaint]:
    time = (source.time,) if source.time else ()
    named = {"key": source.key, "partitioned_by": source.partitioned_by, "time": time}
    dates = ["date", "datetime"]
    by = {1: dates, 3: ["int"]}.get(len(source.partitioned_by), [])
    types = {"key": [], "partitioned_by": by, "time": dates}
    for key, name in ((key, name) for key, names in named.items() for name in dict.fromkeys(names)):
        if name not in source.columns:
            yield (*path, key), say_unknown("column", name, source.columns)
        elif types[key] and (kind := source.columns[name].type) not in types[key]:
            yield (*path, key), f"column '{name}' has to be {' or '.join(types[key])}, it is {kind}"
        if named[key].count(name) > 1:
            yield (*path, key), f"column '{name}' is named twice"


_TEXTS_AND_TYPES = re.compile(
    r"(\w+\s*)?'[^']*'"  # the word of SQL before a text goes with it: date, interval, escape
    r"|\bas\s+[\w\s]+|::\s*\w+( precision| varying| unsigned| with(out)? time zone)?"
    r"|\bextract\s*\(\s*\w+",
    re.IGNORECASE,
)
_SQL_WORDS = re.compile(
    "and|or|xor|not|in|is|null|between|i?like|rlike|regexp|escape|exists|distinct|from|for|to|"
    "true|false|case|when|then|else|end|both|leading|trailing",
    re.IGNORECASE,
)


def columns_in_sql(expression: str) -> list[str]:
    """The column names in an SQL expression: words that are no keyword, type, function or text."""
    bare = _TEXTS_AND_TYPES.sub(" , ", expression)
    words = re.findall(r"(?<![\w.])[A-Za-z_]\w*(?!\w)(?!\s*\()", bare)
    return [word for word in dict.fromkeys(words) if not _SQL_WORDS.fullmatch(word)]


def say_unknown(what: str, name: str, allowed: Any) -> str:
    """That nothing is called so, what there is, and what is close."""
    return f"unknown {what} '{name}', allowed are {', '.join(allowed)}{did_you_mean(name, allowed)}"
