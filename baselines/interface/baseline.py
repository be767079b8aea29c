"""The interface of a baseline: clips in, one embedding per time step and one coherence vector per clip out."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Literal, NamedTuple

from torch import Tensor, nn

from afa import VideoFeatures

from .backbone import Backbone
from .errors import UserError
from .matcher import Matcher

TestClips = Literal["even", "exact", "whole"]


class Clips(NamedTuple):
    """A batch of clips on the device, augmented and normalised.

    Attributes:
        frames: (B, T, 3, H, W) float, normalised RGB.
        flow: (B, T, L, 2, H, W) float, (u, v) in pixels per frame, where the baseline asks for it: the L fields around each
            frame, its own in the middle, in the order of time.
    """

    frames: Tensor
    flow: Tensor | None = None


class Baseline(nn.Module, ABC):
    """A temporal model over a backbone. A subclass is one file; it sets `channels` if D is not the backbone's.

    The keyword-only parameters of its `__init__` are settings of its own: `--set NAME.depth=2` sets `depth`. Their defaults are
    numbers, texts, true or false, and decide their types.

    Attributes:
        flow_fields: L, an odd number: how many fields of optical flow around each frame `forward` reads; 0: none. They are
            neighbours in the video, whatever the sampling.
        uses_attributes: whether the model learns attributes of the training people; see `add_attributes`.
        reads_order: whether the embeddings depend on the order of the frames of a clip, or on the flow between them. Such a
            baseline gets the settings in the table [ordered] of a recipe.
        trunk: the name of a registered backbone, where the model belongs to one: the value of the setting `backbone`, unless
            `--set` gives another. Empty: the recipe's backbone.
        takes_video: whether the backbone may be a video network.
        test_clips: how a tracklet is cut at test. "even": into chunks of at most the setting `test_chunk`, as equal as can
            be; "exact": into clips of the setting `clip_frames`, the last one padded with its last frame, for models that
            fix T; "whole": not at all.
        matcher: compares tracklets at test; None: the distances of their features do.
        channels: D, the length of an embedding.
    """

    flow_fields: ClassVar[int] = 0
    uses_attributes: ClassVar[bool] = False
    reads_order: ClassVar[bool] = False
    trunk: ClassVar[str] = ""
    takes_video: ClassVar[bool] = False
    test_clips: ClassVar[TestClips] = "even"
    matcher: Matcher | None

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        if backbone.video and not self.takes_video:
            raise UserError(f"backbone: a video network, which {type(self).__name__} cannot take; --method cnn3d can")
        if self.flow_fields and self.flow_fields % 2 == 0:
            raise UserError(f"{type(self).__name__}: flow_fields is {self.flow_fields}; give an odd number")
        self.backbone = backbone
        self.matcher = None  # on the instance: a class attribute would hide a matcher that is a module
        self.channels = backbone.channels

    @abstractmethod
    def forward(self, clips: Clips) -> VideoFeatures:
        """Embeddings (B, T, D) and coherence (B, D), by `afa.disentangle` unless the model defines its own."""

    def add_heads(self, classes: int) -> None:
        """Called once, before the training: add what only `losses` needs, such as a classifier of K = `classes` identities."""

    def add_attributes(self, values: Tensor) -> None:
        """Called once, after `add_heads`, where `uses_attributes`. Keeps them as `self.attributes`, a part of the weights.

        Args:
            values: (K, A) int64, the value of each of A attributes for each of K identities, counted from 0; -1: unknown.
        """
        self.register_buffer("attributes", values)

    def recognise(self, coherence: Tensor) -> Tensor | None:  # noqa: ARG002 - for subclasses
        """The value of each of A attributes, (N, A) integers, from the features (N, D) of N tracklets.

        Values are numbered as in `add_attributes`. A run reports how often they are right on the queries. Default: None, for a
        model that recognises no attribute.
        """
        return None

    def losses(self, features: VideoFeatures, labels: Tensor) -> dict[str, Tensor]:  # noqa: ARG002 - for subclasses
        """Losses of the model's own, each a scalar with its weight, added to those of the method. Default: none.

        Args:
            features: what `forward` returned, in float32, of the whole batch even where several processes share it.
            labels: (B,) class indices.
        """
        return {}

    def parameter_groups(self, lr: float) -> list[dict[str, Any]]:  # noqa: ARG002 - for subclasses
        """Parameters with options of their own for the optimizer, such as `{"params": self.head.parameters(), "lr": 10 * lr}`.

        The others keep the settings of the run. Default: no groups. Schedules multiply the rates of all groups.

        Args:
            lr: the learning rate of the run; without "lr", a group has it.
        """
        return []

    def hooks(self) -> list[Any]:
        """mmengine's hooks, which the training calls before and after it, its epochs and its steps. Default: none.

        A hook that keeps a state saves it in `before_save_checkpoint`, so that the run can resume.
        """
        return []

    def merge(self, coherence: Tensor, weights: Tensor) -> Tensor:
        """The feature of a tracklet (D,) from those of its C chunks in the order of time. Default: their mean by weight.

        Args:
            coherence: (C, D) float64.
            weights: (C, G) float64: the sum of the frames' weights, or the number of frames where the model weighs none.
        """
        blocks = coherence.unflatten(1, (weights.shape[1], -1))
        return ((blocks * weights.unsqueeze(-1)).sum(dim=0) / weights.sum(dim=0).unsqueeze(-1)).flatten()

    def embed(self, frames: Tensor) -> Tensor:
        """Each frame by itself: (B, T, 3, H, W) to (B, T, D), the backbone's map pooled over the image."""
        batch, steps = frames.shape[:2]
        return self.backbone.pool(self.backbone(frames.flatten(0, 1), steps)).unflatten(0, (batch, steps))
