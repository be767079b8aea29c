"""The published systems of Tables 2 and 3 of the paper: the method that each is here, or why it is not built.

docs/systems.md says which source each of them follows and which choices were made.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from baselines.interface.registry import register

from .suite import Row, Suite


@dataclass(frozen=True)
class System:
    """A published system.

    Attributes:
        label: its name in the paper's tables.
        baseline: what it is here.
        changes: settings that it needs without AFA besides those of the recipe, as "key=value".
        note: what to know before its figures are compared with the published ones. It begins with "after" where the sources
            are so thin that the baseline is not the system itself.
        recipe: of its own trainer; empty where there is none.
    """

    label: str
    baseline: str
    changes: tuple[str, ...] = ()
    note: str = ""
    recipe: str = ""

    @property
    def is_after(self) -> bool:
        """Whether it is not the system itself."""
        return self.note.startswith("after")

    @property
    def name(self) -> str:
        """The label, with "after" where it is not the system itself."""
        return f"after {self.label}" if self.is_after else self.label

    @property
    def rows(self) -> tuple[Row, Row]:
        """The system as it was published, and with AFA, whose frame loss replaces a classification of the system's own."""
        kept = tuple(each for each in self.changes if not each.startswith("classification="))
        plain = Row(self.label, self.baseline, self.changes)
        return plain, Row(f"{self.label} + AFA", f"{self.baseline}+afa", kept)

    @property
    def own_rows(self) -> tuple[Row, ...]:
        """The system by its own trainer, if it is here."""
        return (Row(f"{self.label}, own trainer", self.baseline, recipe=self.recipe),) if self.recipe else ()


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
        "published on MARS for one random pair of tracklets a person, which is not MARS's protocol; its code reads flow too",
        "astpn",
    ),
    System(
        "RQEN",
        "rqen",
        ("classification=frames",),
        "on MARS the paper prints QAN's figures; RQEN's own are 77.8 R1 and 71.1 mAP",
        "qan",
    ),
    System(
        "DRSTA",
        "drsta",
        (),
        "after: its attention over time was not released; published after a training on images of people",
    ),
    System(
        "CSSA+CASE",
        "case",
        ("classification=frames",),
        "published with optical flow, which `case` does not read; its code may swap the halves of iLIDS-VID",
        "case",
    ),
    System("STA", "sta", (), "has no official code; another table gives it 86.2 R1 and 81.2 mAP on MARS"),
    System(
        "ADFDTA",
        "adfdta",
        (),
        "after: from notes; learns the data set's own attributes, without which it cannot run; published with those of RAP",
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
        "AMOC+ EpicFlow", "amoc", (), "after: optical flow by DIS replaces the motion network and its target, EpicFlow"
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
    ),
    System(
        "GLTR",
        "gltr",
        (),
        "published with cross-entropy alone and whole tracklets at test, on MARS by the protocol `official`",
        "gltr",
    ),
)
SYSTEMS = AGGREGATION + TEMPORAL
# Beside them: the baselines of the paper's Table 4, and later systems.
BASELINES = (System("ResNet-50", "mean"), System("QAN*", "qan"))
LATER = (
    System("NVAN", "nvan", (), "its code keeps the best epoch on the test set", "nvan"),
    System(
        "STE-NVAN",
        "ste-nvan",
        (),
        "published with frames from all over the tracklet; its code keeps the best epoch on the test set",
        "nvan",
    ),
    System("AP3D", "ap3d", (), "published with the maximum over the image", "ap3d"),
    System("BiCnet-TKS", "bicnet", (), "its code keeps the best epoch on the test set", "tks"),
    System("PSTA", "psta", (), "after: one of its three heads; its code keeps the best epoch on the test set", "psta"),
    System("SINet", "sinet", (), "published with a contrastive loss too", "sinet"),
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

# Headings of a table: the paper's two groups, in each its order, and itself.
GROUPS = {
    "aggregation of frames": (*(system.label for system in AGGREGATION), "SDM", "STAL"),
    "temporal feature learning": (*(system.label for system in TEMPORAL), "DVR", "DSAN", "VRSTC"),
    "the paper": ("AFA",),
}
AFTER = frozenset(row.label for system in ALL if system.is_after for row in (*system.rows, *system.own_rows))


def rows(systems: Sequence[System], own_trainers: bool) -> list[Row]:
    """Each system, followed by the system with AFA and, if asked for, by its own trainer where that is here."""
    return [row for system in systems for row in (*system.rows, *(system.own_rows if own_trainers else ()))]


def notes(systems: Sequence[System]) -> tuple[str, ...]:
    """The systems' notes, as they stand below a table."""
    return tuple(f"{system.label}: {system.note}" for system in systems if system.note)


# How the figures of systems that are not built were published; below Table 2.
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

    def rows(self, dataset: str) -> Sequence[Row]:
        return rows(ALL, own_trainers=dataset in self.datasets)
