"""DukeMTMC-VideoReID (Wu et al., CVPR 2018). Withdrawn by its authors in 2019: read from a folder, never fetched."""

import re
from pathlib import Path, PurePosixPath
from typing import ClassVar

import pandas as pd

from baselines.errors import UserError
from baselines.registry import register
from benchmarks.data.dataset import Dataset, images, require, subfolders
from benchmarks.data.table import SUBSETS, make_table

# 0001_C6_F0099_X30823.jpg, and the older 0001C6F0099X30823.jpg: the camera, and the frame's number within the tracklet
NAME = re.compile(r"\d+_?C(\d+)_?F(\d+)_?X\d+\.\w+")


@register("dukev")
class DukeV(Dataset):
    """1,404 people and 408 distractors in 8 cameras, 5,534 long tracklets in boxes drawn by hand."""

    protocols = ("standard", "full")
    recipe = "dukev"
    folder = "DukeMTMC-VideoReID"
    layout = "train/, query/ and gallery/, each <pid>/<tracklet>/<frame>.jpg"
    source = "withdrawn by its authors in 2019 and never downloaded here; the folder must be yours already"
    # The paper's Table 1 has 4,832 sequences: 2,196 and 2,636, without the query folder.
    published: ClassVar[dict[str, dict[str, int]]] = {
        "train": {"identities": 702, "tracklets": 2196, "cameras": 8, "frames": 369_656},
        "query": {"identities": 702, "tracklets": 702, "cameras": 8},
        "gallery": {"identities": 1110, "tracklets": 2636, "cameras": 8, "frames": 445_764},
    }

    def read(self, root: Path, split: int) -> pd.DataFrame:  # noqa: ARG002 - one split
        require(root, SUBSETS, self)
        rows = []
        for subset in SUBSETS:
            for person in subfolders(root / subset):
                if not person.isdigit():
                    raise UserError(
                        f"{root / subset / person}: not a person's number; the root must hold {self.layout}"
                    )
                for tracklet in subfolders(root / subset / person):
                    folder = f"{subset}/{person}/{tracklet}"
                    camid, frames = _frames(root / folder)
                    paths = [f"{folder}/{frame}" for frame in frames]
                    rows.append((subset, int(person), camid, f"{person}/{tracklet}", paths))
        return make_table(rows)

    def notes(self, table: pd.DataFrame) -> list[str]:
        """How many queries the gallery folder already holds, which decides what `standard` and `full` differ in."""
        queries = _contents(table[table.subset == "query"])
        held = len(queries & _contents(table[table.subset == "gallery"]))
        return [
            f"the gallery folder already holds {held:,} of the {len(queries):,} queries (same person, camera, frames)"
        ]


def _frames(folder: Path) -> tuple[int, list[str]]:
    """The camera and the frame names, in the order of time, of one tracklet's folder."""
    numbered, cameras = [], set()
    for name in images(folder):
        match = NAME.fullmatch(name)
        if match is None:
            raise UserError(f"{folder / name}: not named as 0001_C6_F0099_X30823.jpg or 0001C6F0099X30823.jpg")
        cameras.add(int(match[1]))
        numbered.append((int(match[2]), name))
    if len(cameras) != 1:
        raise UserError(f"{folder}: a tracklet must hold frames of one camera, this one holds {sorted(cameras)}")
    return cameras.pop(), [name for _, name in sorted(numbered)]


def _contents(part: pd.DataFrame) -> set[tuple[int, int, tuple[str, ...]]]:
    return {
        (row.pid, row.camid, tuple(PurePosixPath(frame).name for frame in row.frames))
        for row in part.itertuples(index=False)
    }
