"""Import a user's own videos, with the boxes of a tracker, as a data set.

Each video is a camera. Of a single video without a camera's number, every track counts as a separate camera, so that a person
who leaves and returns has to be found again. A track is cut into tracklets of N boxes. Their crops are packed as JPEG, with the
table of tracklets in the same folder. Crops much larger than any recipe needs are made smaller.
"""

import math
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import pandas as pd
import simplejpeg

from baselines.interface.errors import UserError
from benchmarks.parsing import one_line
from benchmarks.seeds import derive

from . import JUNK, Progress, import_note, no_progress
from .frame_stores import PACK, read_pack
from .imported import check_import, describe_file, read_csv, read_text, write_import
from .table import TABLE, make_table, read_table

QUALITY = 95  # of the crops' JPEG
LARGEST = (512, 256)  # height and width, twice those of the paper's recipes; larger crops are made smaller
ANSI_CODEC = cv2.VideoWriter.fourcc(*"ansi")  # FFmpeg "decodes" a text file as a video of a terminal
LARGEST_ID = 2**53  # from there on, two track ids can be one float
EDGES = ["x0", "y0", "x1", "y1"]


class Video(NamedTuple):
    """A video, the boxes of a tracker, and who they show.

    Attributes:
        video: any video that OpenCV reads.
        tracks: a tracker's output in the columns of MOTChallenge, comma-separated, without a header: frame (from 1), track,
            left, top, width, height in pixels, confidence. Further columns and rows of confidence 0 are ignored.
        identities: CSV with the header track_id,identity: the person (a number from 0) that each track shows. Other tracks
            are left out. A file for several videos has the column camera, too. None: unknown.
        camera: its number. None: every track counts as a separate camera.
    """

    video: Path
    tracks: Path
    identities: Path | None = None
    camera: int | None = None


def pair_videos(
    videos: Sequence[Path], tracks: Sequence[Path], identities: Sequence[Path], cameras: Sequence[int]
) -> list[Video]:
    """The videos with their files and cameras, which are given in the same order.

    Args:
        identities: one file for each video, one for all of them, or none.
        cameras: one for each video; may be missing for a single one.

    Raises:
        UserError: the numbers of files and cameras do not fit the number of videos.
    """
    count = len(videos)
    named: Sequence[Path | None] = list(identities) * (count if len(identities) == 1 else 1)
    for option, given, optional in (
        ("--tracks", tracks, False),
        ("--camera", cameras, count == 1),
        ("--identities", named, True),
    ):
        if len(given) != count and (given or not optional):
            raise UserError(f"{option}: {len(given)} given for {count} --video; give one for each, in the same order")
    for camera in cameras:
        if not 0 <= camera < LARGEST_ID:
            raise UserError(f"--camera {camera}: give a number from 0 and below 2^53")
    numbers: Sequence[int | None] = cameras or [None] * count
    return [Video(*each) for each in zip(videos, tracks, named or [None] * count, numbers, strict=True)]


def import_videos(
    videos: Sequence[Video],
    name: str,
    to: Path,
    *,
    tracklet_frames: int = 30,
    train_share: float | None = None,
    margin: float = 0.0,
    note: str = "",
    add: bool = False,
    progress: Progress = no_progress,
) -> pd.DataFrame:
    """Cut videos into tracklets and write them to a folder, completely or not at all.

    The folder holds the packed crops, the table, and IMPORT_NOTE: what they were made from, and what was left out.

    Args:
        videos: either all or none have identities; either all have a camera, or a single one has none.
        name: the name of the data set.
        to: the folder: a new one, or with `add` that of the data set.
        tracklet_frames: N, the boxes per tracklet. The rest of a track is a tracklet if it has at least N / 2 boxes, otherwise
            it joins the one before. A track shorter than N is one tracklet. So no box is lost.
        train_share: the share of the persons for training, by default 0.5, or that of the first import. Persons in a single
            camera are taken first, because at test they could only be distractors. Otherwise the choice is random, with the
            person's number as the seed.
        margin: by what share of its width and height each box is widened on every side.
        note: a caution that every table of its results prints; by default that of the first import.
        add: add the videos to a data set of videos with cameras. The persons are divided again, so that the result is as if all
            videos had been imported at once.

    Returns:
        the table of tracklets. Of each test person in at least two cameras, the first tracklet in each camera is a query; all
        other test tracklets are the gallery. Where nobody is in two cameras of several that are numbered, or without
        identities, all are the gallery, and the data set is for feature extraction only.

    Raises:
        UserError: a name that is taken or not allowed, a file that is missing or malformed (with the line), boxes after the end
            of a video, too few persons, or a data set to which videos cannot be added.
    """
    check_import(name, to, 0.5 if train_share is None else train_share, note, add)
    if tracklet_frames < 1:
        raise UserError(f"--tracklet-frames {tracklet_frames}: a tracklet has at least 1 frame")
    if not 0 <= margin <= 10:
        raise UserError(f"--margin {margin}: give a share of the box's size, from 0 to 10")
    about: dict[str, Any] = _import_to_extend(name, videos) if add else {"name": name, "videos": []}
    share = about.get("train_share", 0.5) if train_share is None else train_share
    earlier = _tracklets_of(read_table(to / TABLE)) if add else _tracklets_of(make_table([]))
    boxes, described = _read_boxes(videos, margin)
    plan = _cut_into_tracklets(boxes, tracklet_frames, earlier)
    rows = [("", *key, list(part.frame_name)) for key, part in plan.groupby(["pid", "camid", "tracklet"])]
    tracklets = pd.concat([earlier, make_table(rows)], ignore_index=True)
    table = _divide(tracklets, share).sort_values(["subset", "pid", "camid", "tracklet"], ignore_index=True)
    reason = _why_not_divided(tracklets)
    if reason and videos[0].identities and videos[0].camera is None:
        raise UserError(f"--identities: {reason.replace('camera', 'track')}: one to train on, the other to find again")
    settings = {"tracklet_frames": tracklet_frames, "margin": margin, "quality": QUALITY, "largest": LARGEST}
    made_from = {
        **about,
        "note": note or about.get("note", ""),
        "train_share": share,
        "features_only": reason,
        "videos": [*about["videos"], *({**each, "settings": settings} for each in described)],
    }
    crops = _crops(videos, plan, progress)
    write_import(to, table, chain(read_pack(to / PACK), crops) if add else crops, made_from, replace=add)
    return table


def _import_to_extend(name: str, videos: Sequence[Video]) -> dict[str, Any]:
    """What a data set says about itself to which videos are added.

    Raises:
        UserError: it was not made from videos with cameras, or only one of both has identities.
    """
    about = import_note(name)
    earlier = about.get("videos")
    if not earlier or earlier[0]["camera"] is None or videos[0].camera is None:
        raise UserError(
            f"--add: takes a video with a --camera, and a data set of such videos; import {name} again with a "
            "--camera for each"
        )
    if ("identities" in earlier[0]["files"]) != (videos[0].identities is not None):
        raise UserError(f"--add: give --identities if, and only if, {name} was imported with them")
    return about


def _tracklets_of(table: pd.DataFrame) -> pd.DataFrame:
    """A table whose frames are plain lists, which can be written."""
    return table.assign(frames=[list(frames) for frames in table.frames])


def _read_boxes(videos: Sequence[Video], margin: float) -> tuple[pd.DataFrame, list[dict[str, Any]]]:
    """The visible boxes of all videos with their `video` (its position), pid and camid; and what each video was made from."""
    parts, described = [], []
    for number, video in enumerate(videos):
        boxes = read_tracks(video.tracks)
        named = boxes.assign(pid=JUNK)
        if video.identities is not None:
            people = read_identities(video.identities, video.camera)
            named = boxes[boxes.track.isin(list(people))]
            if named.empty:
                raise UserError(
                    f"{video.identities}: lists none of the {boxes.track.nunique()} tracks in {video.tracks}"
                )
            named = named.assign(pid=named.track.map(people))
        width, height = _size(video.video)
        visible = _clip(named, width, height, margin)
        if visible.empty:
            raise UserError(f"{video.tracks}: has no box within the {width} x {height} pixels of {video.video}")
        parts.append(visible.assign(video=number, camid=visible.track if video.camera is None else video.camera))
        files = {kind: file for kind, file in video._asdict().items() if isinstance(file, Path)}
        described.append(
            {
                "camera": video.camera,
                "files": {kind: describe_file(file) for kind, file in files.items()},
                "tracks": int(visible.track.nunique()),
                "tracks_without_identity": int(boxes.track.nunique() - named.track.nunique()),
                "boxes": len(visible),
                "boxes_outside_the_picture": len(named) - len(visible),
            }
        )
    return pd.concat(parts, ignore_index=True), described


def read_tracks(file: Path) -> pd.DataFrame:
    """The boxes of a MOTChallenge file, without rows of confidence 0: frame, track, left, top, width, height.

    Raises:
        UserError: no such file, or a malformed row, with its line number.
    """
    rows: list[tuple[float, ...]] = []
    seen: set[tuple[float, float]] = set()
    columns = 0
    for number, line in enumerate(read_text(file).split("\n"), start=1):
        if not line.strip():
            continue

        def refuse(problem: str, number: int = number) -> UserError:
            return UserError(f"{file}, line {number}: {problem}")

        fields = line.split(",")
        try:
            frame, track, left, top, width, height, *rest = map(float, fields[:7])
            if "_" in line:  # which Python's own numbers may hold
                raise ValueError
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
        columns = columns or len(fields)
        if len(fields) != columns:
            raise refuse(f"{len(fields)} values, but {columns} in the first row; the file may be damaged")
        seen.add((frame, track))
        if rest != [0]:
            rows.append((frame, track, left, top, width, height))
    if not rows:
        raise UserError(f"{file}: has no boxes")
    boxes = pd.DataFrame(rows, columns=pd.Index(["frame", "track", "left", "top", "width", "height"]))
    return boxes.astype({"frame": "int64", "track": "int64"})


def read_identities(file: Path, camera: int | None = None) -> dict[int, int]:
    """Track to person, from CSV with the header track_id,identity; or camera,track_id,identity, of one camera.

    Raises:
        UserError: no such file, another header, or a malformed row, with its line number.
    """
    header, rows = read_csv(file)
    if not {"track_id", "identity"} <= set(header):
        raise UserError(f"{file}, line 1: the header must be track_id,identity")
    if "camera" in header and camera is None:
        raise UserError(f"{file}, line 1: has the column camera; give the --camera of the video")
    people: dict[int, int] = {}
    for line, row in rows:
        try:
            if "_" in f"{row['track_id']}{row['identity']}":  # which Python's own numbers may hold
                raise ValueError
            track, person, where = int(row["track_id"]), int(row["identity"]), int(row.get("camera", camera or 0))
        except (TypeError, ValueError):
            raise UserError(f"{file}, line {line}: expected whole numbers") from None
        if person < 0:
            raise UserError(f"{file}, line {line}: identity {person}; identities are numbered from 0")
        if max(abs(track), person) >= LARGEST_ID:
            raise UserError(f"{file}, line {line}: track_id and identity must be below 2^53")
        if where == (camera or 0) and people.setdefault(track, person) != person:
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


def _cut_into_tracklets(boxes: pd.DataFrame, length: int, earlier: pd.DataFrame) -> pd.DataFrame:
    """`boxes` (video, frame, track, pid, camid) with their tracklet and frame_name, sorted by time.

    Tracklets are numbered within their person and camera, after those in the table `earlier`; without persons, within their
    track.
    """
    boxes = boxes.sort_values(["video", "track", "frame"])
    track = boxes.groupby(["video", "track"]).frame
    pieces = ((track.transform("size") + length // 2) // length).clip(lower=1)
    boxes["piece"] = np.minimum(track.cumcount() // length, pieces - 1)
    persons = [f"{pid:04d}C{camid}T" for pid, camid in zip(boxes.pid, boxes.camid, strict=True)]
    tracks = [f"C{camid}track{number}T" for camid, number in zip(boxes.camid, boxes.track, strict=True)]
    boxes["series"] = np.where(boxes.pid == JUNK, tracks, persons)
    taken = earlier.tracklet.str.rpartition("T")[0].add("T").value_counts() if len(earlier) else {}
    new = ~boxes.duplicated(["video", "track", "piece"])
    number = new.groupby(boxes.series).cumsum() + boxes.series.map(taken).fillna(0).astype(int)
    boxes["tracklet"] = [f"{series}{each:04d}" for series, each in zip(boxes.series, number, strict=True)]
    boxes["frame_name"] = [f"{t}/F{frame:08d}.jpg" for t, frame in zip(boxes.tracklet, boxes.frame, strict=True)]
    return boxes


def _why_not_divided(tracklets: pd.DataFrame) -> str:
    """Why the persons cannot be divided into training and test; empty if they can."""
    if (tracklets.pid == JUNK).all():
        return "its tracks have no identities"
    views = tracklets.groupby("pid").camid.nunique()
    if len(views) >= 2 and views.max() >= 2:
        return ""
    return (
        f"{len(views)} persons in at most {views.max()} cameras each; at least 2 persons are needed, "
        "and one of them in 2 cameras"
    )


def _divide(tracklets: pd.DataFrame, train_share: float) -> pd.DataFrame:
    """The tracklets with their subset. They are the gallery if they cannot be divided."""
    if _why_not_divided(tracklets):
        return tracklets.assign(subset="gallery")
    views = tracklets.groupby("pid").camid.nunique()
    order = sorted(views.index, key=lambda pid: (views[pid] > 1, derive("import", pid)))
    train = order[: min(max(round(train_share * len(order)), 1), len(order) - 1)]
    first = ~tracklets.sort_values("tracklet").duplicated(["pid", "camid"])
    is_query = first.reindex(tracklets.index) & (tracklets.pid.map(views) > 1)
    return tracklets.assign(subset=np.select([tracklets.pid.isin(train), is_query], ["train", "query"], "gallery"))


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


def _crops(videos: Sequence[Video], plan: pd.DataFrame, progress: Progress) -> Iterator[tuple[str, bytes]]:
    """Name and JPEG of each box, in one pass over each video up to the last frame with a box."""
    total = int(plan.groupby("video").frame.max().sum())
    done = 0
    for position, boxes in plan.groupby("video"):
        video = videos[position]
        capture = _open(video.video)
        wanted = dict(list(boxes.groupby("frame")))
        last = max(wanted)
        for number in range(1, last + 1):
            try:
                there = capture.grab()
                picture = capture.retrieve()[1] if there and number in wanted else None
            except cv2.error as error:
                raise UserError(f"{video.video}: frame {number} cannot be decoded ({one_line(error)})") from error
            if not there:
                raise UserError(
                    f"{video.tracks}: has boxes up to frame {last}, but {video.video} ends after frame {number - 1}"
                )
            if number in wanted:
                if picture is None:
                    raise UserError(f"{video.video}: frame {number} cannot be decoded")
                for box in wanted[number].itertuples():
                    crop = _shrink(np.ascontiguousarray(picture[box.y0 : box.y1, box.x0 : box.x1]))
                    yield box.frame_name, simplejpeg.encode_jpeg(crop, quality=QUALITY, colorspace="BGR")
            done += 1
            progress(done, total)


def _shrink(crop: np.ndarray) -> np.ndarray:
    """The crop. If it is larger than LARGEST on both sides, it is scaled down until one side is as large."""
    height, width = crop.shape[:2]
    scale = max(LARGEST[0] / height, LARGEST[1] / width)
    if scale >= 1:
        return crop
    return cv2.resize(crop, (round(width * scale), round(height * scale)), interpolation=cv2.INTER_AREA)
