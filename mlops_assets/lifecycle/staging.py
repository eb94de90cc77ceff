"""Is what a server answers what was tested? Probe rows, and verdicts on a staged version."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlops_assets.lifecycle.training import Feature, cast_features, predict_probability
from mlops_assets.lifecycle.verdicts import Verdict

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import polars as pl

BATCH_ROWS = 250
"""Rows per request of a comparison, and per prediction offline.

A matrix product may round a row differently in a table of another height, so both sides predict
the same slices."""

MINIMUM_SAMPLES = 20
"""Below this a 95th percentile is the slowest of too few requests."""

UNTOUCHED_SHARE = 0.25
ALL_MISSING_SHARE = 0.02
MISSING_SHARE = 0.15
UNUSUAL_SHARE = 0.10

NUMBERS = (1e30, -1e30, 1e6, -1e6, 0.0, -0.0, 5e-324)
"""Far outside of what features are, yet finite in the single precision that forests predict in."""

TEXTS = ("", "never seen", " ", "nan", "Z\u00fcrich \u6f22\u5b57 \u202e\u0301", "long " * 200)


@dataclass(frozen=True)
class StagedAnswers:
    """What a server that serves nobody answered for one version.

    ``probabilities``: one per row, None where the server refused. ``reasons``: the distinct
    reasons of refusals. ``milliseconds``: the wall time of each answered single-row request.
    ``megabytes``: the size of the version's files, in millions of bytes. ``loaded``: whether the
    server could load the version; without that there are no answers.
    """

    probabilities: tuple[float | None, ...]
    reasons: tuple[str, ...]
    milliseconds: tuple[float, ...]
    megabytes: float
    loaded: bool


@dataclass(frozen=True)
class ServingPolicy:
    """What a version must show in the real server before anybody may decide on it.

    ``rows``: probe rows that are compared. ``tolerance``: how far a served probability may lie
    from the tested one; 0 asks for the same double. ``p95_milliseconds`` and ``megabytes``: the
    most that 95 of 100 single-row requests may take, and the files may weigh; None for no limit.
    ``samples``: single-row requests that are timed.
    """

    rows: int = 10_000
    tolerance: float = 0.0
    p95_milliseconds: float | None = None
    megabytes: float | None = None
    samples: int = 100

    def __post_init__(self) -> None:
        if self.rows < MINIMUM_SAMPLES:
            raise ValueError(f"rows must be at least {MINIMUM_SAMPLES}, got {self.rows}")
        if not 0 <= self.tolerance < 1:
            raise ValueError(f"tolerance must lie in [0, 1), got {self.tolerance}")
        for name in ("p95_milliseconds", "megabytes"):
            limit = getattr(self, name)
            if limit is not None and not 0 < limit < math.inf:
                raise ValueError(f"{name} must be above 0 and finite, got {limit}")
        if not MINIMUM_SAMPLES <= self.samples <= self.rows:
            raise ValueError(
                f"samples must lie between {MINIMUM_SAMPLES} and rows ({self.rows}), "
                f"got {self.samples}"
            )


def build_probe_rows(
    rows: pl.DataFrame, features: Sequence[Feature], count: int, seed: int
) -> pl.DataFrame:
    """``count`` rows of features as callers may send them: real ones, then ever stranger ones.

    Real rows are drawn with replacement. The first quarter is left as it is; a few rows follow
    that miss everything; in the rest each feature misses some values and has some that nobody
    has seen. Raises ``ValueError`` for no real rows or a count below 4, ``FeatureError`` when a
    feature is not there.
    """
    import numpy as np
    import polars as pl

    if rows.is_empty() or count < 4:
        raise ValueError(
            f"probe rows: at least 4 are made of at least 1 row, got {count} of {rows.height}"
        )
    random = np.random.default_rng(seed)
    known = cast_features(rows, features)
    drawn = known[random.integers(known.height, size=count)]
    untouched = math.floor(count * UNTOUCHED_SHARE)
    strange = untouched + max(1, math.floor(count * ALL_MISSING_SHARE))
    columns = []
    for feature in features:
        values = drawn[feature.name].to_list()
        values[untouched:strange] = [None] * (strange - untouched)
        order = random.permutation(np.arange(strange, count))
        _disturb(values, order.tolist(), _unusual(known[feature.name], feature))
        columns.append(pl.Series(feature.name, values, known[feature.name].dtype))
    return pl.DataFrame(columns)


def _disturb(values: list[Any], order: Sequence[int], unusual: Sequence[Any]) -> None:
    """Some values in the places of ``order`` go missing, some become unusual; at least one each."""
    missing = max(1, math.floor(len(order) * MISSING_SHARE))
    strange = max(1, math.floor(len(order) * UNUSUAL_SHARE))
    for place in order[:missing]:
        values[place] = None
    for number, place in enumerate(order[missing : missing + strange]):
        values[place] = unusual[number % len(unusual)]


def _unusual(column: pl.Series, feature: Feature) -> list[Any]:
    """Values that hardly any row has; of texts only the empty one may have been seen."""
    if feature.kind == "numeric":
        return list(NUMBERS)
    seen = set(column.drop_nulls().unique().to_list())
    unseen = "unseen"
    while unseen in seen:
        unseen += "?"
    return [unseen, *(text for text in TEXTS if text not in seen or not text)]


def slice_batches(rows: pl.DataFrame) -> Iterator[tuple[int, pl.DataFrame]]:
    """The slices both sides predict on, each with the position of its first row."""
    for start in range(0, rows.height, BATCH_ROWS):
        yield start, rows.slice(start, BATCH_ROWS)


def predict_offline(
    model: Any, rows: pl.DataFrame, features: Sequence[Feature]
) -> npt.NDArray[np.float64] | None:
    """The probabilities without a server, or None when the estimator raises on one of the rows.

    One thread, as in the server: the sum of a matrix product depends on how it is divided.
    """
    import numpy as np
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    with threadpool_limits(limits=1):
        try:
            parts = [predict_probability(model, part, features) for _, part in slice_batches(rows)]
        except Exception:  # noqa: BLE001 - an estimator may raise anything; the server's answer has the reason
            return None
    return np.concatenate([np.empty(0), *parts])


def judge_parity(
    answers: StagedAnswers, offline: npt.NDArray[np.float64] | None, policy: ServingPolicy
) -> Verdict:
    """Passed when every row was answered, each within the tolerance of the probability offline.

    ``offline`` is what ``predict_offline`` gave for the same rows. None fails also when the server
    refuses alike: a version that cannot take such rows is not fit to serve. Raises ``ValueError``
    when the two are of different rows.
    """
    name, count = "serves_what_was_tested", len(answers.probabilities)
    refused = answers.probabilities.count(None)
    evidence: dict[str, Any] = {"rows": count, "refused": refused, "tolerance": policy.tolerance}
    evidence["reasons"] = list(answers.reasons[:3])
    said = "; ".join(reason.partition("\n")[0] for reason in answers.reasons[:3])
    said = said or "no reason was given"
    if not answers.loaded:
        return Verdict(name, "failed", f"the server could not load the version: {said}", evidence)
    if count == 0:
        return Verdict(name, "inconclusive", "there are no rows to compare", evidence)
    if offline is None:
        told = f"the estimator raised on the {count} rows offline, the server refused {refused}"
        return Verdict(name, "failed", f"{told}: {said}", evidence)
    differing, largest = _compare(answers, offline, policy.tolerance)
    evidence |= {"differing": differing, "largest_difference": largest}
    problems = [f"{refused} of {count} rows were refused: {said}"] if refused else []
    if differing:
        within = f"within {policy.tolerance:g}" if policy.tolerance else "equal"
        problems.append(
            f"{differing} of {count} rows are not {within}, the largest difference is {largest:.3g}"
        )
    if problems:
        return Verdict(name, "failed", "; ".join(problems), evidence)
    within = f"within {policy.tolerance:g} of" if policy.tolerance else "equal to"
    return Verdict(
        name, "passed", f"all {count} served rows are {within} what was tested", evidence
    )


def _compare(
    answers: StagedAnswers, offline: npt.NDArray[np.float64], tolerance: float
) -> tuple[int, float]:
    """How many answered rows lie outside of the tolerance, and the largest difference of all."""
    import numpy as np

    if offline.shape != (len(answers.probabilities),):
        raise ValueError(
            f"parity: {len(answers.probabilities)} served rows cannot be compared with "
            f"{offline.shape} offline; ask both for the same rows"
        )
    served = np.array(answers.probabilities, dtype=float)  # None becomes NaN
    answered = np.array([value is not None for value in answers.probabilities])
    distance = np.nan_to_num(np.abs(served - offline)[answered], nan=np.inf)
    largest = float(distance.max(initial=0.0))
    return int((distance > tolerance).sum()), largest


def judge_latency(answers: StagedAnswers, policy: ServingPolicy) -> Verdict:
    """Whether 95 of 100 single-row requests were answered within the policy's milliseconds.

    The percentile is by nearest rank: the smallest measured time that 95 percent do not exceed.
    """
    name, samples = "answers_in_time", len(answers.milliseconds)
    limit = policy.p95_milliseconds
    evidence: dict[str, Any] = {"samples": samples}
    if samples < MINIMUM_SAMPLES:
        said = f"{samples} answered requests were timed, at least {MINIMUM_SAMPLES} are needed"
        return Verdict(name, "inconclusive", said, evidence)
    p95 = sorted(answers.milliseconds)[math.ceil(0.95 * samples) - 1]
    evidence |= {"p95_milliseconds": p95, "limit": limit}
    said = f"95 of 100 requests took at most {p95:.1f} ms"
    return _judge_limit(name, p95, limit, said, "ms", evidence)


def judge_size(answers: StagedAnswers, policy: ServingPolicy) -> Verdict:
    """Whether the version's files weigh no more than the policy's megabytes."""
    name, weight = "is_small_enough", answers.megabytes
    evidence = {"megabytes": weight, "limit": policy.megabytes}
    if not answers.loaded:
        return Verdict(name, "inconclusive", "the version could not be loaded", evidence)
    said = f"the files weigh {weight:.2f} MB"
    return _judge_limit(name, weight, policy.megabytes, said, "MB", evidence)


def _judge_limit(
    name: str, value: float, limit: float | None, said: str, unit: str, evidence: dict[str, Any]
) -> Verdict:
    if limit is None:
        return Verdict(name, "passed", f"{said}, no limit is set", evidence)
    asked = f"{said}, at most {limit:g} {unit} is asked"
    return Verdict(name, "passed" if value <= limit else "failed", asked, evidence)
