"""Import a user's own video, with the boxes of a tracker, as a data set.

Every track counts as a separate camera, so that a person who leaves and returns has to be found again. A track is cut into
tracklets of N boxes. Their crops are packed as JPEG, with the table of tracklets in the same folder. Crops much larger than any
recipe needs are made smaller.
"""

import math
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import simplejpeg

from baselines.interface.errors import UserError
from benchmarks.seeds import derive

from . import Progress, no_progress
from .imported import check_import, describe_file, read_csv, read_text, write_import
from .table import make_table

QUALITY = 95  # of the crops' JPEG
LARGEST = (512, 256)  # height and width, twice those of the paper's recipes; larger crops are made smaller
ANSI_CODEC = cv2.VideoWriter.fourcc(*"ansi")  # FFmpeg "decodes" a text file as a video of a terminal
LARGEST_ID = 2**53  # from there on, two track ids can be one float
EDGES = ["x0", "y0", "x1", "y1"]


def import_video(
    video: Path,
    tracks: Path,
    identities: Path,
    name: str,
    to: Path,
    *,
    tracklet_frames: int = 30,
    train_share: float = 0.5,
    margin: float = 0.0,
    note: str = "",
    progress: Progress = no_progress,
) -> pd.DataFrame:
    """Cut a video into tracklets and write them to a new folder, completely or not at all.

    The folder holds the packed crops, the table, and IMPORT_NOTE: what they were made from, and what was left out.

    Args:
        video: any video that OpenCV reads.
        tracks: a tracker's output in the columns of MOTChallenge, comma-separated, without a header: frame (from 1), track,
            left, top, width, height in pixels, confidence. Further columns and rows of confidence 0 are ignored.
        identities: CSV with the header track_id,identity: the person (a number from 0) that each track shows. Other tracks
            are left out.
        name: the name of the data set.
        to: the new folder.
        tracklet_frames: N, the boxes per tracklet. The rest of a track is a tracklet if it has at least N / 2 boxes, otherwise
            it joins the one before. A track shorter than N is one tracklet. So no box is lost.
        train_share: the share of the persons for training. Persons with a single track are taken first, because at test they
            could only be distractors. Otherwise the choice is random, with the person's number as the seed.
        margin: by what share of its width and height each box is widened on every side.
        note: a caution that every table of its results prints.

    Returns:
        the table of tracklets. Of each test person with at least two tracks, the first tracklet of each track is a query; all
        other test tracklets are the gallery.

    Raises:
        UserError: a name that is taken or not allowed, a file that is missing or malformed (with the line), boxes after the end
            of the video, too few persons.
    """
    check_import(name, to, train_share, note)
    if tracklet_frames < 1:
        raise UserError(f"--tracklet-frames {tracklet_frames}: a tracklet has at least 1 frame")
    if not 0 <= margin <= 10:
        raise UserError(f"--margin {margin}: give a share of the box's size, from 0 to 10")
    boxes, people = read_tracks(tracks), read_identities(identities)
    named = boxes[boxes.track.isin(list(people))]
    if named.empty:
        raise UserError(f"{identities}: lists none of the {boxes.track.nunique()} tracks in {tracks}")
    visible = _clip(named, *_size(video), margin)
    plan = _cut_into_tracklets(visible.assign(pid=visible.track.map(people)), tracklet_frames, train_share)
    rows = [(*key, list(part.frame_name)) for key, part in plan.groupby(["subset", "pid", "track", "tracklet"])]
    table = make_table(rows)
    files = {"video": video, "tracks": tracks, "identities": identities}
    made_from = {
        "name": name,
        "note": note,
        "files": {kind: describe_file(file) for kind, file in files.items()},
        "settings": {
            "tracklet_frames": tracklet_frames,
            "train_share": train_share,
            "margin": margin,
            "quality": QUALITY,
            "largest": LARGEST,
        },
        "tracks": int(plan.track.nunique()),
        "tracks_without_identity": int(boxes.track.nunique() - named.track.nunique()),
        "boxes": len(plan),
        "boxes_outside_the_picture": len(named) - len(visible),
    }
    write_import(to, table, _crops(video, plan, tracks, progress), made_from)
    return table


def read_tracks(file: Path) -> pd.DataFrame:
    """The boxes of a MOTChallenge file, without rows of confidence 0: frame, track, left, top, width, height.

    Raises:
        UserError: no such file, or a malformed row, with its line number.
    """
    rows: list[tuple[float, ...]] = []
    seen: set[tuple[float, float]] = set()
    for number, line in enumerate(read_text(file).splitlines(), start=1):
        if not line.strip():
            continue

        def refuse(problem: str, number: int = number) -> UserError:
            return UserError(f"{file}, line {number}: {problem}")

        try:
            frame, track, left, top, width, height, *rest = (float(field) for field in line.split(",")[:7])
        except ValueError:
            raise refuse("expected the numbers frame,track,left,top,width,height,conf") from None
        if not all(map(math.isfinite, (frame, track, left, top, width, height))):
            raise refuse("a value is not finite")
        if not 1 <= frame < LARGEST_ID or abs(track) >= LARGEST_ID or frame % 1 or track % 1:
            raise refuse("frame must be a whole number from 1, track a whole number, and both below 2^53")
        if width <= 0 or height <= 0:
            raise refuse(f"a box of {width:g} x {height:g} pixels")
        if (frame, track) in seen:
            raise refuse(f"a second box of track {track:g} in frame {frame:g}")
        seen.add((frame, track))
        if rest != [0]:
            rows.append((frame, track, left, top, width, height))
    if not rows:
        raise UserError(f"{file}: has no boxes")
    boxes = pd.DataFrame(rows, columns=pd.Index(["frame", "track", "left", "top", "width", "height"]))
    return boxes.astype({"frame": "int64", "track": "int64"})


def read_identities(file: Path) -> dict[int, int]:
    """Track to person, from CSV with the header track_id,identity.

    Raises:
        UserError: no such file, another header, or a malformed row, with its line number.
    """
    header, rows = read_csv(file)
    if not {"track_id", "identity"} <= set(header):
        raise UserError(f"{file}, line 1: the header must be track_id,identity")
    people: dict[int, int] = {}
    for line, row in rows:
        try:
            track, person = int(row["track_id"]), int(row["identity"])
        except (TypeError, ValueError):
            raise UserError(f"{file}, line {line}: expected two whole numbers") from None
        if person < 0:
            raise UserError(f"{file}, line {line}: identity {person}; identities are numbered from 0")
        if max(abs(track), person) >= LARGEST_ID:
            raise UserError(f"{file}, line {line}: track_id and identity must be below 2^53")
        if people.setdefault(track, person) != person:
            raise UserError(f"{file}, line {line}: track {track} is person {people[track]} in an earlier line")
    return people


def _clip(boxes: pd.DataFrame, width: int, height: int, margin: float) -> pd.DataFrame:
    """`boxes` with integer edges x0, y0, x1, y1 within the picture, without the boxes outside it."""
    x, y = margin * boxes.width, margin * boxes.height
    edges = np.stack(
        [boxes.left - x, boxes.top - y, boxes.left + boxes.width + x, boxes.top + boxes.height + y], axis=1
    )
    edges = np.rint(edges).clip(0, [width, height, width, height]).astype(int)
    clipped = boxes.assign(**dict(zip(EDGES, edges.T, strict=True)))
    return clipped[(clipped.x0 < clipped.x1) & (clipped.y0 < clipped.y1)]


def _cut_into_tracklets(boxes: pd.DataFrame, length: int, train_share: float) -> pd.DataFrame:
    """`boxes` (frame, track, pid) with their subset, tracklet and frame_name, sorted by time."""
    views = boxes.groupby("pid").track.nunique()
    if len(views) < 2 or views.max() < 2:
        raise UserError(
            f"--identities: {len(views)} persons in at most {views.max()} tracks each; at least 2 persons are needed, "
            "and one of them in 2 tracks: one to train on, the other to find again"
        )
    order = sorted(views.index, key=lambda pid: (views[pid] > 1, derive("import", pid)))
    train = order[: min(max(round(train_share * len(order)), 1), len(order) - 1)]

    boxes = boxes.sort_values(["track", "frame"])
    track = boxes.groupby("track").frame
    pieces = ((track.transform("size") + length // 2) // length).clip(lower=1)
    piece = np.minimum(track.cumcount() // length, pieces - 1)
    is_query = (piece == 0) & (boxes.pid.map(views) > 1)
    subset = np.select([boxes.pid.isin(train), is_query], ["train", "query"], "gallery")
    tracklet = [f"{pid:04d}C{c}T{t:04d}" for pid, c, t in zip(boxes.pid, boxes.track, piece + 1, strict=True)]
    frame_name = [f"{t}/F{frame:08d}.jpg" for t, frame in zip(tracklet, boxes.frame, strict=True)]
    return boxes.assign(subset=subset, tracklet=tracklet, frame_name=frame_name)


def _open(video: Path) -> cv2.VideoCapture:
    if not video.is_file():
        raise UserError(f"{video}: no such file")
    capture = cv2.VideoCapture(str(video))
    if not capture.isOpened() or int(capture.get(cv2.CAP_PROP_FOURCC)) == ANSI_CODEC:
        raise UserError(f"{video}: not a video that OpenCV can read")
    return capture


def _size(video: Path) -> tuple[int, int]:
    """Width and height in pixels."""
    capture = _open(video)
    return int(capture.get(cv2.CAP_PROP_FRAME_WIDTH)), int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT))


def _crops(video: Path, plan: pd.DataFrame, tracks: Path, progress: Progress) -> Iterator[tuple[str, bytes]]:
    """Name and JPEG of each box, in one pass over the video up to the last frame with a box."""
    capture = _open(video)
    wanted = dict(list(plan.groupby("frame")))
    last = max(wanted)
    for number in range(1, last + 1):
        if not capture.grab():
            raise UserError(f"{tracks}: has boxes up to frame {last}, but {video} ends after frame {number - 1}")
        if number in wanted:
            decoded, picture = capture.retrieve()
            if not decoded:
                raise UserError(f"{video}: frame {number} cannot be decoded")
            for box in wanted[number].itertuples():
                crop = _shrink(np.ascontiguousarray(picture[box.y0 : box.y1, box.x0 : box.x1]))
                yield box.frame_name, simplejpeg.encode_jpeg(crop, quality=QUALITY, colorspace="BGR")
        progress(number, last)


def _shrink(crop: np.ndarray) -> np.ndarray:
    """The crop. If it is larger than LARGEST on both sides, it is scaled down until one side is as large."""
    height, width = crop.shape[:2]
    scale = max(LARGEST[0] / height, LARGEST[1] / width)
    if scale >= 1:
        return crop
    return cv2.resize(crop, (round(width * scale), round(height * scale)), interpolation=cv2.INTER_AREA)
