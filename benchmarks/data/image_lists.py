"""What a folder of images shows, according to a pattern of their paths or to a CSV.

Both give a table of texts with a row for each image: `path` in the folder, `where` (the path, or the line of the CSV), and those
of FIELDS that are described:

| field    | means |
| -------- | ----- |
| subset   | train, query or gallery; or test, which is still to be divided into queries and gallery |
| pid      | the person; without it, the images are for feature extraction only |
| camid    | the camera |
| tracklet | in a pattern, unique within its person and camera; in a CSV, unique within its subset |
| frame    | what orders the images of a tracklet; without it, their paths do |

In a CSV, the column `frame` holds the path itself.
"""

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

import pandas as pd

from baselines.interface.errors import UserError
from baselines.interface.registry import nearest

from . import JUNK
from .dataset import IMAGES
from .imported import read_csv

FIELDS = ("subset", "pid", "camid", "tracklet", "frame")


def raise_first(faults: Sequence[str]) -> None:
    """Raise a `UserError` with the first fault and the number of the others, if there are any."""
    if faults:
        raise UserError(faults[0] + (f" (and {len(faults) - 1:,} more such errors)" if len(faults) > 1 else ""))


def match_paths(images: Path, pattern: str) -> tuple[pd.DataFrame, list[str]]:
    """The images whose whole path in the folder, with `/`, matches a regular expression with groups named as FIELDS.

    Returns:
        the table, and a remark if there are other images.

    Raises:
        UserError: not a regular expression, other groups, or no match.
    """
    try:
        regex = re.compile(pattern)
    except re.error as error:
        raise UserError(f"--pattern {pattern}: not a regular expression ({error})") from error
    for group in regex.groupindex:
        if group not in FIELDS:
            raise UserError(f"--pattern: no field {group!r}; {nearest(group, list(FIELDS))}")
    paths = list(_image_paths(images))
    if not paths:
        raise UserError(f"--images {images}: holds no image ({', '.join(IMAGES)})")
    matches = {path: match for path in paths if (match := regex.fullmatch(path))}
    if not matches:
        raise UserError(
            f"--pattern: matches none of the {len(paths):,} images in {images}, such as {paths[0]}; "
            "it must match the whole path from there, so begin it with .* to pass over folders"
        )
    rows = [{"path": path, "where": path, "frame": path, **match.groupdict("")} for path, match in matches.items()]
    left_out = [path for path in paths if path not in matches]
    remarks = [
        f"{len(left_out):,} of {len(paths):,} images do not match the pattern and are left out, such as {path}"
        for path in left_out[:1]
    ]
    return _complete(rows), remarks


def read_listing(images: Path, listing: Path) -> pd.DataFrame:
    """The images of a CSV whose header has frame and any other of FIELDS.

    Raises:
        UserError: another header, a malformed row or an image that is listed twice, with the line.
    """
    header, lines_read = read_csv(listing)
    if not {"frame"} <= set(header) <= set(FIELDS):
        unknown = [name for name in header if name not in FIELDS]
        wrong = f"no column may be named {unknown[0]!r}" if unknown else "a column must be named frame"
        meant = nearest(unknown[0], list(FIELDS)) if unknown else ""
        raise UserError(
            f"{listing}, line 1: {wrong}{f'; {meant}' if meant.startswith('did') else ''}; the columns are frame and, if known, "
            "subset, pid, camid and tracklet"
        )
    rows: list[dict[str, str]] = []
    faults: list[str] = []
    lines: dict[str, int] = {}
    for line, row in lines_read:
        where = f"{listing}, line {line}"
        if None in row or None in row.values():
            faults.append(f"{where}: expected {len(header)} values: {','.join(header)}")
            continue
        place = PurePosixPath(row["frame"])
        if place.is_absolute() or ".." in place.parts:
            faults.append(f"{where}: {place}: frame must be a path in {images}, given by --images")
        first = lines.setdefault(str(place), line)
        if first != line:
            faults.append(f"{where}: {place} is in line {first} already; an image belongs to one tracklet, once")
        rows.append({**row, "path": str(place), "where": where, "frame": str(place)})
    raise_first(faults)
    if not rows:
        raise UserError(f"{listing}: lists no images")
    return _complete(rows)


def without_identities(described: pd.DataFrame) -> pd.DataFrame:
    """Images without pid, all of them as junk. Without tracklet, the images of each folder are one.

    Raises:
        UserError: they have subsets.
    """
    if "subset" in described:
        raise UserError(
            "--images: the images have a subset, but no pid; give both, or none for feature extraction only"
        )
    folders = [str(PurePosixPath(path).parent) for path in described.path]
    return described.assign(pid=str(JUNK), tracklet=described.get("tracklet", pd.Series(folders)))


def _complete(rows: list[dict[str, str]]) -> pd.DataFrame:
    """The table of the rows, none of whose texts is empty."""
    faults = [f"{row['where']}: has no {field}" for row in rows for field, text in row.items() if text == ""]
    raise_first(faults)
    return pd.DataFrame(rows)


def _image_paths(images: Path) -> Iterator[str]:
    """Relative paths with `/`, in an order that does not depend on the machine. Links to folders are followed."""
    for folder, subfolders, names in os.walk(images, followlinks=True):
        subfolders.sort()
        place = Path(folder).relative_to(images)
        yield from (str(place / name) for name in sorted(names) if name.lower().endswith(IMAGES))
