"""Export a data set in the layout of MARS, DukeMTMC-VideoReID, LS-VID, iLIDS-VID or PRID-2011, for any code that reads those.

A layout is a function of the table of tracklets and a folder. It writes the original's index files into the folder and returns
the path of each frame. File names are the original's, including `.png` or `.jpg`. Images are copied byte for byte, because
decoders ignore the suffix. Tracklets of a person are numbered from 1 in the order of cameras, frames of a tracklet in the
order of time.
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

from . import JUNK, Progress, no_progress
from .dataset import TwoCameraDataset
from .datasets import ilidsvid, mars, prid2011
from .loading import LoadedDataset

Copies = list[tuple[str, str]]  # for each frame its path in the layout and its name in the store


def export(loaded: LoadedDataset, layout: str, to: Path, progress: Progress = no_progress) -> None:
    """Write a data set to the new or empty folder `to`, completely or not at all.

    Args:
        loaded: the data set. `mars`, `dukev` and `lsvid` keep its subsets; `ilidsvid` and `prid2011` get ten new random splits.
        layout: a key of LAYOUTS.
        to: the folder, which is then a root for readers of the layout.
        progress: called after each frame.

    Raises:
        UserError: no such layout, a folder that is not empty, or a data set that does not fit: numbers with more digits
            than the layout's names have, or too few persons seen by two cameras.
    """
    if layout not in LAYOUTS:
        raise UserError(f"--layout {layout}: no such layout; {nearest(layout, list(LAYOUTS))}")
    to = to.resolve()
    if to.exists() and (not to.is_dir() or any(to.iterdir())):
        raise UserError(f"--to {to}: exists and is not an empty folder; name another")
    with atomic_folder(to) as half:
        try:
            copies = LAYOUTS[layout](loaded.table, half)
        except UserError as error:
            raise UserError(f"--layout {layout}: cannot hold {loaded.name}: {error}; choose another layout") from error
        for done, (path, frame) in enumerate(copies, 1):
            file = half / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(loaded.store.read(frame))
            progress(done, len(copies))


def _digits(number: int, width: int, what: str) -> str:
    """The number with leading zeros: other code relies on the fixed width to parse and sort names."""
    if not 0 <= number < 10**width:
        raise UserError(f"{what} {number}, where names have {width} digit{'s'[: width > 1]}")
    return f"{number:0{width}d}"


def _save(file: Path, variable: str, values: Any) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    scipy.io.savemat(file, {variable: np.array(values, np.int32)})


# All cameras, with the data set's own subsets --------------------------------------------------------------------------


def _numbered(table: pd.DataFrame) -> pd.DataFrame:
    """The table sorted by person and camera, with a column `number` that counts each person's tracklets from 1."""
    ordered = table.sort_values(["pid", "camid"], kind="stable")
    return ordered.assign(number=ordered.groupby("pid").cumcount() + 1)


def _mars(table: pd.DataFrame, folder: Path) -> Copies:
    """MARS, with junk and distractors."""
    copies: Copies = []
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
            copies += [(f"bbox_{half}/{person}/{name}", frame) for name, frame in zip(frames, row.frames, strict=True)]
        _save(folder / info_file, f"track_{half}_info", info)
        (folder / names_file).write_text("\n".join(names) + "\n", encoding="utf-8")
    _save(folder / query_info, "query_IDX", np.flatnonzero(numbered[~training].subset == "query") + 1)
    return copies


def _dukev(table: pd.DataFrame, folder: Path) -> Copies:  # noqa: ARG001 - it has no index files
    """DukeMTMC-VideoReID, without junk: it has no name for it, and no protocol scores it."""
    copies: Copies = []
    count: Counter[tuple[int, int]] = Counter()  # frames of a person in a camera so far
    for row in _numbered(table[table.pid != JUNK]).itertuples():
        person, camera = _digits(row.pid, 4, "person"), _digits(row.camid, 1, "camera")
        tracklet = f"{row.subset}/{person}/{_digits(row.number, 4, 'tracklet')}"
        for n, frame in enumerate(row.frames, 1):
            # F counts within the tracklet, X within the camera's video, so that no two tracklets share it
            count[row.pid, row.camid] += 1
            number = f"F{_digits(n, 4, 'frame')}_X{_digits(count[row.pid, row.camid], 5, 'frame')}"
            copies.append((f"{tracklet}/{person}_C{camera}_{number}.jpg", frame))
    return copies


def _lsvid(table: pd.DataFrame, folder: Path) -> Copies:
    """LS-VID, without junk, which no protocol scores. The queries are in an .npy file, as in those copies that need no h5py."""
    copies: Copies = []
    numbered = _numbered(table[table.pid != JUNK])
    training = numbered.subset == "train"
    (folder / "list_sequence").mkdir()
    for half, rows in (("train", numbered[training]), ("test", numbered[~training])):
        lines = []
        for row in rows.itertuples():
            person, camera = _digits(row.pid, 4, "person"), _digits(row.camid, 2, "camera")
            tracklet = f"tracklet_{half}/{person}/{person}_{_digits(row.number, 4, 'tracklet')}_{camera}"
            lines.append(f"{tracklet} {person}\n")
            copies += [(f"{tracklet}_{_digits(n, 4, 'frame')}.jpg", frame) for n, frame in enumerate(row.frames, 1)]
        (folder / f"list_sequence/list_seq_{half}.txt").write_text("".join(lines), encoding="utf-8")
    (folder / "test").mkdir()
    np.save(folder / "test/query.npy", np.flatnonzero(numbered[~training].subset == "query") + 1)
    return copies


# Two cameras, with ten splits ------------------------------------------------------------------------------------------


def _ilidsvid(table: pd.DataFrame, folder: Path) -> Copies:
    copies: Copies = []
    pids = []
    for pid, views in _two_views(table):
        pids.append(pid)
        person = f"person{_digits(pid, 3, 'person')}"
        for camera, frames in zip(ilidsvid.CAMERAS, views, strict=True):
            stem = f"{camera}/{person}/{Path(camera).name}_{person}"
            copies += [(f"{stem}_{_digits(n, 5, 'frame')}.png", frame) for n, frame in enumerate(frames, 1)]
    _save(folder / ilidsvid.SPLITS, "ls_set", [order + 1 for order in _split_orders(len(pids))])
    return copies


def _prid2011(table: pd.DataFrame, folder: Path) -> Copies:
    copies: Copies = []
    persons = []
    for pid, views in _two_views(table):
        persons.append(f"person_{_digits(pid, 4, 'person')}")
        for camera, frames in zip(prid2011.CAMERAS, views, strict=True):
            stem = f"{camera}/{persons[-1]}"
            copies += [(f"{stem}/{_digits(n, 4, 'frame')}.png", frame) for n, frame in enumerate(frames, 1)]
    half = len(persons) // 2
    splits = [
        {
            "test": [persons[index] for index in sorted(order[:half])],
            "train": [persons[index] for index in sorted(order[half:])],
        }
        for order in _split_orders(len(persons))
    ]
    (folder / prid2011.SPLITS).write_text(json.dumps(splits, indent=4) + "\n", encoding="utf-8")
    return copies


def _two_views(table: pd.DataFrame) -> Iterator[tuple[int, tuple[list[str], list[str]]]]:
    """(pid, frames in each camera) of the persons that both of two cameras see, in ascending order.

    The two cameras are those that share the most persons. Each view is the person's longest tracklet. Junk and distractors are
    left out.
    """
    people = table[table.pid.isin(table.pid[table.subset != "gallery"])]
    longest = people.assign(length=people.frames.map(len)).sort_values("length", ascending=False, kind="stable")
    views = longest.drop_duplicates(["pid", "camid"]).pivot(index="camid", columns="pid", values="frames")
    seen = views.notna().to_numpy(int)
    together = np.triu(seen @ seen.T, 1)
    first, second = np.unravel_index(together.argmax(), together.shape)
    if together[first, second] < 4:
        raise UserError(
            f"{together[first, second]} persons are seen by the same two cameras, and a split needs 2 for training and 2 for test"
        )
    for pid in views.columns[seen[first] & seen[second] > 0]:
        yield int(pid), (views[pid].iloc[first], views[pid].iloc[second])


def _split_orders(persons: int) -> list[np.ndarray]:
    """For each split the indices of the persons in a random order, the same at every call. The first half is for test."""
    return [generator("export", split).permutation(persons) for split in range(TwoCameraDataset.splits)]


LAYOUTS: dict[str, Callable[[pd.DataFrame, Path], Copies]] = {
    "mars": _mars,
    "dukev": _dukev,
    "lsvid": _lsvid,
    "ilidsvid": _ilidsvid,
    "prid2011": _prid2011,
}
