"""The interface of a matcher, which compares two tracklets where the distance of two feature vectors is not enough."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


class Matcher(ABC):
    """Compares tracklets: describes each once, then gives the distances of a query to many gallery tracklets.

    A subclass is one file in baselines/matchers/ or a plug-in, registered under a name and constructed without arguments; or a
    model sets one as its `matcher`. A description is whatever `compare` needs; its type is the matcher's own choice.
    Distances need not be symmetric or positive, but must not be NaN.
    """

    @abstractmethod
    def describe(self, frames: Tensor, weights: Tensor | None, coherence: Tensor) -> Any:
        """The description of one tracklet.

        Args:
            frames: (n, D) float32, the embeddings of its n frames in the order of time.
            weights: (n,) or (n, G), the weights of frames or of their G blocks where the baseline has any.
            coherence: (D,) float32, its feature vector.
        """

    def stack(self, descriptions: Sequence[Any]) -> Any:
        """Several descriptions as `compare` takes them; called once for many queries. By default the sequence itself."""
        return descriptions

    @abstractmethod
    def compare(self, query: Any, gallery: Any) -> Tensor:
        """Distances (G,) of a query's description to G gallery tracklets, smaller is nearer.

        Args:
            query: what `describe` returned.
            gallery: what `stack` returned.
        """

    def compare_each(self, queries: Sequence[Any], gallery: Any) -> Tensor:
        """Distances (Q, G) of several queries. By default one after the other; override it where one product serves all.

        Args:
            queries: their descriptions.
            gallery: what `stack` returned.
        """
        return torch.stack([torch.as_tensor(self.compare(query, gallery)) for query in queries])
