"""From distances to CMC and mAP under named protocols. Needs numpy alone: other code may use it by itself."""

from .distances import Distances, FeatureDistances, MatrixDistances, PairwiseDistances
from .metrics import FITTED_METRICS, METRICS, Metric
from .protocols import PROTOCOLS, Protocol
from .ranking import Ranking, evaluate, evaluate_distances, evaluate_features, rank

__all__ = [
    "FITTED_METRICS",
    "METRICS",
    "PROTOCOLS",
    "Distances",
    "FeatureDistances",
    "MatrixDistances",
    "Metric",
    "PairwiseDistances",
    "Protocol",
    "Ranking",
    "evaluate",
    "evaluate_distances",
    "evaluate_features",
    "rank",
]
