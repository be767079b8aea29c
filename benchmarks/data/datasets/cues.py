"""`cues`: drawn people of whom a known share can be told apart by gait alone, and the others by clothes alone.

Two of these worlds differ only in the share and in the conditions of the frames: the cameras, the tracklets, their lengths and
the random numbers of every frame are the same.
"""

import re
from dataclasses import dataclass, replace
from typing import Self

from baselines.interface.errors import UserError
from baselines.interface.registry import register
from benchmarks.data import puppets
from benchmarks.data.puppets import Floats, Look

from .walkers import LABORATORY, Nuisance, Walkers, gait, outfit

SHARES = (0, 25, 50, 75, 100)
HARD = Nuisance(passers=0.4, backwards=0.4, turn=0.25, box=(0.03, 0.035), jitter=0.004, zoom=0.06)


@register("cues")
@dataclass(frozen=True)
class Cues(Walkers):
    """Drawn people, a share of whom differ only in gait and the others only in clothes; `cues` is `cues:50`.

    The share is one of persons, in training as in test. A person of gait wears what all of these wear and keeps one gait; a
    person of clothes keeps one look and changes gait in every tracklet. So a perfect model of appearance finds 1 - share of the
    people, a perfect model of gait the share, and a model of both finds everyone. At 0 the people are as in
    `walkers-appearance`, at 100 as in `walkers-gait`. Whoever is of gait at one share is so at every larger one.

    Longer names:
        cues:SHARE[-hard]: the share of people who differ only in gait, in percent: cues:0, cues:25, ... cues:100;
            cues:25-hard with passers-by, bad boxes and other directions of walking

    Attributes:
        share: of SHARES, in percent.
        hard: whether nuisance is HARD, and not that of the laboratory.
    """

    kind: str = "cues"
    size: str = "cues"
    share: int = 50
    hard: bool = False

    @classmethod
    def from_name(cls, name: str) -> Self:
        """The data set of a name `cues[@WORLD][:SHARE[-hard][-SIZE]]`, with SIZE as for `walkers`.

        Raises:
            UserError: no such share, size or world.
        """
        start, colon, end = name.partition(":")
        parts = re.fullmatch(r"(\d+)(-hard)?(?:-(.+))?", end if colon else str(cls.share))
        if parts is None or int(parts[1]) not in SHARES:
            raise UserError(f"no share in {name!r}; shares are {', '.join(map(str, SHARES))}: cues:25, cues:25-hard")
        usual = super().from_name(f"{start}:{parts[3] or cls.size}")
        return replace(usual, share=int(parts[1]), hard=bool(parts[2]))

    @property
    def parameters(self) -> list[str]:
        return [str(self.share), *(["hard"] if self.hard else []), *super().parameters]

    @property
    def laboratory(self) -> bool:
        return True

    @property
    def nuisance(self) -> Nuisance:
        return HARD if self.hard else LABORATORY

    def is_of_gait(self, pid: int) -> bool:
        """Whether only gait tells this person apart; if not, only clothes do. Distractors are people of clothes."""
        return pid > 0 and self.position(pid)[1] % 4 < self.share // 25

    def frequencies(self, pid: int, tracklet: str) -> Floats:
        return gait(self.world, pid if self.is_of_gait(pid) else tracklet)

    def look(self, pid: int, tracklet: str) -> Look:
        if self.is_of_gait(pid):
            return puppets.UNIFORM
        return outfit(self.world, pid if pid > 0 else tracklet)
