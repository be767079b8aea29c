"""iLIDS-VID (Wang et al., ECCV 2014), by the ten splits that its archive holds."""

import re
from pathlib import Path
from typing import ClassVar

from baselines.interface.errors import UserError
from baselines.interface.registry import register
from benchmarks.data.dataset import Fault, TwoCameras, halves, matlab, sound, subfolders

CAMERAS = ("i-LIDS-VID/sequences/cam1", "i-LIDS-VID/sequences/cam2")
SPLITS = "train-test people splits/train_test_splits_ilidsvid.mat"


@register("ilidsvid")
class ILidsVid(TwoCameras):
    """300 people in an airport hall, one tracklet in each of 2 cameras, 10 splits of 150/150."""

    recipe = "ilidsvid"
    folder = "iLIDS-VID"
    cameras = CAMERAS
    tables = (SPLITS,)
    layout = f"{CAMERAS[0]}/, {CAMERAS[1]}/ and '{SPLITS}'"
    source = "the authors' project page at Queen Mary University of London"
    frame_name = re.compile(r"cam\d_person\d+_(?P<frame>\d+)\.\w+")  # numbers of the whole video: any may be the first
    frame_example = "cam1_person001_00317.png"
    test_identities = 150
    published: ClassVar[dict[str, dict[str, int]]] = halves(150)

    def persons(self, root: Path, split: int) -> tuple[list[str], list[str]]:
        # Those of both cameras, for a folder that one of them lacks must not shift the places of the others.
        faults: list[Fault] = []
        persons = sorted({person for camera in CAMERAS for person in subfolders(root / camera, "persons", faults)})
        sound([], faults)
        places = matlab(root / SPLITS, "ls_set")[split : split + 1].ravel().tolist()
        if sorted(places) != list(range(1, len(persons) + 1)):
            raise UserError(
                f"{root / SPLITS}: split {split} orders {len(places)} persons, but {root / CAMERAS[0]} and cam2 "
                f"hold {len(persons)}; unpack the whole archive"
            )
        order = [persons[place - 1] for place in places]
        half = len(order) // 2  # the first half is for TEST: the archive's readme says so
        return order[half:], order[:half]
