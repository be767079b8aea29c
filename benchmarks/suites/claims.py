"""The paper's claims, each as a comparison of methods whose sign is foretold, fixed before anything runs.

The metric is mAP, the family for Holm's correction is all claims that can be tested on one data set, and a difference below
half a point of mAP is of no interest.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import log2

from .paper_figures import INVERSE_SIGMAS

METRIC, MARGIN, ALPHA = "mAP", 0.005, 0.05
LEAST_RUNS = 3  # seeds or splits; the interval of methods from two holds anything from 93 to 97 percent

COHERENCE = ("mean", "qan")
MOTION = ("lstm", "cnn3d", "flow")
ORDERED = ("rnn", "gru", *MOTION, "flow-only")  # what sees the order of frames, and so must pass the controls


@dataclass(frozen=True)
class Arm:
    """A method, with the parts that are not as its name says; `weight` is its share in a comparison."""

    weight: float
    method: str
    changes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Claim:
    """A weighted sum of methods' figures that the paper says is above 0. The weights add up to 0.

    Attributes:
        text: what is claimed.
        suite: which fills the arms.
        paper: table, row and row less which the paper prints the same difference; empty where it prints none.
        transfer: of models tested on another data set than they were trained on.
        needs: what must hold before the comparison means anything: "controls", "tuning".
    """

    text: str
    suite: str
    arms: tuple[Arm, ...]
    paper: tuple[str, str, str] | tuple[()] = ()
    transfer: bool = False
    needs: tuple[str, ...] = ()


def _against(better: str, worse: str, changes: Sequence[str] = (), others: Sequence[str] = ()) -> tuple[Arm, ...]:
    return (Arm(1, better, tuple(changes)), Arm(-1, worse, tuple(others)))


def _shares(sign: int, methods: Sequence[str]) -> tuple[Arm, ...]:
    return tuple(Arm(sign / len(methods), method) for method in methods)


def _decline(method: str) -> tuple[Arm, ...]:
    """What the straight line over log2(sigma), by least squares, loses from Fig. 3a's smallest sigma to its largest."""
    steps = [-log2(inverse) for inverse in INVERSE_SIGMAS]
    middle, span = sum(steps) / len(steps), max(steps) - min(steps)
    scale = sum((step - middle) ** 2 for step in steps)
    return tuple(
        Arm(span * (middle - step) / scale, method, (f"sigma={1 / inverse}",))
        for step, inverse in zip(steps, INVERSE_SIGMAS, strict=True)
    )


SIGMAS = f"1/{max(INVERSE_SIGMAS)} to 1/{min(INVERSE_SIGMAS)}"
NOISELESS = ("sigma=0.0", "lambda=0.0")
CLAIMS = (
    Claim("AFA helps mean", "table4", _against("mean+afa", "mean"), ("table4", "ResNet-50 + AFA", "ResNet-50")),
    Claim("AFA helps qan", "table4", _against("qan+afa", "qan"), ("table4", "QAN* + AFA", "QAN*")),
    *(
        Claim(f"AFA helps {name}", "matrix", _against(f"{name}+afa", name), needs=("controls",) * (name in ORDERED))
        for name in ("max", "attention", *ORDERED)
    ),
    Claim(
        "the augmentation itself helps, apart from the loss",
        "factors",
        _against("mean+afa", "mean+afa", (), ("sigma=0.0",)),
    ),
    Claim("coherence beats motion as the distilled part", "matrix", _against("mean+afa", "mean+afa-motion")),
    Claim(f"accuracy falls with sigma, {SIGMAS}, motion distilled", "fig3a", _decline("mean+afa-motion")),
    Claim(f"accuracy falls with sigma, {SIGMAS}, coherence distilled", "fig3a", _decline("mean+afa")),
    Claim(
        "classification by consensus beats pooled",
        "factors",
        _against(
            "mean+afa", "mean+afa", ("classification=consensus", *NOISELESS), ("classification=pooled", *NOISELESS)
        ),
    ),
    Claim(
        "the coherence constraint helps",
        "table4",
        _against("mean+afa", "mean+afa", (), ("lambda=0.0",)),
        ("table4", "L_tri + L_cls + L_coh", "L_tri + L_cls"),
    ),
    Claim(
        "AFA helps on another data set",
        "table5",
        _against("mean+afa", "mean"),
        ("table5", "AFA", "Baseline"),
        transfer=True,
    ),
    Claim(
        "coherence baselines beat motion baselines, equally tuned",
        "families",
        (*_shares(1, COHERENCE), *_shares(-1, MOTION)),
        needs=("controls", "tuning"),
    ),
)
