"""A fitted scikit-learn classifier, made into a predictor that answers single rows fast."""

from mlops_assets.serving.compiling.build import build_predictor
from mlops_assets.serving.compiling.predictor import Predictor

__all__ = ["Predictor", "build_predictor"]
