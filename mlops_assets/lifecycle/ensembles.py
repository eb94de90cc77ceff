"""Combining fitted members, where the combination is shown to beat the best of them.

Members were fitted on earlier rows. What combines them is fitted on later ones, and judged on days
left out of that.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from mlops_assets.lifecycle.errors import TrainingError
from mlops_assets.lifecycle.left_out_days import predict_left_out_days, say_why_not_left_out
from mlops_assets.lifecycle.metrics import log_losses
from mlops_assets.lifecycle.resampling import Interval, compare_models
from mlops_assets.lifecycle.verdicts import Outcome, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    import numpy.typing as npt
    import pandas as pd

ENSEMBLE = "ensemble"
"""What is chosen when no member alone is."""

EnsembleMethod = Literal["blend", "stacking"]
_NEGLIGIBLE = 1e-3
_NAME = "ensemble_earns_its_place"


@dataclass(frozen=True)
class EnsemblePolicy:
    """How members are combined: ``blend`` weighs their probabilities, ``stacking`` is a logistic
    regression over them.

    ``confidence`` of the two-sided interval of the gain that has to lie above 0: a useless
    ensemble is chosen with a probability of about (1 - confidence) / 2 at most.
    """

    method: EnsembleMethod = "blend"
    confidence: float = 0.9

    def __post_init__(self) -> None:
        if self.method not in ("blend", "stacking"):
            raise ValueError(f"method must be blend or stacking, got '{self.method}'")
        if not 0 < self.confidence < 1:
            raise ValueError(f"confidence must lie between 0 and 1, got {self.confidence}")


@dataclass(frozen=True)
class EnsembleChoice:
    """What was chosen, ``ensemble`` or the name of a member, and why.

    ``weights``: per member, of the blend; of stacking the coefficients. ``losses``: log loss in
    nats per member and of the ensemble, on days its weights were not fitted on. ``gain``: how much
    lower that of the ensemble is than that of the best member; None where nothing was compared.
    """

    chosen: str
    weights: Mapping[str, float]
    best_member: str
    losses: Mapping[str, float]
    gain: Interval | None
    verdict: Verdict


def fit_blend(truth: npt.NDArray[Any], members: Mapping[str, npt.NDArray[Any]]) -> dict[str, float]:
    """Weights, none negative and 1 in sum, of the mean probability with the lowest log loss.

    The problem is convex. Weights below 0.001 become 0.
    """
    truth, inputs = _as_numbers(truth), _side_by_side(members, truth)
    return dict(zip(members, _blend_weights(inputs, truth).tolist(), strict=True))


def choose(
    truth: npt.NDArray[Any],
    members: Mapping[str, npt.NDArray[Any]],
    days: npt.NDArray[Any],
    policy: EnsemblePolicy,
    *,
    seed: int,
) -> EnsembleChoice:
    """The ensemble where it is better than the best member beyond noise, else that member.

    ``members``: the probability each gives to the later rows, the preferred one first. Of a few
    days the lowest loss is mostly luck: the best member is the first, unless another is better
    beyond noise too. Raises ``TrainingError`` without a member, or when one is named like the
    ensemble.
    """
    truth, inputs = _as_numbers(truth), _side_by_side(members, truth)
    if ENSEMBLE in members:
        raise TrainingError(f"ensemble: a member is named '{ENSEMBLE}', name it otherwise")
    losses = {name: float(log_losses(truth, p).mean()) for name, p in members.items()}
    best = next(iter(members))
    refused = (
        "there is one candidate, nothing to combine"
        if len(members) == 1
        else say_why_not_left_out(truth, days)
    )
    if refused:
        verdict = Verdict(_NAME, "inconclusive", refused)
        return EnsembleChoice(best, {best: 1.0}, best, losses, None, verdict)
    best = _find_best(truth, members, losses, days, policy, seed)
    fit, weigh = _METHODS[policy.method]
    left_out = predict_left_out_days(truth, inputs, days, fit)
    gain = compare_models(
        truth,
        members[best],
        left_out,
        days,
        "log_loss",
        confidence=policy.confidence,
        seed=seed,
    )
    losses[ENSEMBLE] = float(log_losses(truth, left_out).mean())
    weights = dict(zip(members, weigh(inputs, truth).tolist(), strict=True))
    verdict = _judge(weights, best, losses, gain, len(truth), policy)
    chosen = ENSEMBLE if verdict.passed else best
    return EnsembleChoice(chosen, weights, best, losses, gain, verdict)


def _find_best(
    truth: npt.NDArray[Any],
    members: Mapping[str, npt.NDArray[Any]],
    losses: Mapping[str, float],
    days: npt.NDArray[Any],
    policy: EnsemblePolicy,
    seed: int,
) -> str:
    """The first member, or the one of the lowest loss among those better than it beyond noise."""
    first, *others = members
    better = [
        name
        for name in others
        if compare_models(
            truth,
            members[first],
            members[name],
            days,
            "log_loss",
            confidence=policy.confidence,
            seed=seed,
        ).low
        > 0
    ]
    return min(better, key=lambda name: losses[name]) if better else first


def build_ensemble(
    models: Mapping[str, Any],
    weights: Mapping[str, float],
    method: EnsembleMethod,
    frame: pd.DataFrame,
    truth: npt.NDArray[Any],
) -> Any:
    """The fitted scikit-learn object of an ensemble; its members stay as they are.

    ``models``: fitted members by name. A blend has the members of weight above 0; stacking fits
    its regression on ``frame`` and ``truth``, the later rows. Raises ``TrainingError`` when a
    member of the weights is not there.
    """
    from sklearn.ensemble import StackingClassifier, VotingClassifier
    from sklearn.frozen import FrozenEstimator

    used = [name for name, weight in weights.items() if method == "stacking" or weight > 0]
    missing = [name for name in used if name not in models]
    if missing or not used:
        raise TrainingError(
            f"ensemble: weights name {', '.join(missing) or 'no member'}, "
            f"fitted are {', '.join(models)}"
        )
    frozen = [(name, FrozenEstimator(models[name])) for name in used]
    if method == "blend":
        shares = [weights[name] for name in used]
        return VotingClassifier(frozen, voting="soft", weights=shares).fit(frame, truth)
    return StackingClassifier(
        frozen, cv="prefit", stack_method="predict_proba", final_estimator=_regression()
    ).fit(frame, truth)


def _judge(
    weights: Mapping[str, float],
    best: str,
    losses: Mapping[str, float],
    gain: Interval,
    rows: int,
    policy: EnsemblePolicy,
) -> Verdict:
    listed = ", ".join(f"{name} {weight:.2f}" for name, weight in weights.items() if weight)
    said = (
        f"{policy.method} of {listed}: log loss {losses[ENSEMBLE]:.4f} against {losses[best]:.4f} "
        f"of {best} alone on {rows:,} later rows of {gain.days} days, "
        f"{'worse' if gain.value < 0 else 'better'} by {abs(gain.value):.4f} "
        f"({policy.confidence:.0%} interval of the gain {gain.low:.4f} to {gain.high:.4f})"
    )
    outcome: Outcome = "inconclusive"
    if gain.low > 0:
        outcome = "passed"
    elif gain.high < 0:
        outcome = "failed"
    evidence = {"gain": gain.plain, "rows": rows, "confidence": policy.confidence}
    return Verdict(_NAME, outcome, said, evidence)


def _blend_weights(
    inputs: npt.NDArray[np.float64], truth: npt.NDArray[Any]
) -> npt.NDArray[np.float64]:
    """The log loss of the mean in ``w`` is -mean(log(given @ w)), ``given`` the probability that
    each member gives to what happened.
    """
    import numpy as np
    from scipy.optimize import minimize

    given = np.where(truth[:, None] == 1, inputs, 1.0 - inputs).clip(np.finfo(float).eps)
    members = given.shape[1]
    found = minimize(
        lambda w: -np.log(given @ w).mean(),
        np.full(members, 1 / members),
        jac=lambda w: -(given / (given @ w)[:, None]).mean(axis=0),
        method="SLSQP",
        bounds=[(0.0, 1.0)] * members,
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1, "jac": np.ones_like},
        options={"ftol": 1e-10, "maxiter": 200},
    ).x.clip(0.0)
    found[found / found.sum() < _NEGLIGIBLE] = 0.0
    weights: npt.NDArray[np.float64] = found / found.sum()
    return weights


def _fit_blend(
    inputs: npt.NDArray[np.float64], truth: npt.NDArray[Any]
) -> Callable[[npt.NDArray[Any]], npt.NDArray[np.float64]]:
    weights = _blend_weights(inputs, truth)
    return lambda later: later @ weights


def _fit_stacking(
    inputs: npt.NDArray[np.float64], truth: npt.NDArray[Any]
) -> Callable[[npt.NDArray[Any]], npt.NDArray[np.float64]]:
    fitted = _regression().fit(inputs, truth)
    return lambda later: fitted.predict_proba(later)[:, 1]


def _stacking_weights(
    inputs: npt.NDArray[np.float64], truth: npt.NDArray[Any]
) -> npt.NDArray[np.float64]:
    coefficients: npt.NDArray[np.float64] = _regression().fit(inputs, truth).coef_[0]
    return coefficients


_METHODS = {
    "blend": (_fit_blend, _blend_weights),
    "stacking": (_fit_stacking, _stacking_weights),
}


def _regression() -> Any:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression()


def _as_numbers(truth: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    import numpy as np

    return np.asarray(truth).astype(np.int64)


def _side_by_side(
    members: Mapping[str, npt.NDArray[Any]], truth: npt.NDArray[Any]
) -> npt.NDArray[np.float64]:
    import numpy as np

    if not members:
        raise TrainingError("ensemble: there is no member to choose from, fit a candidate first")
    lengths = {name: len(probability) for name, probability in members.items()}
    if set(lengths.values()) != {len(truth)}:
        raise ValueError(f"members need one probability per row, got {lengths} of {len(truth)}")
    return np.column_stack([np.asarray(p, dtype=float) for p in members.values()])
