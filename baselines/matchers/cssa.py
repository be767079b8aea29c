"""`cssa`: the similarity of two tracklets by their most similar snippets, of Chen et al. (CVPR 2018), for any baseline.

A tracklet is cut into windows of L = 8 consecutive frames, one every 4 frames, each of which becomes one vector. The distance of
two tracklets is the mean of the smallest 20% of all window-to-window distances: two tracklets are alike if some of their parts
are. In the paper a window is embedded by attention and two are compared by a learned head, as the baseline `case` has it.

Choices: here a window is the mean of its frames by the baseline's weights, and the distance is Euclidean. All windows count,
where the released code drops the last one. As there, frames after the last whole window are left out, and a tracklet of fewer
than L frames is extended by its last one. The smallest are those at or below numpy's 20th percentile, as in the code.
"""

from collections.abc import Sequence
from typing import ClassVar, NamedTuple

import numpy as np
import torch
from torch import Tensor

from afa import disentangle
from baselines.interface.matcher import Matcher
from baselines.interface.registry import register


class Windows(NamedTuple):
    """Tracklets with equally many windows, W each.

    rows: (G,) their places in the gallery. vectors: (G, W, D).
    """

    rows: Tensor
    vectors: Tensor


@register("cssa")
class SnippetSimilarity(Matcher):
    """The mean of the smallest 20% of the distances between windows of 8 frames.

    Source: CSSA: Chen et al., CVPR 2018, released code
    """

    length: ClassVar[int] = 8  # L, frames
    stride: ClassVar[int] = 4  # frames from one window to the next
    percent: ClassVar[int] = 20  # of the pairs of windows

    def describe(self, frames: Tensor, weights: Tensor | None, coherence: Tensor) -> Tensor:  # noqa: ARG002
        """The windows of a tracklet, (W, D)."""
        missing = self.length - len(frames)
        order = torch.cat([torch.arange(len(frames)), torch.full((max(0, missing),), len(frames) - 1)])
        windows = order.unfold(0, self.length, self.stride)  # (W, L), frames by their numbers
        return disentangle(frames[windows], None if weights is None else weights[windows]).coherence

    def stack(self, descriptions: Sequence[Tensor]) -> list[Windows]:
        rows: dict[int, list[int]] = {}
        for row, windows in enumerate(descriptions):
            rows.setdefault(len(windows), []).append(row)
        return [Windows(torch.tensor(alike), torch.stack([descriptions[i] for i in alike])) for alike in rows.values()]

    def compare(self, query: Tensor, gallery: list[Windows]) -> Tensor:
        return self.compare_each([query], gallery)[0]

    def compare_each(self, queries: Sequence[Tensor], gallery: list[Windows]) -> Tensor:
        distances = queries[0].new_empty(len(queries), sum(len(alike.rows) for alike in gallery))
        groups = self.stack(queries)
        windows = torch.cat([of_queries.flatten(0, 1) for _, of_queries in groups])
        for rows, vectors in gallery:
            all_pairs = self.between(windows, vectors.flatten(0, 1)).split(
                [of_queries[..., 0].numel() for _, of_queries in groups]
            )
            for (query_rows, of_queries), pairs in zip(groups, all_pairs, strict=True):
                each = pairs.view(*of_queries.shape[:2], *vectors.shape[:2]).transpose(1, 2).flatten(2).numpy()
                count = (each.shape[2] - 1) * self.percent // 100 + 1
                smallest = np.partition(each, count - 1)[..., :count]  # several times as fast as torch's topk
                distances[query_rows.unsqueeze(1), rows] = torch.from_numpy(smallest.mean(axis=2))
        return distances

    def between(self, query: Tensor, gallery: Tensor) -> Tensor:
        """The distances (W, N) of windows (W, D) and (N, D)."""
        norms = [torch.linalg.vector_norm(vectors, dim=1) for vectors in (query, gallery)]
        squares = norms[0].square().unsqueeze(1) + norms[1].square()
        return squares.addmm_(query, gallery.T, alpha=-2).clamp_(min=0).sqrt_()  # torch.cdist takes three times as long
