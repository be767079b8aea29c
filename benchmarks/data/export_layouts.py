"""A data set written in the folders of MARS, DukeMTMC-VideoReID, iLIDS-VID or PRID-2011, for any code that reads those.

A layout is a function of the table of tracklets and of a folder: it writes the original's index files there and says
where each frame goes. Names are the original's, `.png` and `.jpg` too, and bytes are copied as they are: decoders go by
the bytes. Tracklets of a person and frames of a tracklet are numbered from 1, in the order of cameras and of time.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scipy.io

from baselines.interface.errors import UserError
from baselines.interface.registry import nearest
from benchmarks.atomic import atomic_folder
from benchmarks.seeds import generator

from . import JUNK
from .dataset import TwoCameras
from .datasets import ilidsvid, mars, prid2011
from .loading import Data

Places = list[tuple[str, str]]  # of every frame: its file in the layout, and its name in the store


def export(data: Data, layout: str, to: Path, progress: Callable[[int, int], None] = lambda *_: None) -> None:
    """Write the data set to the new or empty folder `to`, whole or not at all.

    Args:
        data: its subsets are kept by `mars` and `dukev`; `ilidsvid` and `prid2011` draw ten splits of their own.
        layout: one of LAYOUTS.
        to: the folder that the readers of the layout then take as their root.
        progress: called with (frames done, frames in all).

    Raises:
        UserError: no such layout, a folder that is not empty, or a data set that does not fit: numbers with more digits
            than the names have, or too few persons whom two cameras see.
    """
    if layout not in LAYOUTS:
        raise UserError(f"--layout {layout}: no such layout; {nearest(layout, list(LAYOUTS))}")
    to = to.resolve()
    if to.exists() and (not to.is_dir() or any(to.iterdir())):
        raise UserError(f"--to {to}: exists and is not an empty folder; name another")
    with atomic_folder(to) as half:
        try:
            places = LAYOUTS[layout](data.table, half)
        except UserError as error:
            raise UserError(f"--layout {layout}: {data.name} does not fit: {error}; choose another layout") from error
        for done, (there, here) in enumerate(places, 1):
            file = half / there
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data.store.read(here))
            progress(done, len(places))


def _digits(number: int, width: int, what: str) -> str:
    """The number with leading zeros: names have a fixed width, by which other code cuts and sorts them."""
    if not 0 <= number < 10**width:
        raise UserError(f"{what} {number}, where names have {width} digit{'s'[: width > 1]}")
    return f"{number:0{width}d}"


def _save(file: Path, variable: str, values: Any) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    scipy.io.savemat(file, {variable: np.array(values, np.int32)})


# All cameras, and the data set's own subsets --------------------------------------------------------------------------


def _numbered(table: pd.DataFrame) -> pd.DataFrame:
    """The table by persons and cameras, with the column `number`: from 1 for each person."""
    ordered = table.sort_values(["pid", "camid"], kind="stable")
    return ordered.assign(number=ordered.groupby("pid").cumcount() + 1)


def _mars(table: pd.DataFrame, folder: Path) -> Places:
    """MARS: junk and distractors too."""
    places: Places = []
    train_names, test_names, train_info, test_info, query_info = mars.INFO
    numbered = _numbered(table)
    training = numbered.subset == "train"
    for half, names_file, info_file in (("train", train_names, train_info), ("test", test_names, test_info)):
        names: list[str] = []
        info = []
        for row in numbered[training == (half == "train")].itertuples():
            person = "00-1" if row.pid == JUNK else _digits(row.pid, 4, "person")
            tracklet = f"{person}C{_digits(row.camid, 1, 'camera')}T{_digits(row.number, 4, 'tracklet')}"
            frames = [f"{tracklet}F{_digits(n, 3, 'frame')}.jpg" for n in range(1, len(row.frames) + 1)]
            info.append((len(names) + 1, len(names) + len(frames), row.pid, row.camid))  # 1-based, inclusive
            names += frames
            places += [(f"bbox_{half}/{person}/{name}", here) for name, here in zip(frames, row.frames, strict=True)]
        _save(folder / info_file, f"track_{half}_info", info)
        (folder / names_file).write_text("\n".join(names) + "\n", encoding="utf-8")
    _save(folder / query_info, "query_IDX", np.flatnonzero(numbered[~training].subset == "query") + 1)
    return places


def _dukev(table: pd.DataFrame, folder: Path) -> Places:  # noqa: ARG001 - there is nothing beside the frames
    """DukeMTMC-VideoReID: no junk, which it has no name for and no protocol scores."""
    places: Places = []
    shown: Counter[tuple[int, int]] = Counter()  # frames so far of a person in a camera
    for row in _numbered(table[table.pid != JUNK]).itertuples():
        person, camera = _digits(row.pid, 4, "person"), _digits(row.camid, 1, "camera")
        tracklet = f"{row.subset}/{person}/{_digits(row.number, 4, 'tracklet')}"
        for n, here in enumerate(row.frames, 1):
            # F counts within the tracklet, X within the camera's video: tracklets do not share it
            shown[row.pid, row.camid] += 1
            place = f"F{_digits(n, 4, 'frame')}_X{_digits(shown[row.pid, row.camid], 5, 'frame')}"
            places.append((f"{tracklet}/{person}_C{camera}_{place}.jpg", here))
    return places


# Two cameras, and ten splits ------------------------------------------------------------------------------------------


def _ilidsvid(table: pd.DataFrame, folder: Path) -> Places:
    places: Places = []
    pids = []
    for pid, views in _two_views(table):
        pids.append(pid)
        person = f"person{_digits(pid, 3, 'person')}"
        for camera, frames in zip(ilidsvid.CAMERAS, views, strict=True):
            stem = f"{camera}/{person}/{Path(camera).name}_{person}"
            places += [(f"{stem}_{_digits(n, 5, 'frame')}.png", here) for n, here in enumerate(frames, 1)]
    _save(folder / ilidsvid.SPLITS, "ls_set", [order + 1 for order in _orders(len(pids))])
    return places


def _prid2011(table: pd.DataFrame, folder: Path) -> Places:
    places: Places = []
    persons = []
    for pid, views in _two_views(table):
        persons.append(f"person_{_digits(pid, 4, 'person')}")
        for camera, frames in zip(prid2011.CAMERAS, views, strict=True):
            stem = f"{camera}/{persons[-1]}"
            places += [(f"{stem}/{_digits(n, 4, 'frame')}.png", here) for n, here in enumerate(frames, 1)]
    half = len(persons) // 2
    splits = [
        {
            "test": [persons[place] for place in sorted(order[:half])],
            "train": [persons[place] for place in sorted(order[half:])],
        }
        for order in _orders(len(persons))
    ]
    (folder / prid2011.SPLITS).write_text(json.dumps(splits, indent=4) + "\n", encoding="utf-8")
    return places


def _two_views(table: pd.DataFrame) -> Iterator[tuple[int, tuple[list[str], list[str]]]]:
    """(pid, frames in each camera) of the persons, in ascending order, whom both of two cameras see.

    The cameras are the two that see the most persons together; a person's view in each is the longest tracklet. Junk
    and distractors, which are not in pairs, are left out.
    """
    people = table[table.pid.isin(table.pid[table.subset != "gallery"])]
    longest = people.assign(length=people.frames.map(len)).sort_values("length", ascending=False, kind="stable")
    views = longest.drop_duplicates(["pid", "camid"]).pivot(index="camid", columns="pid", values="frames")
    seen = views.notna().to_numpy(int)
    together = np.triu(seen @ seen.T, 1)
    first, second = np.unravel_index(together.argmax(), together.shape)
    if together[first, second] < 4:
        raise UserError(
            f"{together[first, second]} persons are seen by the same two cameras, and 2 are needed on either side of a split"
        )
    for pid in views.columns[seen[first] & seen[second] > 0]:
        yield int(pid), (views[pid].iloc[first], views[pid].iloc[second])


def _orders(persons: int) -> list[np.ndarray]:
    """The places of the persons, from 0, in an order a split: the first half is for test. The same at every call."""
    return [generator("export", split).permutation(persons) for split in range(TwoCameras.splits)]


LAYOUTS: dict[str, Callable[[pd.DataFrame, Path], Places]] = {
    "mars": _mars,
    "dukev": _dukev,
    "ilidsvid": _ilidsvid,
    "prid2011": _prid2011,
}
