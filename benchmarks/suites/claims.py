"""The claims, each as a comparison of methods whose sign is predicted. They are fixed before anything runs.

Two families, with Holm's correction in each on every pair of data sets: PAPER, what the paper prints or says, and HYPOTHESIS, the
question of its title. All other claims are EXPLORATORY: they are shown apart, without correction, and confirm nothing.

The metric is mAP. The margin below which a difference is negligible is the smallest effect that the paper prints for one of its
claims (`benchmarks.reporting.verdict.margin`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import log2

from baselines import order_readers

from .paper_figures import INVERSE_SIGMAS

METRIC, ALPHA, POWER = "mAP", 0.05, 0.8
MIN_RUNS = 3  # seeds or splits; fewer do not show how much they vary

PAPER, HYPOTHESIS, EXPLORATORY = FAMILIES = ("paper", "hypothesis", "exploratory")

COHERENCE = ("mean", "qan")
MOTION = ("lstm-changes", "cnn3d", "flow")
ORDER_SENSITIVE = order_readers()  # they must pass the controls


@dataclass(frozen=True)
class Arm:
    """A method with changed settings, and its weight in a comparison."""

    weight: float
    method: str
    changes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Claim:
    """A weighted sum of results that is predicted to be positive. The weights add up to 0.

    Attributes:
        text: the claim in words.
        suite: the suite that runs the arms.
        arms: the terms of the sum.
        family: PAPER, HYPOTHESIS or EXPLORATORY.
        paper: a table and two of its rows, whose difference the paper prints; empty if it prints none.
        transfer: whether the models are trained on one data set and tested on another.
        needs: what must hold for the comparison to be meaningful: "controls", "tuning".
        worlds: the drawn data sets about which it is made; empty: all on which no other claim of its family is.
    """

    text: str
    suite: str
    arms: tuple[Arm, ...]
    family: str = EXPLORATORY
    paper: tuple[str, str, str] | tuple[()] = ()
    transfer: bool = False
    needs: tuple[str, ...] = ()
    worlds: tuple[str, ...] = ()

    @property
    def varied(self) -> set[str]:
        """The settings that its arms change."""
        return {text.partition("=")[0] for arm in self.arms for text in arm.changes}


def _difference(
    better: str, worse: str, better_changes: Sequence[str] = (), worse_changes: Sequence[str] = ()
) -> tuple[Arm, ...]:
    return (Arm(1, better, tuple(better_changes)), Arm(-1, worse, tuple(worse_changes)))


def _distilled(granularity: str) -> tuple[Arm, ...]:
    """The coherence less the motion as the distilled part, under the same constraint: the mean over SIGMAS."""
    return tuple(
        Arm(sign / len(SIGMAS), method, (f"sigma={sigma}", f"granularity={granularity}", "lambda=0.1"))
        for sigma in SIGMAS
        for sign, method in ((1, "mean+afa"), (-1, "mean+afa-motion"))
    )


def _decline(method: str) -> tuple[Arm, ...]:
    """How much a least-squares line over log2(sigma) falls from the smallest sigma of Fig. 3a to the largest, a factor a clip."""
    xs = [-log2(inverse) for inverse in INVERSE_SIGMAS]
    mean, span = sum(xs) / len(xs), max(xs) - min(xs)
    scale = sum((x - mean) ** 2 for x in xs)
    return tuple(
        Arm(span * (mean - x) / scale, method, (f"sigma={1 / inverse}", "granularity=clip"))
        for x, inverse in zip(xs, INVERSE_SIGMAS, strict=True)
    )


SIGMAS = (0.025, 0.05, 0.1, 0.2, 0.5, 1.0)
SIGMA_RANGE = f"1/{max(INVERSE_SIGMAS)} to 1/{min(INVERSE_SIGMAS)}"
WITHOUT_NOISE = ("sigma=0.0", "lambda=0.0")
BEST_IN_CLOTHES, BEST_IN_GAIT = (tuple(f"cues:{share}{world}" for world in ("", "-hard")) for share in (0, 100))

CLAIMS = (
    Claim(
        "AFA helps mean", "table4", _difference("mean+afa", "mean"), PAPER, ("table4", "ResNet-50 + AFA", "ResNet-50")
    ),
    Claim("AFA helps qan", "table4", _difference("qan+afa", "qan"), PAPER, ("table4", "QAN* + AFA", "QAN*")),
    Claim(
        "classification by consensus beats pooled",
        "factors",
        _difference(
            "mean+afa",
            "mean+afa",
            ("classification=consensus", *WITHOUT_NOISE),
            ("classification=pooled", *WITHOUT_NOISE),
        ),
        PAPER,
    ),
    Claim(
        "the coherence constraint helps",
        "table4",
        _difference("mean+afa", "mean+afa", (), ("lambda=0.0",)),
        PAPER,
        ("table4", "L_tri + L_cls + L_coh", "L_tri + L_cls"),
    ),
    Claim(
        "AFA helps on another data set",
        "table5",
        _difference("mean+afa", "mean"),
        PAPER,
        ("table5", "AFA", "Baseline"),
        transfer=True,
    ),
    *(
        Claim(
            f"coherence beats motion as the distilled part, a factor a {unit}", "distill", _distilled(unit), HYPOTHESIS
        )
        for unit in ("clip", "frame")
    ),
    *(
        Claim(f"mean beats {name}", "families", _difference("mean", name), HYPOTHESIS, needs=("controls", "tuning"))
        for name in MOTION
    ),
    Claim(
        "more frames help mean",
        "sources",
        _difference("mean", "mean", ("test_frames=0",), ("test_frames=1",)),
        HYPOTHESIS,
    ),
    Claim(
        "the order of frames helps cnn3d",
        "sources",
        _difference("cnn3d", "cnn3d", ("shuffle=none",), ("shuffle=both",)),
        HYPOTHESIS,
        needs=("controls",),
    ),
    Claim(
        "coherence beats motion where people differ in clothes",
        "cues",
        _difference("mean", "cnn3d"),
        HYPOTHESIS,
        needs=("controls",),
        worlds=BEST_IN_CLOTHES,
    ),
    Claim(
        "motion beats coherence where people differ in gait",
        "cues",
        _difference("cnn3d", "mean"),
        HYPOTHESIS,
        needs=("controls",),
        worlds=BEST_IN_GAIT,
    ),
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
    *(
        Claim(f"accuracy falls with sigma, {SIGMA_RANGE}, {part} distilled", "fig3a", _decline(method))
        for part, method in (("motion", "mean+afa-motion"), ("coherence", "mean+afa"))
    ),
)


def claims_about(trained_on: str, tested_on: str) -> list[Claim]:
    """The claims that are made about a pair of data sets, run or not."""
    fitting = [each for each in CLAIMS if each.transfer == (trained_on != tested_on)]
    of_world = {each.family for each in fitting if tested_on in each.worlds}
    return [each for each in fitting if tested_on in each.worlds or (not each.worlds and each.family not in of_world)]


def family_size(family: str, trained_on: str, tested_on: str) -> int:
    """How many claims Holm's correction covers: 1 for exploratory ones, which are not corrected."""
    return 1 if family == EXPLORATORY else sum(each.family == family for each in claims_about(trained_on, tested_on))
