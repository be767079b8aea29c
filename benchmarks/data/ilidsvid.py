"""iLIDS-VID (Wang et al., ECCV 2014), by the ten splits that its archive holds."""

from pathlib import Path
from typing import ClassVar

import pandas as pd

from baselines.errors import UserError
from baselines.registry import register
from benchmarks.data.dataset import Dataset, matlab, require, subfolders, two_cameras

CAMERAS = ("i-LIDS-VID/sequences/cam1", "i-LIDS-VID/sequences/cam2")
SPLITS = "train-test people splits/train_test_splits_ilidsvid.mat"


@register("ilidsvid")
class ILidsVid(Dataset):
    """300 people in an airport hall, one tracklet in each of 2 cameras, 10 splits of 150/150."""

    protocols = ("standard",)
    splits = 10
    recipe = "ilidsvid"
    folder = "iLIDS-VID"
    tables = (SPLITS,)
    layout = f"{CAMERAS[0]}/, {CAMERAS[1]}/ and '{SPLITS}'"
    source = "the authors' project page at Queen Mary University of London"
    published: ClassVar[dict[str, dict[str, int]]] = {
        "train": {"identities": 150, "tracklets": 300, "cameras": 2},
        "query": {"identities": 150, "tracklets": 150, "cameras": 1},
        "gallery": {"identities": 150, "tracklets": 150, "cameras": 1},
    }

    def read(self, root: Path, split: int) -> pd.DataFrame:
        require(root, [*CAMERAS, SPLITS], self)
        persons = subfolders(root / CAMERAS[0])
        places = matlab(root / SPLITS, "ls_set")[split].tolist()
        if sorted(places) != list(range(1, len(persons) + 1)):
            raise UserError(
                f"{root / SPLITS}: a split orders {len(places)} persons, {root / CAMERAS[0]} holds {len(persons)}; "
                "unpack the whole archive"
            )
        order = [persons[place - 1] for place in places]
        half = len(order) // 2  # the first half is for TEST: the archive's readme says so
        return two_cameras(self, root, CAMERAS, train=order[half:], test=order[:half])
