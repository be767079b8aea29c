"""PRID-2011, multi-shot (Hirzer et al., SCIA 2011), with the usual ten splits of 178 people."""

import re
from pathlib import Path
from typing import ClassVar

from baselines.interface.errors import UserError
from baselines.interface.registry import register
from benchmarks.data import read_json
from benchmarks.data.dataset import TwoCameraDataset, two_camera_counts

CAMERAS = ("prid_2011/multi_shot/cam_a", "prid_2011/multi_shot/cam_b")
SPLITS = "splits_prid2011.json"


@register("prid2011")
class Prid2011(TwoCameraDataset):
    """178 people on a street, one tracklet in each of 2 cameras, 10 splits of 89/89."""

    recipe = "prid2011"
    folder = "prid2011"
    cameras = CAMERAS
    tables = (SPLITS,)
    layout = f"{CAMERAS[0]}/, {CAMERAS[1]}/ and {SPLITS} (a list of {{train, test}}, each a list of person folders)"
    source = "the images from TU Graz, the splits from public re-identification code bases"
    frame_name = re.compile(r"(?P<frame>\d+)\.\w+")
    frame_example = "0001.png"
    test_identities = 89
    published: ClassVar[dict[str, dict[str, int]]] = two_camera_counts(89)

    def persons(self, root: Path, split: int) -> tuple[list[str], list[str]]:
        try:
            names = read_json(root / SPLITS)[split]
            train, test = list(names["train"]), list(names["test"])
        except (ValueError, LookupError, TypeError) as error:
            raise UserError(f"{root / SPLITS}: split {split} is not {{train, test}} ({error!r})") from error
        for name in (*train, *test):
            if not isinstance(name, str) or not re.fullmatch("person_[0-9]+", name):
                raise UserError(f"{root / SPLITS}: split {split} lists {name!r:.40}, not a person such as person_0001")
        return train, test
