"""The metrics of a probability, and the bins its calibration is judged in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

METRICS = ("auc", "brier", "log_loss", "calibration_error")
"""What every evaluation measures. Higher is better for ``auc`` alone."""

HIGHER_IS_BETTER = frozenset({"auc"})
CALIBRATION_BINS = 10


def measure_metrics(
    truth: npt.NDArray[np.int64], probability: npt.NDArray[np.float64]
) -> dict[str, float]:
    """AUC, Brier score, log loss and expected calibration error over ten equally full bins.

    Both classes have to be present.
    """
    from sklearn.metrics import roc_auc_score

    auc = float(roc_auc_score(truth, probability))
    return {"auc": auc, **measure_losses(truth, probability)}


def measure_losses(
    truth: npt.NDArray[np.int64], probability: npt.NDArray[np.float64]
) -> dict[str, float]:
    """The same but the AUC: what rows of one class alone have as well."""
    import numpy as np
    from sklearn.metrics import brier_score_loss, log_loss

    probability = np.asarray(probability, dtype=float)
    return {
        "brier": float(brier_score_loss(truth, probability, pos_label=1)),
        "log_loss": float(log_loss(truth, probability, labels=[0, 1])),
        "calibration_error": measure_calibration_error(truth, probability),
    }


def measure_calibration_error(
    truth: npt.NDArray[Any], probability: npt.NDArray[np.float64]
) -> float:
    """How far mean prediction and share of positives of a bin lie apart, over rows on average."""
    import numpy as np

    bins = measure_calibration(truth, probability)
    gaps = np.abs(np.array(bins["predicted"]) - np.array(bins["observed"]))
    return float(np.average(gaps, weights=bins["rows"]))


def measure_calibration(
    truth: npt.NDArray[Any], probability: npt.NDArray[np.float64]
) -> dict[str, list[float]]:
    """Per bin, lowest first: mean probability, share of positives, rows. Empty bins are left out.

    Rows of equal probability that lie across the edge of two bins count in both, in parts.
    """
    import numpy as np

    shares = share_bins(probability)
    rows = np.bincount(_bin_of_position(len(probability)), minlength=CALIBRATION_BINS)
    filled = rows > 0
    return {
        "predicted": ((probability @ shares)[filled] / rows[filled]).tolist(),
        "observed": ((truth @ shares)[filled] / rows[filled]).tolist(),
        "rows": rows[filled].astype(float).tolist(),
    }


def share_bins(probability: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Which share of each row lies in each equally full bin, shape (rows, bins); rows sum to 1.

    Rows of equal probability are treated alike, so that the order of rows means nothing.
    """
    import numpy as np

    _, group, size = np.unique(probability, return_inverse=True, return_counts=True)
    end = np.cumsum(size)
    start = end - size
    full = np.bincount(_bin_of_position(len(probability)), minlength=CALIBRATION_BINS)
    upper = np.cumsum(full)
    lower = upper - full
    inside = np.minimum(end[:, None], upper) - np.maximum(start[:, None], lower)
    shares: npt.NDArray[np.float64] = (np.maximum(inside, 0) / size[:, None])[group]
    return shares


def log_losses(
    truth: npt.NDArray[Any], probability: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """The log loss of each row, in nats; a probability of 0 or 1 counts as the nearest inside."""
    import numpy as np

    nearest = np.finfo(float).eps
    of_truth = np.where(np.asarray(truth) == 1, probability, 1.0 - np.asarray(probability))
    losses: npt.NDArray[np.float64] = -np.log(np.clip(of_truth, nearest, 1.0 - nearest))
    return losses


def _bin_of_position(rows: int) -> npt.NDArray[np.int64]:
    """The bin of each row once rows are sorted: sizes differ by one at most, larger ones first."""
    import numpy as np

    size, larger = divmod(rows, CALIBRATION_BINS)
    sizes = [size + (part < larger) for part in range(CALIBRATION_BINS)]
    return np.repeat(np.arange(CALIBRATION_BINS), sizes)
