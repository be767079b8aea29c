"""DukeMTMC-VideoReID (Wu et al., CVPR 2018). Withdrawn by its authors in 2019: read from a folder, never downloaded."""

import re
from pathlib import Path, PurePosixPath
from typing import ClassVar

import pandas as pd

from baselines.interface.registry import register
from benchmarks.data.dataset import Dataset, Fault, make_table_or_raise, missing_parts, numbered_frames, subfolders
from benchmarks.data.table import SUBSETS

# The camera, and the frame's number within the tracklet. X is its number in the camera's whole video, in larger steps.
NAME = re.compile(r"\d+_?C(?P<camera>\d+)_?F(?P<frame>\d+)_?X\d+\.\w+")


@register("dukev")
class DukeV(Dataset):
    """1,404 people and 408 distractors in 8 cameras, 5,534 long tracklets in hand-drawn boxes."""

    protocols = ("standard", "full")
    recipe = "dukev"
    folder = "DukeMTMC-VideoReID"
    layout = "train/, query/ and gallery/, each <pid>/<tracklet>/<frame>.jpg"
    frame_name = NAME
    frame_example = "0001_C6_F0099_X30823.jpg, or 0001C6F0099X30823.jpg as in older copies"
    source = "withdrawn by its authors in 2019 and never downloaded here; you must have the folder already"
    test_identities, distractors = 1110, 408
    # The paper's Table 1 has 4,832 sequences: 2,196 and 2,636, without the query folder.
    published: ClassVar[dict[str, dict[str, int]]] = {
        "train": {"identities": 702, "tracklets": 2196, "cameras": 8, "frames": 369_656},
        "query": {"identities": 702, "tracklets": 702, "cameras": 8},
        "gallery": {"identities": 1110, "tracklets": 2636, "cameras": 8, "frames": 445_764},
    }

    def read(self, root: Path, split: int) -> pd.DataFrame:  # noqa: ARG002 - one split
        faults: list[Fault] = missing_parts(root, SUBSETS, self)
        rows = []
        for subset in (part for part in SUBSETS if (root / part).is_dir()):
            for person in subfolders(root / subset, "persons", faults):
                folder = root / subset / person
                if not person.isdigit():
                    faults.append((folder, f"not a person's number; the root must hold {self.layout}"))
                    continue
                for tracklet in subfolders(folder, "tracklets", faults):
                    frames = numbered_frames(folder / tracklet, self, faults)
                    cameras = {int(match["camera"]) for match in map(NAME.fullmatch, frames) if match}
                    if len(cameras) > 1:
                        problem = f"a tracklet must hold frames of one camera, this one holds {sorted(cameras)}"
                        faults.append((folder / tracklet, problem))
                    elif cameras:
                        paths = [f"{subset}/{person}/{tracklet}/{frame}" for frame in frames]
                        rows.append((subset, int(person), cameras.pop(), f"{person}/{tracklet}", paths))
        return make_table_or_raise(rows, faults)

    def notes(self, table: pd.DataFrame) -> list[str]:
        """How many queries are also in the gallery folder. It decides how `standard` and `full` differ."""
        queries = _contents(table[table.subset == "query"])
        shared = len(queries & _contents(table[table.subset == "gallery"]))
        return [
            f"the gallery folder already holds {shared:,} of the {len(queries):,} queries (same person, camera, frames)"
        ]


def _contents(part: pd.DataFrame) -> set[tuple[int, int, tuple[str, ...]]]:
    return {
        (row.pid, row.camid, tuple(PurePosixPath(frame).name for frame in row.frames))
        for row in part.itertuples(index=False)
    }
