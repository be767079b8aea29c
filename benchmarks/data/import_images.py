"""Import a folder of images as a data set. A pattern of their paths, or a CSV, says what each shows (see `image_lists`).

The images are checked, and packed as they are. Persons are divided at random, several times if wanted, unless the subset of each
image is given.
"""

import hashlib
import math
import os
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote_from_bytes

import numpy as np
import pandas as pd

from baselines.interface.errors import UserError
from baselines.interface.registry import nearest
from benchmarks.seeds import generator

from . import JUNK, Progress, no_progress
from .image_lists import match_paths, raise_first, read_listing, without_identities
from .imported import TRAINS_IN, check_import, describe_file, select_split, write_import
from .table import SUBSETS, make_table
from .verify import image_problem

TEST = "test"  # a subset that is still to be divided into queries and gallery
EACH_CAMERA, FIRST_CAMERA = QUERIES = ("each-camera", "first-camera")
IMAGES_PER_UPDATE = 256  # images between two calls of progress
NUMBER = re.compile(r"-1|[0-9]{1,18}")  # a pid or camid; any other text is a name


class Division(NamedTuple):
    """Random divisions of the persons: the share for training, how many divisions, and their seed."""

    train_share: float = 0.5
    splits: int = 1
    seed: int = 0


def import_images(
    images: Path,
    name: str,
    to: Path,
    *,
    pattern: str | None = None,
    csv: Path | None = None,
    train_share: float | None = None,
    splits: int | None = None,
    seed: int | None = None,
    queries: str = EACH_CAMERA,
    distractor: Sequence[str] = (),
    note: str = "",
    progress: Progress = no_progress,
) -> pd.DataFrame:
    """Pack the images of a folder with their table of tracklets in a new folder, completely or not at all.

    pid and camid are whole numbers, or names, which are numbered from 1 in alphabetical order. pid -1 is junk. Without camid,
    each tracklet counts as a camera of its own, as with a video. Without tracklet, all images of a person and camera are one.
    Without pid, the data set is for feature extraction only (see `without_identities`).
    Frames are ordered with their digits compared as numbers.

    Args:
        images: the folder.
        name: the name of the data set.
        to: the new folder.
        pattern, csv: one of both; see `match_paths` and `read_listing`.
        train_share, splits, seed: of the `Division`, where no subset is given. Only persons in two or more cameras are divided.
            The others cannot be found again in another camera, so that they are distractors in the gallery of every split.
        queries: the first tracklet of a test person in each camera is a query, as in MARS ("each-camera"), or only that in the
            person's first camera, as in iLIDS-VID ("first-camera"). All other test tracklets are the gallery.
        distractor: pids that are always in the gallery and never a query, such as MARS's 0.
        note: a caution that every table of its results prints.

    Returns:
        the table of tracklets of the first split.

    Raises:
        UserError: a wrong option, or images that cannot be read or contradict each other. The message names the first one, and
            says how many errors there are.
    """
    options = {"train_share": train_share, "splits": splits, "seed": seed}
    chosen: dict[str, Any] = {option: value for option, value in options.items() if value is not None}
    division = Division(**chosen)
    check_import(name, to, division.train_share, note)
    if queries not in QUERIES:
        raise UserError(f"--queries {queries}: {nearest(queries, list(QUERIES))}")
    if division.splits < 1 or division.seed < 0:
        raise UserError(
            f"--splits {division.splits} --seed {division.seed}: use at least 1 split, and a seed of at least 0"
        )
    if not images.is_dir():
        raise UserError(f"--images {images}: not a folder")
    remarks: list[str] = []
    if csv is not None and pattern is None:
        described = read_listing(images, csv)
    elif pattern is not None and csv is None:
        described, remarks = match_paths(images, pattern)
    else:
        raise UserError("--images: needs either --pattern or --csv, to say what each image shows")
    labelled = "pid" in described
    if not labelled:
        described = without_identities(described)
    numbers = {field: _numbers(described[field]) for field in ("pid", "camid") if field in described}
    others = {JUNK, *(_pid(pid, numbers["pid"]) for pid in distractor)}
    given = "subset" in described or not labelled
    if given and chosen:
        option, reason = (
            min(chosen).replace("_", "-"),
            "the subset of each image is given; omit the option or the subset",
        )
        raise UserError(f"--{option}: does not apply where {reason if labelled else 'no image has a pid; omit it'}")

    tracklets = _tracklets(described, numbers, named=csv is not None or not labelled)
    subsets = _divide_test(tracklets, queries, others)
    names = [[_packed_name(*each) for each in enumerate(paths)] for paths in tracklets.path]
    table = make_table(zip(subsets, tracklets.pid, tracklets.camid, tracklets.tracklet, names, strict=True))
    if not given:
        table[TRAINS_IN] = _random_splits(table, division, others)
    divided = TEST in set(tracklets.subset) and queries != FIRST_CAMERA
    remedy = f"use --queries {FIRST_CAMERA}" if divided else "correct pid and camid"
    for split in range(division.splits):
        _check_queries(select_split(table, split), split, remedy)
    named = {field: each for field, each in numbers.items() if not all(map(NUMBER.fullmatch, each))}
    about = {
        "name": name,
        "note": note,
        "summary": _summary(table, division.splits),
        "splits": division.splits,
        "features_only": "" if labelled else "its images have no identities (pid)",
        "remarks": remarks + _remark_gaps(tracklets),
        "described_by": describe_file(csv) if csv else {"pattern": pattern},
        "settings": {"queries": queries, "distractor": list(distractor), **({} if given else division._asdict())},
        "numbers_of_names": named,
    }
    write_import(to, table, _checked_images(images, table.assign(path=tracklets.path), others, progress), about)
    return select_split(table, 0)


def unlabelled_tracklets(images: Path) -> pd.DataFrame:
    """The table of the images below a folder; those of each folder are a tracklet, in the gallery and without a person.

    Raises:
        UserError: there are none.
    """
    if not images.is_dir():
        raise UserError(f"--images {images}: not a folder")
    described, _ = match_paths(images, "(?s:.*)")
    rows = _tracklets(without_identities(described), {"pid": {str(JUNK): JUNK}}, named=True)
    return make_table(("gallery", *each) for each in zip(rows.pid, rows.camid, rows.tracklet, rows.path, strict=True))


def _summary(table: pd.DataFrame, splits: int) -> str:
    """What there is of an imported data set, in one line."""
    counts = {
        "image": sum(map(len, table.frames)),
        "tracklet": len(table),
        "person": len(set(table.pid) - {JUNK}),
        "camera": len(set(table.camid)),
        "split": splits,
    }
    return ", ".join(f"{count:,} {word}{'s' if count != 1 else ''}" for word, count in counts.items())


def _numbers(texts: pd.Series) -> dict[str, int]:
    """The number of each text: its own value, or if one of them is not a number, its place in alphabetical order."""
    distinct = sorted(set(texts))
    if all(map(NUMBER.fullmatch, distinct)):
        return {text: int(text) for text in distinct}
    return {text: number for number, text in enumerate(distinct, 1)}


def _pid(text: str, pids: dict[str, int]) -> int:
    """The number of a person that the user names."""
    known = {str(number): number for number in pids.values()} | pids
    if text not in known:
        raise UserError(f"--distractor {text}: no image shows such a person; {nearest(text, list(pids))}")
    return known[text]


def _natural(text: str) -> list[str | tuple[int, str]]:
    """A key that sorts texts with the numbers in them by value, whatever their length: img9 before img10."""
    parts: list[str | tuple[int, str]] = []
    for at, part in enumerate(re.split(r"([0-9]+)", text)):
        digits = part.lstrip("0")
        parts.append((len(digits), digits) if at % 2 else part)
    return parts


def _tracklets(described: pd.DataFrame, numbers: dict[str, dict[str, int]], named: bool) -> pd.DataFrame:
    """A row for each tracklet, sorted: subset, pid, camid, tracklet; and as lists in the order of time `path` and `frame`.

    Args:
        named: whether tracklets have names that are unique in their subset, or numbers within a person and camera.
    """
    images = described.assign(**{field: described[field].map(each) for field, each in numbers.items()})
    images["subset"] = images.get("subset", TEST)
    parts = {"pid": "{:04d}", "camid": "C{}", "tracklet": "T{}"}
    remedy = "keep one of them"
    if "tracklet" not in images:
        remedy += ", or name the tracklets by the field tracklet, if these are two"
    if not (named and "tracklet" in images):
        texts = [images[field].map(form.format) for field, form in parts.items() if field in images]
        images["tracklet"] = ["".join(each) for each in zip(*texts, strict=True)]
    faults = [
        f"{images['where'][at]}: subset {images.subset[at]!r}; known: {', '.join((*SUBSETS, TEST))}"
        for at in np.flatnonzero(~images.subset.isin((*SUBSETS, TEST)))
    ]
    for field in numbers:
        first = images.groupby(["subset", "tracklet"])[field].transform("first")
        for row in images[images[field] != first].drop_duplicates(["subset", "tracklet"]).itertuples():
            both = f"{field} {first[row.Index]} and {getattr(row, field)}"
            faults.append(f"{row.where}: tracklet {row.tracklet} shows {both}; give each tracklet a name of its own")
    trained = set(images.pid[images.subset == "train"])
    tested = images[(images.subset != "train") & images.pid.isin(trained)].drop_duplicates("pid")
    faults += [
        f"{row.where}: person {row.pid} is in train and in {row.subset}; a person must be in one of them"
        for row in tested.itertuples()
    ]
    keys = ["subset", "pid", *(["camid"] if "camid" in images else []), "tracklet"]
    columns = [*(images[key] for key in keys[:-1]), images.tracklet.map(_natural), images.frame.map(_natural)]
    images = images.iloc[sorted(range(len(images)), key=list(zip(*columns, strict=True)).__getitem__)]
    tracklets = images.groupby(keys, sort=False).agg(path=("path", list), frame=("frame", list)).reset_index()
    for row in tracklets.itertuples():
        for (first, frame), (second, other) in pairwise(zip(row.path, row.frame, strict=True)):
            if _natural(frame) == _natural(other):
                faults.append(f"{second}: frame {other} of tracklet {row.tracklet}, and so is {first}; {remedy}")
    raise_first(faults)
    if "camid" not in tracklets:
        tracklets["camid"] = tracklets.groupby("pid").cumcount() + 1
    return tracklets


def _divide_test(tracklets: pd.DataFrame, queries: str, others: set[int]) -> pd.Series:
    """The subset of each tracklet, with `query` or `gallery` in the place of `test`."""
    test = tracklets.subset == TEST
    people = tracklets[test & ~tracklets.pid.isin(others)]
    cameras = people.groupby("pid").camid
    asked = ~people.duplicated(["pid", "camid"]) & (cameras.transform("nunique") > 1)
    if queries == FIRST_CAMERA:
        asked &= people.camid == cameras.transform("min")
    return tracklets.subset.mask(test, "gallery").mask(asked.reindex(tracklets.index, fill_value=False), "query")


def _random_splits(table: pd.DataFrame, division: Division, others: set[int]) -> list[str]:
    """For each tracklet the splits in which it is for training, as TRAINS_IN holds them."""
    cameras = table[~table.pid.isin(others)].groupby("pid").camid.nunique()
    persons = cameras.index[cameras > 1].to_numpy()  # sorted
    if len(persons) < 3:
        raise UserError(
            f"{len(persons)} persons are in two or more cameras; at least 3 are needed, 2 to train on and 1 to find again"
        )
    count = min(max(round(division.train_share * len(persons)), 2), len(persons) - 1)
    if division.splits > math.comb(len(persons), count):
        raise UserError(
            f"--splits {division.splits}: there are not as many ways to choose {count} of {len(persons)} persons"
        )
    draws = (generator("import", division.seed, split).permutation(persons)[:count] for split in range(division.splits))
    training = [set(draw.tolist()) for draw in draws]
    return [",".join(str(split) for split, pids in enumerate(training) if pid in pids) for pid in table.pid]


def _check_queries(table: pd.DataFrame, split: int, remedy: str) -> None:
    """Refuse a split with queries that can only be found among the queries: a gallery must be searchable without them."""
    query, gallery = (table[table.subset == subset] for subset in ("query", "gallery"))
    pairs = query.merge(gallery, on="pid", suffixes=("", "_gallery"))
    if len(query) and not (pairs.camid != pairs.camid_gallery).any():
        raise UserError(
            f"--images: no query of split {split} shows a person of the gallery in another camera; {remedy}"
        )


def _remark_gaps(tracklets: pd.DataFrame) -> list[str]:
    """A remark if frames are not consecutive, as far as the last number of each frame tells."""
    gaps = []
    for row in tracklets.itertuples():
        digits = ((path, re.findall(r"\d+", Path(frame).stem)) for path, frame in zip(row.path, row.frame, strict=True))
        numbers = [(path, int(found[-1])) for path, found in digits if found]
        gaps += [f"{path} after {before}" for (before, a), (path, b) in pairwise(numbers) if b != a + 1][:1]
    count = f"the frames of {len(gaps):,} of {len(tracklets):,} tracklets are not consecutive"
    return [f"{count}, such as {gap}: no motion is seen across gaps" for gap in gaps[:1]]


def _packed_name(position: int, path: str) -> str:
    """The name of a frame in the pack: ascending in the order of time, and ASCII."""
    return f"{position:06d}/{quote_from_bytes(os.fsencode(path))}"


def _checked_images(
    images: Path, table: pd.DataFrame, others: set[int], progress: Progress
) -> Iterator[tuple[str, bytes]]:
    """Name and bytes of each frame. At the end it raises if one cannot be decoded, or if one image shows two persons or cameras.

    Tracklets of one person and camera may share images, because trackers' boxes overlap.
    """

    def read(path: str) -> tuple[bytes, bytes, str]:
        try:
            data = (images / path).read_bytes()
        except OSError as error:
            return b"", b"", error.strerror or str(error)
        problem = image_problem(np.frombuffer(data, np.uint8)) if data else "an empty file"
        return data, hashlib.sha256(data).digest(), problem

    frames = [
        (path, name, (row.pid, row.camid))
        for row in table.itertuples()
        for path, name in zip(row.path, row.frames, strict=True)
    ]
    seen: dict[bytes, tuple[str, tuple[int, int]]] = {}
    faults = []
    with ThreadPoolExecutor() as pool:  # reading, hashing and decoding release Python's global lock
        for start in range(0, len(frames), IMAGES_PER_UPDATE):
            block = frames[start : start + IMAGES_PER_UPDATE]
            contents = pool.map(read, [path for path, _, _ in block])
            for (path, name, shown), (data, digest, problem) in zip(block, contents, strict=True):
                first, shown_first = seen.setdefault(digest, (path, shown))
                if problem:
                    faults.append(f"{images / path}: {problem}; replace or delete it")
                elif shown != shown_first and not {shown[0], shown_first[0]} & others:
                    pair = f"person {shown[0]} in camera {shown[1]}, and person {shown_first[0]} in camera {shown_first[1]}"
                    faults.append(f"{images / path}: the same image as {first}, but they show {pair}; delete one")
                yield name, data
            progress(start + len(block), len(frames))
    raise_first(faults)
