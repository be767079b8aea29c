"""The published systems of Tables 2 and 3 of the paper: which method implements each, or why it is not built.

docs/systems.md says which source each of them follows and which choices were made.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from baselines.interface.registry import register

from . import SYSTEMS_REPETITIONS
from .suite import Row, Suite


@dataclass(frozen=True)
class System:
    """A published system.

    Attributes:
        label: its name in the paper's tables.
        baseline: the baseline that implements it.
        changes: settings that it needs without AFA besides those of the recipe, as "key=value".
        note: what to know before its results are compared with the published ones. It begins with "after" if the sources are
            not detailed enough for the baseline to be the system itself.
        recipe: of its own trainer; empty if there is none.
        protocol, feature: those with which its published code tests; None: those of the table's other rows.
    """

    label: str
    baseline: str
    changes: tuple[str, ...] = ()
    note: str = ""
    recipe: str = ""
    protocol: str | None = None
    feature: str | None = None

    @property
    def is_after(self) -> bool:
        """Whether it is not the system itself."""
        return self.note.startswith("after")

    @property
    def name(self) -> str:
        """The label, with "after" in front if it is not the system itself."""
        return f"after {self.label}" if self.is_after else self.label

    @property
    def rows(self) -> tuple[Row, Row]:
        """The system as it was published, and with AFA, whose frame loss replaces the system's own classification."""
        kept = tuple(each for each in self.changes if not each.startswith("classification="))
        plain = Row(self.label, self.baseline, self.changes, reproduces=False)
        return plain, Row(f"{self.label} + AFA", f"{self.baseline}+afa", kept, reproduces=False)

    @property
    def own_rows(self) -> tuple[Row, ...]:
        """The system with its own trainer, if that trainer has a recipe."""
        row = Row(
            f"{self.label}, own trainer",
            self.baseline,
            self.changes,
            self.recipe,
            protocol=self.protocol,
            feature=self.feature,
            published_as=self.label,
        )
        return (row,) if self.recipe else ()


# The two groups of Table 2: "aggregation based" and "temporal feature learning" (section 4.2), each in the paper's order.
AGGREGATION = (
    System(
        "CNN+XQDA",
        "max",
        ("metric=xqda",),
        "published with a network that was trained on single images, on MARS by the protocol `official`",
    ),
    System(
        "QAN",
        "qan-grid",
        ("classification=frames",),
        "its code draws one random split of iLIDS-VID; its MARS figures are not from its paper, but probably a re-run of RQEN's",
        "qan",
    ),
    System(
        "ASTPN",
        "astpn",
        (),
        "published on random halves of iLIDS-VID and on one random pair of tracklets per person of MARS; its code reads flow too",
        "astpn",
    ),
    System(
        "RQEN",
        "rqen",
        ("classification=frames",),
        "on MARS the paper prints QAN's figures; RQEN's own are 77.8 R1 and 71.1 mAP; its protocol is not known",
        "qan",
    ),
    System(
        "DRSTA",
        "drsta",
        (),
        "after: its attention over time was not released; published after a training on images of people, by a protocol that is "
        "not known",
    ),
    System(
        "CSSA+CASE",
        "case",
        ("classification=frames",),
        "published with optical flow, which `case` does not read; its code may swap the halves of iLIDS-VID; its protocol on "
        "MARS is not known",
        "case",
    ),
    System(
        "STA",
        "sta",
        (),
        "has no official code, and its protocol is not known; another table gives it 86.2 R1 and 81.2 mAP on MARS",
    ),
    System(
        "ADFDTA",
        "adfdta",
        (),
        "after: from notes; learns the data set's own attributes, without which it cannot run; published with those of RAP, by a "
        "protocol that is not known",
        "adfdta",
    ),
)
TEMPORAL = (
    System(
        "CNN+RNN",
        "cnn-rnn",
        (),
        "published on random halves of iLIDS-VID; its MARS figures are from other authors",
        "cnn-rnn",
    ),
    System(
        "AMOC+ EpicFlow",
        "amoc",
        (),
        "after: optical flow by DIS replaces the motion network and its target, EpicFlow; published on ten random splits",
    ),
    System(
        "TAM+SRM",
        "tam-srm",
        (),
        "after: from notes; the trainer's losses see SRM's map beside the TAM vector; its protocol on MARS is not known",
    ),
    System(
        "TRL",
        "trl",
        (),
        "after: from the abstract; the preprint gives 79.3 R1 on MARS, by a protocol that is not known",
    ),
    System(
        "COSAM",
        "cosam",
        (),
        "published with SE-ResNet-50, on MARS by the protocol `standard`; another variant has 77.8 R1 on iLIDS-VID",
        "cosam",
        "standard",
    ),
    System(
        "GLTR",
        "gltr",
        (),
        "published with cross-entropy alone and whole tracklets at test, on MARS by the protocol `official`, on "
        "DukeMTMC-VideoReID with 702 queries in a gallery of 2,636",
        "gltr",
        "official",
    ),
)
SYSTEMS = AGGREGATION + TEMPORAL
# Besides these: the baselines of the paper's Table 4, and later systems.
BASELINES = (System("ResNet-50", "mean"), System("QAN*", "qan"))
LATER = (
    System(
        "NVAN",
        "nvan",
        (),
        "published by the protocol `official`, with rankings cut at 10,000; its code keeps the best epoch on the test set",
        "nvan",
        "official",
        "after",
    ),
    System(
        "STE-NVAN",
        "ste-nvan",
        (),
        "as NVAN, with frames from all over the tracklet",
        "nvan",
        "official",
        "after",
    ),
    System(
        "AP3D", "ap3d", (), "published by the protocol `full`, with the maximum over the image", "ap3d", "full", "after"
    ),
    System(
        "BiCnet-TKS",
        "bicnet",
        (),
        "published by the protocol `full`; its code keeps the best epoch on the test set",
        "tks",
        "full",
        "after",
    ),
    System(
        "PSTA",
        "psta",
        (),
        "one of its three heads; published by the protocol `full`, on one clip of 8 frames; its code keeps the best epoch on "
        "the test set",
        "psta",
        "full",
        "after",
    ),
    System(
        "SINet", "sinet", (), "published by the protocol `full`, with a contrastive loss too", "sinet", "full", "after"
    ),
)
ALL = BASELINES + SYSTEMS + LATER

# By the label in the paper's tables; docs/systems.md says what each would take.
NOT_BUILT = {
    "SDM": "reinforcement learning on pairs",
    "STAL": "no source found",
    "DVR": "hand-made features",
    "DSAN": "no source but its abstract",
    "VRSTC": "generates frames",
}

# Headings of a table: the paper's two groups, each in the paper's order, and the paper itself.
GROUPS = {
    "aggregation of frames": (*(system.label for system in AGGREGATION), "SDM", "STAL"),
    "temporal feature learning": (*(system.label for system in TEMPORAL), "DVR", "DSAN", "VRSTC"),
    "the paper": ("AFA",),
}
AFTER = frozenset(row.label for system in ALL if system.is_after for row in (*system.rows, *system.own_rows))


def rows(systems: Sequence[System], own_trainers: bool) -> list[Row]:
    """Each system without AFA, with AFA and, if `own_trainers`, with its own trainer where that has a recipe."""
    return [row for system in systems for row in (*system.rows, *(system.own_rows if own_trainers else ()))]


def notes(systems: Sequence[System]) -> tuple[str, ...]:
    """What AFA changes in the rows, and the systems' notes, as they stand below a table."""
    by_frame = [system.label for system in systems if "classification=frames" in system.changes]
    how = "+ AFA: noise, the coherence constraint, and classification by consensus instead of classification of the pooled vector"
    how += f" (in {', '.join(by_frame)}: of each frame)" * bool(by_frame)
    return how, *(f"{system.label}: {system.note}" for system in systems if system.note)


# Notes below Table 2 on the systems that are not built: how their results were published.
NOTES_OF_NOT_BUILT = (
    "SDM: published for both directions, averaged, on random splits; no mAP",
    "DVR: figures of the journal version; the conference paper has 28.9 R1 on iLIDS-VID",
    "DSAN, VRSTC: their protocol on MARS is not known",
)


@register("systems")
class Systems(Suite):
    """The published systems, the paper's and later ones, each with and without AFA; `bench figure systems` draws it."""

    groups: ClassVar = {
        "baselines of Table 4": tuple(system.label for system in BASELINES),
        **{name: labels for name, labels in GROUPS.items() if labels != ("AFA",)},
        "later systems": tuple(system.label for system in LATER),
    }
    after = AFTER
    notes = notes(ALL)
    repetitions = SYSTEMS_REPETITIONS

    def rows(self, dataset: str) -> Sequence[Row]:
        return rows(ALL, own_trainers=dataset in self.datasets)
