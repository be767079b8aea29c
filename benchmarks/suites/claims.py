"""The paper's claims, each as a comparison of methods whose sign is predicted. They are fixed before anything runs.

The metric is mAP. The family for Holm's correction is all claims that can be tested on one pair of data sets. A difference below
half a point of mAP is negligible.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import log2

from baselines import order_readers

from .paper_figures import INVERSE_SIGMAS

METRIC, MARGIN, ALPHA = "mAP", 0.005, 0.05
MIN_RUNS = 3  # seeds or splits; with two, the intervals of different methods cover 93 to 97 percent

COHERENCE = ("mean", "qan")
MOTION = ("lstm", "cnn3d", "flow")
ORDER_SENSITIVE = order_readers()  # they must pass the controls


@dataclass(frozen=True)
class Arm:
    """A method with changed settings, and its weight in a comparison."""

    weight: float
    method: str
    changes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Claim:
    """A weighted sum of results that is positive according to the paper. The weights add up to 0.

    Attributes:
        text: the claim in words.
        suite: the suite that runs the arms.
        arms: the terms of the sum.
        paper: a table and two of its rows, whose difference the paper prints; empty if it prints none.
        transfer: whether the models are trained on one data set and tested on another.
        needs: what must hold for the comparison to be meaningful: "controls", "tuning".
    """

    text: str
    suite: str
    arms: tuple[Arm, ...]
    paper: tuple[str, str, str] | tuple[()] = ()
    transfer: bool = False
    needs: tuple[str, ...] = ()


def _difference(
    better: str, worse: str, better_changes: Sequence[str] = (), worse_changes: Sequence[str] = ()
) -> tuple[Arm, ...]:
    return (Arm(1, better, tuple(better_changes)), Arm(-1, worse, tuple(worse_changes)))


def _mean(sign: int, methods: Sequence[str]) -> tuple[Arm, ...]:
    return tuple(Arm(sign / len(methods), method) for method in methods)


def _decline(method: str) -> tuple[Arm, ...]:
    """How much a least-squares line over log2(sigma) falls from the smallest sigma of Fig. 3a to the largest."""
    xs = [-log2(inverse) for inverse in INVERSE_SIGMAS]
    mean, span = sum(xs) / len(xs), max(xs) - min(xs)
    scale = sum((x - mean) ** 2 for x in xs)
    return tuple(
        Arm(span * (mean - x) / scale, method, (f"sigma={1 / inverse}",))
        for x, inverse in zip(xs, INVERSE_SIGMAS, strict=True)
    )


SIGMA_RANGE = f"1/{max(INVERSE_SIGMAS)} to 1/{min(INVERSE_SIGMAS)}"
WITHOUT_NOISE = ("sigma=0.0", "lambda=0.0")
CLAIMS = (
    Claim("AFA helps mean", "table4", _difference("mean+afa", "mean"), ("table4", "ResNet-50 + AFA", "ResNet-50")),
    Claim("AFA helps qan", "table4", _difference("qan+afa", "qan"), ("table4", "QAN* + AFA", "QAN*")),
    *(
        Claim(
            f"AFA helps {name}",
            "matrix",
            _difference(f"{name}+afa", name),
            needs=("controls",) * (name in ORDER_SENSITIVE),
        )
        for name in ("max", "attention", *ORDER_SENSITIVE)
    ),
    Claim(
        "the augmentation itself helps, apart from the loss",
        "factors",
        _difference("mean+afa", "mean+afa", (), ("sigma=0.0",)),
    ),
    Claim("coherence beats motion as the distilled part", "matrix", _difference("mean+afa", "mean+afa-motion")),
    Claim(f"accuracy falls with sigma, {SIGMA_RANGE}, motion distilled", "fig3a", _decline("mean+afa-motion")),
    Claim(f"accuracy falls with sigma, {SIGMA_RANGE}, coherence distilled", "fig3a", _decline("mean+afa")),
    Claim(
        "classification by consensus beats pooled",
        "factors",
        _difference(
            "mean+afa",
            "mean+afa",
            ("classification=consensus", *WITHOUT_NOISE),
            ("classification=pooled", *WITHOUT_NOISE),
        ),
    ),
    Claim(
        "the coherence constraint helps",
        "table4",
        _difference("mean+afa", "mean+afa", (), ("lambda=0.0",)),
        ("table4", "L_tri + L_cls + L_coh", "L_tri + L_cls"),
    ),
    Claim(
        "AFA helps on another data set",
        "table5",
        _difference("mean+afa", "mean"),
        ("table5", "AFA", "Baseline"),
        transfer=True,
    ),
    Claim(
        "coherence baselines beat motion baselines, equally tuned",
        "families",
        (*_mean(1, COHERENCE), *_mean(-1, MOTION)),
        needs=("controls", "tuning"),
    ),
)
