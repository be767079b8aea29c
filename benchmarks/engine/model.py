"""The model that is trained: a baseline, AFA where attached, batch normalisation, classifier and losses."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper
from torch import Tensor, nn
from torch.nn import functional as F

from afa import (
    AdversarialFeatureAugmentation,
    VideoFeatures,
    batch_hard_soft_margin_triplet,
    coherence_constraint,
    disentangle,
    frame_consensus_cross_entropy,
)
from afa.losses import batch_hard_triplet
from baselines.interface.baseline import Baseline, Clips
from baselines.interface.errors import UserError
from benchmarks.clips.decode import ENLARGED, enlarged
from benchmarks.clips.optical_flow import to_pixels
from benchmarks.clips.sampling import share
from benchmarks.clips.training_batches import Batch
from benchmarks.experiments.settings import Settings

from .distributed import gather, on_gathered_batch
from .micro_batches import embed_in_parts, refuse_dependent_clips

METHOD_TERMS = (
    "triplet",
    "class",
    "coherence",
)  # the names of the method's losses, which a baseline's own must not have


class ReidModel(BaseModel):
    """The objective of Eq. 6 around any baseline. Each part has its own setting.

    - triplet on the coherence before or after the neck, with its weight, unless that is 0;
    - classification after the neck: "pooled" (cross-entropy on the coherence of X'), "consensus" (Eq. 7-9 on X'), "frames"
      (the cross-entropy of each frame of X', averaged over the frames, as QAN and RQEN train) or "none";
    - the coherence constraint with weight lambda, unless lambda is 0;
    - the baseline's own losses.

    Args:
        baseline: clips to VideoFeatures.
        classes: number of training identities.
        settings: of the run.
    """

    def __init__(self, baseline: Baseline, classes: int, settings: Settings) -> None:
        super().__init__()
        self.baseline, self.settings = baseline, settings
        self._independent = (
            False  # whether the first of the micro-batches have shown that clips do not change each other
        )
        self.augmentation = AdversarialFeatureAugmentation(settings.sigma, settings.target, settings.granularity)
        self.neck = nn.BatchNorm1d(baseline.channels) if settings.neck == "bn" else nn.Identity()
        small = settings.classifier == "small"
        self.classifier = nn.Linear(baseline.channels, classes, bias=not small)
        if small:
            nn.init.normal_(self.classifier.weight, std=0.001)
        for name in ("pixel_mean", "pixel_std"):
            values = torch.tensor(getattr(baseline.backbone, name))
            self.register_buffer(name, values.view(1, 3, 1, 1), persistent=False)

    def train_step(self, data: Batch, optim_wrapper: OptimWrapper) -> dict[str, Tensor]:
        """One optimisation step on a batch; returns the terms of the loss and their sum."""
        with optim_wrapper.optim_context(self):
            losses = self._run_forward(data._asdict(), mode="loss")
        total, terms = self.parse_losses(losses)
        optim_wrapper.update_params(total)
        return terms

    def forward(
        self,
        frames: Tensor,
        labels: Tensor | None = None,
        flip: Tensor | None = None,
        erase: Tensor | None = None,
        seed: int = 0,
        flow: Tensor | None = None,
        crop: Tensor | None = None,
        mode: str = "predict",
    ) -> dict[str, Tensor] | VideoFeatures:
        """mode "loss": the terms of the loss. mode "predict": the baseline's VideoFeatures of unaugmented clips."""
        motion = self.prepare_flow(flow, flip, erase, crop) if flow is not None else None
        clips = Clips(self.prepare(frames, flip, erase, crop), motion)
        if mode == "predict" or labels is None:
            return checked(self.baseline(clips), self.baseline, clips)
        torch.manual_seed(seed)  # for dropout and whatever else a baseline draws
        size = self.settings.micro_batch
        if 0 < size < len(clips.frames):
            if not self._independent:
                refuse_dependent_clips(self.baseline, clips, size, self.settings.precision)
                self._independent = True
                torch.manual_seed(seed)
            embedded = embed_in_parts(self.baseline, clips, size)
        else:
            embedded = self.baseline(clips)
        features = checked(embedded, self.baseline, clips)
        return self.losses(
            features, labels.to(clips.frames.device, non_blocking=True), torch.Generator().manual_seed(seed)
        )

    def losses(self, features: VideoFeatures, labels: Tensor, draw: torch.Generator) -> dict[str, Tensor]:
        """The terms of the loss with their weights, in float32 whatever the baseline's precision."""
        with torch.autocast(features.frames.device.type, enabled=False):
            return self._losses(features, labels, draw)

    def _losses(self, features: VideoFeatures, labels: Tensor, draw: torch.Generator) -> dict[str, Tensor]:
        settings = self.settings
        weights = features.weights.float() if features.weights is not None else None
        extras = {name: tensor.float() for name, tensor in features.extras.items()}
        features = VideoFeatures(features.frames.float(), features.coherence.float(), weights, extras)
        features = gather(features, len(labels))
        terms = {}
        if settings.triplet_weight > 0:
            terms["loss_triplet"] = settings.triplet_weight * self._triplet(features.coherence, labels)
        if settings.classification != "none":
            terms["loss_class"] = self._classification(features, labels, draw)
        if settings.lambda_ > 0:
            terms["loss_coherence"] = settings.lambda_ * coherence_constraint(features.motion, settings.coherence_norm)
        terms |= self._own_losses(features, labels)
        if not terms:
            raise UserError("triplet_weight=0 and classification=none leave no loss; switch one of them on")
        return terms

    def _triplet(self, coherence: Tensor, labels: Tensor) -> Tensor:
        settings = self.settings
        hard = (
            partial(batch_hard_triplet, margin=settings.margin) if settings.margin else batch_hard_soft_margin_triplet
        )
        vectors = self.normalised(coherence) if settings.triplet_feature == "after" else coherence
        return hard(vectors, labels, distance=settings.triplet_distance)

    def _classification(self, features: VideoFeatures, labels: Tensor, draw: torch.Generator) -> Tensor:
        smoothing = self.settings.label_smoothing
        if self.settings.classification == "pooled":
            pooled = features.coherence
            if self.settings.sigma > 0:  # otherwise X' is X
                # Under the weights that made the coherence the motion of X' averages to zero.
                noise = self.augmentation(features, draw) - features.frames
                pooled = pooled + disentangle(noise, features.weights).coherence
            return F.cross_entropy(self.classifier(self.normalised(pooled)), labels, label_smoothing=smoothing)
        augmented = self.augmentation(features, draw)
        logits = self.classifier(self.normalised(augmented))
        steps = augmented.shape[1]
        if self.settings.classification == "frames":
            return F.cross_entropy(logits, labels.repeat_interleave(steps), label_smoothing=smoothing)
        return frame_consensus_cross_entropy(logits.unflatten(0, (-1, steps)), labels, smoothing)

    def _own_losses(self, features: VideoFeatures, labels: Tensor) -> dict[str, Tensor]:
        """The baseline's own losses, each under the name `loss_NAME`.

        Raises:
            UserError: not scalars by name, or a name that the method's losses have.
        """
        with on_gathered_batch():
            own = self.baseline.losses(features, labels)
        if not isinstance(own, Mapping):
            raise UserError(
                f"{code_place(type(self.baseline).losses)}: losses of {type(self.baseline).__name__} returns a "
                f"{type(own).__name__}; it must return a dict of scalar tensors by name"
            )
        wrong = [
            name for name, value in own.items() if name in METHOD_TERMS or not isinstance(value, Tensor) or value.dim()
        ]
        if wrong:
            raise UserError(
                f"{code_place(type(self.baseline).losses)}: losses of {type(self.baseline).__name__} returns {wrong[0]!r}; "
                f"it must return scalar tensors by names other than {', '.join(METHOD_TERMS)}"
            )
        return {f"loss_{name}": value for name, value in own.items()}

    def normalised(self, vectors: Tensor) -> Tensor:
        """(B, D) or (B, T, D) to (B [* T], D) behind the neck, with the statistics of all clips or of each share of them."""
        shares = self.settings.statistics_shares
        parts = [vectors[share(len(vectors), number, shares)] for number in range(shares)]
        return torch.cat([self.neck(part.flatten(0, -2)) for part in parts])

    def prepare(
        self, frames: Tensor, flip: Tensor | None = None, erase: Tensor | None = None, crop: Tensor | None = None
    ) -> Tensor:
        """uint8 frames (B, T, 3, H, W), on the device of the model, to normalised and augmented floats of that shape.

        The erased region is filled with the mean pixel, which is 0 here. Frames that were cut from their source are not
        cropped again.
        """
        batch, steps = frames.shape[:2]
        device = self.pixel_mean.device
        images = frames.to(device, non_blocking=True).flatten(0, 1).float().div_(255)
        images = images.sub_(self.pixel_mean).div_(self.pixel_std).unflatten(0, (batch, steps))
        _augment(images, flip, erase, crop if self.settings.crop_from == "frame" else None)
        return images

    def prepare_flow(
        self, flow: Tensor, flip: Tensor | None = None, erase: Tensor | None = None, crop: Tensor | None = None
    ) -> Tensor:
        """uint8 flow (B, T, L, 2, H, W) to floats in pixels per frame, on the device; mirroring a clip negates u.

        Nothing moves in the erased region, and an enlarged clip moves faster.
        """
        pixels = to_pixels(flow.to(self.pixel_mean.device, non_blocking=True)).flatten(1, 2)
        _augment(pixels, flip, erase, crop)
        if flip is not None:
            horizontal = _units(pixels, flip)[:, :, 0]
            horizontal *= torch.where(flip.to(pixels.device, non_blocking=True), -1.0, 1.0).view(-1, 1, 1, 1)
        if crop is not None:
            faster = torch.where(crop[:, 0] >= 0, ENLARGED, 1.0).to(pixels.device, non_blocking=True)
            _units(pixels, crop).mul_(faster.view(-1, 1, 1, 1, 1))
        return pixels.unflatten(1, flow.shape[1:3])


def checked(features: Any, baseline: Baseline, clips: Clips) -> VideoFeatures:
    """The output of a baseline, after a check of its shapes.

    Raises:
        UserError: wrong shapes; the message names the file and line of `forward`.
    """
    batch, steps = clips.frames.shape[:2]
    expected = f"frames {(batch, steps, baseline.channels)} and coherence {(batch, baseline.channels)}"
    if not isinstance(features, VideoFeatures):
        returned = f"a {type(features).__name__}"
    else:
        returned = f"frames {tuple(features.frames.shape)} and coherence {tuple(features.coherence.shape)}"
        if returned == expected:
            returned, expected = _wrong_extra(features, baseline.channels)
    if returned != expected:
        hint = _channels_meant(features, (batch, steps), baseline.channels)
        raise UserError(
            f"{code_place(type(baseline).forward)}: forward of {type(baseline).__name__} returns {returned}; "
            f"of such a clip it must return VideoFeatures with {expected}{hint}"
        )
    return features


def _channels_meant(features: Any, clip: tuple[int, int], channels: int) -> str:
    """What to do if embeddings have another length than the baseline's `channels`."""
    embedded = isinstance(features, VideoFeatures) and features.frames.dim() == 3 and features.frames.shape[:2] == clip
    other = embedded and features.frames.shape[2] != channels
    return f", or set self.channels = {features.frames.shape[2]} in __init__" if other else ""


def _wrong_extra(features: VideoFeatures, channels: int) -> tuple[str, str]:
    """The actual and the expected weights or extras, as texts; both are equal if they are right."""
    batch, steps = features.frames.shape[:2]
    weights = features.weights
    if weights is not None:
        shape = tuple(weights.shape)
        blocks = shape[2] if len(shape) == 3 else 1
        if shape[:2] != (batch, steps) or len(shape) > 3 or not blocks or channels % blocks:
            return f"weights {shape}", f"weights {(batch, steps)}, or {(batch, steps, 'G')} where G divides {channels}"
    for name, extra in features.extras.items():
        if extra.dim() == 0 or len(extra) != batch:
            return f"the extra {name!r} of shape {tuple(extra.shape)}", f"extras of {batch} rows, one per clip"
    return "", ""


def code_place(function: Any) -> str:
    """`FILE, line N` of a function, for error messages."""
    code = function.__code__
    return f"{code.co_filename}, line {code.co_firstlineno}"


def _units(clips: Tensor, drawn: Tensor) -> Tensor:
    """(B, T, C, H, W) as (U, B * T / U, C, H, W), the same memory: one row for each draw, of a clip or of a frame."""
    return clips.view(len(drawn), -1, *clips.shape[2:])


def _augment(clips: Tensor, flip: Tensor | None, erase: Tensor | None, crop: Tensor | None) -> None:
    """Crop, mirror and erase (B, T, C, H, W) in place, by one draw for each clip or for each frame."""
    height, width = clips.shape[-2:]
    if crop is not None:
        units = _units(clips, crop)
        for unit, (top, left) in enumerate(crop.tolist()):
            if top >= 0:
                larger = F.interpolate(units[unit], enlarged(height, width), mode="bilinear")
                units[unit] = larger[..., top : top + height, left : left + width]
    if flip is not None and flip.any():
        units = _units(clips, flip)
        # Indices instead of a mask: indexing by a mask on a GPU waits for the device.
        mirrored = flip.nonzero().flatten().to(clips.device, non_blocking=True)
        units[mirrored] = units[mirrored].flip(-1)
    if erase is not None:
        units = _units(clips, erase)
        for unit, (top, left, bottom, right) in enumerate(erase.tolist()):
            units[unit, :, :, top:bottom, left:right] = 0


def build_model(
    method: str, classes: int, settings: Settings, seed: int, attributes: Tensor | None = None
) -> tuple[ReidModel, str]:
    """The model of a method with its initial weights drawn from `seed`, and the digest of its pretrained weights.

    Args:
        attributes: of the training people, as `Baseline.add_attributes` takes them.
    """
    from baselines import BASELINES
    from baselines.backbones.build import build_backbone
    from benchmarks.experiments.methods import split_method
    from benchmarks.experiments.own_settings import by_parameter
    from benchmarks.seeds import derive

    kind: Any = BASELINES.get(split_method(method)[0])
    torch.manual_seed(derive("weights", seed))
    backbone, digest = build_backbone(settings.backbone, settings.weights, settings.last_stride)
    backbone.clip_frames, backbone.image_size = settings.clip_frames, (settings.height, settings.width)
    backbone.pooling = settings.pooling
    baseline = kind(backbone, **by_parameter(settings.own))
    baseline.add_heads(classes)
    if attributes is not None and baseline.uses_attributes:
        baseline.add_attributes(attributes)
    for module in baseline.modules():
        if isinstance(module, nn.Dropout) and settings.dropout >= 0:
            module.p = settings.dropout
    model = ReidModel(baseline, classes, settings)
    if settings.precision == "bf16":  # the layout of tensor cores; float32 keeps its own, and so its bits
        for weight in model.parameters():
            if weight.dim() == 4:
                weight.data = weight.data.contiguous(memory_format=torch.channels_last)
    return model, digest
