"""The claims: comparisons of methods whose sign is predicted.

Two families of claims were fixed before their runs, all but one (docs/statistics.md says which): PAPER, what the paper prints
or says, and HYPOTHESIS, the question of its title. Holm's correction applies to each family on every pair of data sets. All other
claims are EXPLORATORY: they are shown apart, without correction, and confirm nothing. The claims of plug-ins, a family of their
own, are exploratory too.

The metric is mAP; a plug-in may name R1. The margin below which a difference is negligible is the smallest effect that the paper
prints for one of its claims (`benchmarks.reporting.verdict.margin`).
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from math import log2
from typing import ClassVar

from baselines import order_readers
from baselines.interface.errors import UserError
from benchmarks.data import registered_name
from benchmarks.experiments.methods import check_method
from benchmarks.experiments.settings import resolve

from . import COMPARISONS

METRIC, ALPHA, POWER = "mAP", 0.05, 0.8
MIN_RUNS = 3  # seeds or splits; fewer do not show how much results vary
MIN_TRIALS = 20  # of `bench tune` for each method; after fewer trials a method may be far from its best settings

METRICS = ("mAP", "R1")  # those that have a value for each query

PAPER, HYPOTHESIS, EXPLORATORY, PLUG_IN = FAMILIES = ("paper", "hypothesis", "exploratory", "plug-in")
UNCORRECTED = (EXPLORATORY, PLUG_IN)  # they were not fixed before anything ran

COHERENCE = ("mean", "qan")
MOTION = ("lstm-changes", "cnn3d", "flow")
ORDER_SENSITIVE = order_readers()  # they must pass the controls
# What the suite `cues` runs. Its worlds have no other claims.
ON_THE_DIAL = tuple(method for name in ("mean", *MOTION) for method in (name, f"{name}+afa"))


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
        suite: the suite that runs the arms; empty if there is none.
        arms: the terms of the sum.
        family: PAPER, HYPOTHESIS, EXPLORATORY or PLUG_IN.
        paper: a table and two of its rows, whose difference the paper prints; empty if it prints none.
        transfer: whether the models are trained on one data set and tested on another.
        needs: what must hold for the comparison to be meaningful: "controls", "tuning".
        worlds: the data sets that the claim is about. Empty: all that no other claim of its family names; of the worlds of `cues`
            only if that suite runs all arms.
        metric: of the results, one of METRICS.
    """

    text: str
    suite: str
    arms: tuple[Arm, ...]
    family: str = EXPLORATORY
    paper: tuple[str, str, str] | tuple[()] = ()
    transfer: bool = False
    needs: tuple[str, ...] = ()
    worlds: tuple[str, ...] = ()
    metric: str = METRIC

    @property
    def made_by(self) -> str:
        """In words, what runs its arms: a suite, or `bench run`."""
        return f"suite {self.suite}" if self.suite else "bench run"

    @property
    def varied(self) -> set[str]:
        """The settings that its arms change."""
        return {text.partition("=")[0] for arm in self.arms for text in arm.changes}


class Comparison:
    """A claim of a plug-in: one method is better than another. A subclass under `@register("NAME")` is one claim.

    The first line of its docstring is the claim in words. A side is a method, followed by the settings that the claim
    compares: `mean test_frames=1`. Give such a setting on both sides; all settings that neither side gives must be the same in
    the runs of both.

    Attributes:
        better, worse: the two sides.
        metric: "mAP" or "R1".
        transfer: whether the models are trained on one data set and tested on another.
    """

    better: ClassVar[str] = ""
    worse: ClassVar[str] = ""
    metric: ClassVar[str] = METRIC
    transfer: ClassVar[bool] = False


def _difference(
    better: str, worse: str, better_changes: Sequence[str] = (), worse_changes: Sequence[str] = ()
) -> tuple[Arm, ...]:
    return (Arm(1, better, tuple(better_changes)), Arm(-1, worse, tuple(worse_changes)))


def _distilled(granularity: str) -> tuple[Arm, ...]:
    """Distilled coherence less distilled motion under the same constraint, as a mean over SIGMAS."""
    return tuple(
        Arm(sign / len(SIGMAS), method, (f"sigma={sigma}", f"granularity={granularity}", "lambda=0.1"))
        for sigma in SIGMAS
        for sign, method in ((1, "mean+afa"), (-1, "mean+afa-motion"))
    )


def _decline(method: str) -> tuple[Arm, ...]:
    """How far a least-squares line over log2(sigma) falls from the first of SIGMAS to the last, one factor per clip."""
    xs = [log2(sigma) for sigma in SIGMAS]
    mean, span = sum(xs) / len(xs), max(xs) - min(xs)
    scale = sum((x - mean) ** 2 for x in xs)
    return tuple(
        Arm(span * (mean - x) / scale, method, (f"sigma={sigma}", "granularity=clip", "lambda=0.1"))
        for x, sigma in zip(xs, SIGMAS, strict=True)
    )


DISTILLED = "coherence beats motion as the distilled part"
SIGMAS = (0.025, 0.05, 0.1, 0.2, 0.5, 1.0)
BEST_IN_CLOTHES, BEST_IN_GAIT = (tuple(f"cues:{share}{world}" for world in ("", "-hard")) for share in (0, 100))

CLAIMS = (
    Claim(
        "AFA helps mean", "table4", _difference("mean+afa", "mean"), PAPER, ("table4", "ResNet-50 + AFA", "ResNet-50")
    ),
    Claim("AFA helps qan", "table4", _difference("qan+afa", "qan"), PAPER, ("table4", "QAN* + AFA", "QAN*")),
    Claim(
        "classification of augmented frames helps",
        "table4",
        _difference("mean+afa", "mean", ("lambda=0.0",), ("classification=none",)),
        PAPER,
        ("table4", "L_tri + L_cls", "L_tri only"),
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
        Claim(f"{DISTILLED}, one factor per {unit}", "distill", _distilled(unit), HYPOTHESIS)
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
        "mean beats cnn3d where people differ in clothes",
        "cues",
        _difference("mean", "cnn3d"),
        HYPOTHESIS,
        needs=("controls",),
        worlds=BEST_IN_CLOTHES,
    ),
    Claim(
        "cnn3d beats mean where people differ in gait",
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
        "classification by consensus beats pooled",
        "factors",
        _difference("mean+afa", "mean", ("sigma=0.0", "lambda=0.0")),
    ),
    Claim(
        "the augmentation itself helps, apart from the loss",
        "factors",
        _difference("mean+afa", "mean+afa", (), ("sigma=0.0",)),
    ),
    Claim(
        "noise and constraint add to classification by consensus",
        "factors",
        _difference("mean+afa", "mean+afa", (), ("sigma=0.0", "lambda=0.0")),
    ),
    # With one factor per batch both are one method, and delta and 1 / delta alone differ: what the claims of the hypothesis find
    # beyond that is about coherence and motion.
    Claim(f"{DISTILLED}, one factor per batch", "distill", _distilled("batch")),
    *(
        Claim(
            f"distilled, coherence leads motion by more per {unit} than per batch",
            "distill",
            (*_distilled(unit), *(replace(arm, weight=-arm.weight) for arm in _distilled("batch"))),
        )
        for unit in ("clip", "frame")
    ),
    *(
        Claim(
            f"accuracy falls with sigma, {SIGMAS[0]} to {SIGMAS[-1]:g}, {part} distilled", "distill", _decline(method)
        )
        for part, method in (("motion", "mean+afa-motion"), ("coherence", "mean+afa"))
    ),
)


def all_claims() -> list[Claim]:
    """The claims of the project, and those of the plug-ins that are loaded.

    Raises:
        UserError: a plug-in's claim lacks a side, or names an unknown method, setting or metric.
    """
    return [*CLAIMS, *_claims_of_plugins()]


def _claims_of_plugins() -> Iterator[Claim]:
    for name, entry in COMPARISONS.entries.items():
        kind: type[Comparison] = COMPARISONS.get(name)
        where = f"{entry.file}, claim {name!r}"
        if kind.metric not in METRICS:
            raise UserError(f"{where}: metric is {' or '.join(METRICS)}, not {kind.metric!r}")
        better, worse = (_side(getattr(kind, side), f"{where}: {side}") for side in ("better", "worse"))
        text = entry.summary.rstrip(".") or name
        shown = text if kind.metric == METRIC else f"{text} ({kind.metric})"
        arms = _difference(better[0], worse[0], better[1], worse[1])
        yield Claim(shown, "", arms, PLUG_IN, transfer=kind.transfer, metric=kind.metric)


def _side(text: str, where: str) -> tuple[str, list[str]]:
    """The method and the changes of a side, checked."""
    method, *changes = text.split() or [""]
    if not method:
        raise UserError(f"{where}: name a method, such as 'mean' or 'mean test_frames=1'")
    try:
        check_method(method)
        resolve("paper", method, changes)
    except UserError as error:
        raise UserError(f"{where}: {error}") from error
    return method, changes


def points(claims: Iterable[Claim]) -> str:
    """The unit of the effects of claims."""
    return f"points of {' or '.join(dict.fromkeys(claim.metric for claim in claims)) or METRIC}"


def claims_about(trained_on: str, tested_on: str) -> list[Claim]:
    """The claims about a pair of data sets, whether they were run or not."""
    fitting = [each for each in all_claims() if each.transfer == (trained_on != tested_on)]
    if registered_name(tested_on) == "cues":
        fitting = [each for each in fitting if all(arm.method in ON_THE_DIAL and not arm.changes for arm in each.arms)]
    of_world = {each.family for each in fitting if tested_on in each.worlds}
    return [each for each in fitting if tested_on in each.worlds or (not each.worlds and each.family not in of_world)]


def family_size(family: str, trained_on: str, tested_on: str) -> int:
    """How many claims Holm's correction covers: 1 for those that are not corrected."""
    return 1 if family in UNCORRECTED else sum(each.family == family for each in claims_about(trained_on, tested_on))
