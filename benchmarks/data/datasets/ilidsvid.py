"""iLIDS-VID (Wang et al., ECCV 2014), with the ten splits of its archive."""

import re
from pathlib import Path
from typing import ClassVar

from baselines.interface.errors import UserError
from baselines.interface.registry import register
from benchmarks.data.dataset import (
    Fault,
    TwoCameraDataset,
    make_table_or_raise,
    subfolders,
    two_camera_counts,
)
from benchmarks.data.matlab import read_matlab

CAMERAS = ("i-LIDS-VID/sequences/cam1", "i-LIDS-VID/sequences/cam2")
SPLITS = "train-test people splits/train_test_splits_ilidsvid.mat"


@register("ilidsvid")
class ILidsVid(TwoCameraDataset):
    """300 people in an airport hall, one tracklet in each of 2 cameras, 10 splits of 150/150."""

    recipe = "ilidsvid"
    folder = "iLIDS-VID"
    cameras = CAMERAS
    tables = (SPLITS,)
    layout = f"{CAMERAS[0]}/, {CAMERAS[1]}/ and '{SPLITS}'"
    source = "the authors' project page at Queen Mary University of London"
    frame_name = re.compile(r"cam\d_person\d+_(?P<frame>\d+)\.\w+")  # numbers of the whole video, from any start
    frame_example = "cam1_person001_00317.png"
    test_identities = 150
    published: ClassVar[dict[str, dict[str, int]]] = two_camera_counts(150)

    def persons(self, root: Path, split: int) -> tuple[list[str], list[str]]:
        # Those of both cameras: a folder that is missing in one must not shift the positions of the others.
        faults: list[Fault] = []
        persons = sorted({person for camera in CAMERAS for person in subfolders(root / camera, "persons", faults)})
        make_table_or_raise([], faults)
        positions = read_matlab(root / SPLITS, "ls_set")[split : split + 1].ravel().tolist()
        if sorted(positions) != list(range(1, len(persons) + 1)):
            raise UserError(
                f"{root / SPLITS}: split {split} orders {len(positions)} persons, but {root / CAMERAS[0]} and cam2 "
                f"hold {len(persons)}; unpack the whole archive"
            )
        order = [persons[position - 1] for position in positions]
        half = len(order) // 2  # the first half is for TEST, according to the archive's readme
        return order[half:], order[:half]
