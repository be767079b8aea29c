"""PRID-2011, multi-shot (Hirzer et al., SCIA 2011), with the ten splits of 178 people that the field uses."""

import json
from pathlib import Path
from typing import ClassVar

import pandas as pd

from baselines.errors import UserError
from baselines.registry import register
from benchmarks.data.dataset import Dataset, require, two_cameras

CAMERAS = ("prid_2011/multi_shot/cam_a", "prid_2011/multi_shot/cam_b")
SPLITS = "splits_prid2011.json"


@register("prid2011")
class Prid2011(Dataset):
    """178 people on a street, one tracklet in each of 2 cameras, 10 splits of 89/89."""

    protocols = ("standard",)
    splits = 10
    recipe = "prid2011"
    folder = "prid2011"
    tables = (SPLITS,)
    layout = f"{CAMERAS[0]}/, {CAMERAS[1]}/ and {SPLITS} (a list of {{train, test}}, each a list of person folders)"
    source = "the images from TU Graz, the splits from public re-identification code bases"
    published: ClassVar[dict[str, dict[str, int]]] = {
        "train": {"identities": 89, "tracklets": 178, "cameras": 2},
        "query": {"identities": 89, "tracklets": 89, "cameras": 1},
        "gallery": {"identities": 89, "tracklets": 89, "cameras": 1},
    }

    def read(self, root: Path, split: int) -> pd.DataFrame:
        require(root, [*CAMERAS, SPLITS], self)
        try:
            chosen = json.loads((root / SPLITS).read_text(encoding="utf-8"))[split]
            train, test = chosen["train"], chosen["test"]
        except (ValueError, LookupError, TypeError) as error:
            raise UserError(f"{root / SPLITS}: split {split} is not {{train, test}} ({error!r})") from error
        return two_cameras(self, root, CAMERAS, train, test)
