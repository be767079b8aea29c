"""Fig. 3 of the paper: the two parameters of AFA. The paper prints no values; ours include those of section 3.3."""

from collections.abc import Sequence

from baselines.interface.registry import register

from .suite import Row, Suite

INVERSE_SIGMAS = (2, 5, 10, 20, 40, 80)
LAMBDAS = (0.0, 0.01, 0.03, 0.1, 0.3, 1.0)


@register("fig3a")
class Fig3a(Suite):
    """The noise: several values of 1 / sigma, and no noise; on the motion (+afa) and on the coherence (+afa-motion)."""

    def rows(self, dataset: str) -> Sequence[Row]:  # noqa: ARG002
        sigmas = {"no noise": 0.0, **{f"1/sigma {inverse}": 1 / inverse for inverse in INVERSE_SIGMAS}}
        return [
            Row(f"{part}, {name}", method, (f"sigma={sigma}",))
            for part, method in (("coherence", "mean+afa"), ("motion", "mean+afa-motion"))
            for name, sigma in sigmas.items()
        ]


@register("fig3b")
class Fig3b(Suite):
    """The weight of the coherence constraint, lambda."""

    def rows(self, dataset: str) -> Sequence[Row]:  # noqa: ARG002
        return [Row(f"lambda {value:g}", "mean+afa", (f"lambda={value}",)) for value in LAMBDAS]
