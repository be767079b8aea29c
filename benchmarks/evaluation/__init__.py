"""From distances to CMC and mAP under named protocols. Needs numpy alone: other code may use it by itself."""

from .ranking import PROTOCOLS, Protocol, Ranking, evaluate, evaluate_features, rank

__all__ = ["PROTOCOLS", "Protocol", "Ranking", "evaluate", "evaluate_features", "rank"]
