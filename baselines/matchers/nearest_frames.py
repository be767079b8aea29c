"""Two tracklets are as far apart as their nearest frames: a classic multi-shot baseline.

Source: Farenzena, Bazzani, Perina, Murino and Cristani, "Person re-identification by symmetry-driven accumulation of local
features", CVPR 2010: with several images of each person, the distance is the minimum over all pairs of images. The mean of the
k smallest distances is our generalisation; k = 1 is theirs.
"""

from collections.abc import Sequence
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from baselines.interface.matcher import Matcher
from baselines.interface.registry import register


class FrameStack(NamedTuple):
    """The frames of G tracklets, N in all, of which the longest has L.

    frames: (N, D). squares: (N,) their squared norms. slots: (N,) where each frame stands in a matrix (G, L), flattened.
    """

    frames: Tensor
    squares: Tensor
    slots: Tensor
    shape: tuple[int, int]


@register("nearest-frames")
class NearestFrames(Matcher):
    """The Euclidean distance between the two nearest frames.

    Source: Farenzena et al., CVPR 2010
    """

    k: ClassVar[int] = 1  # frame pairs whose distances are averaged

    def describe(self, frames: Tensor, weights: Tensor | None, coherence: Tensor) -> Tensor:  # noqa: ARG002
        return frames

    def stack(self, descriptions: Sequence[Tensor]) -> FrameStack:
        frames = torch.cat(list(descriptions))
        longest = max(len(each) for each in descriptions)
        slots = [row * longest + torch.arange(len(each)) for row, each in enumerate(descriptions)]
        return FrameStack(frames, frames.square().sum(dim=1), torch.cat(slots), (len(descriptions), longest))

    def compare(self, query: Tensor, gallery: FrameStack) -> Tensor:
        squares = query.square().sum(dim=1, keepdim=True) + gallery.squares - 2 * query @ gallery.frames.T
        # A tracklet's k nearest pairs are among the k nearest query frames of each of its frames.
        nearest = squares.topk(min(self.k, len(query)), dim=0, largest=False).values
        padded = nearest.new_full((len(nearest), gallery.shape[0] * gallery.shape[1]), torch.inf)
        padded[:, gallery.slots] = nearest
        pairs = padded.unflatten(1, gallery.shape).transpose(0, 1).flatten(1)
        distances = pairs.topk(min(self.k, pairs.shape[1]), dim=1, largest=False).values.clamp(min=0).sqrt()
        return distances.masked_fill(distances.isinf(), torch.nan).nanmean(dim=1)  # a short pair has fewer than k
