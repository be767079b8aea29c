"""`walkers`: drawn video of walking people, with known differences between them.

The name decides everything that is drawn. Each random generator is seeded by the sha256 of what it depends on, so that any
tracklet can be drawn alone, in any order and by any process, with the same bytes.
"""

import functools
import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, Self

import cv2
import numpy as np
import pandas as pd
import simplejpeg
from numpy.typing import NDArray

from baselines.interface.errors import UserError
from baselines.interface.registry import nearest, register
from benchmarks.data import puppets
from benchmarks.data.drawn import DrawnDataset
from benchmarks.data.puppets import Floats, Look
from benchmarks.data.table import JUNK, make_table

DISTRACTOR = 0
# Cycles per frame. 8 frames hold about one cycle or more, so that a set of poses does not reveal the frequency, which stays below
# the Nyquist frequency, 0.5.
SLOWEST, FASTEST = 0.1, 0.45


class Size(NamedTuple):
    """How much is drawn. Means are over tracklets.

    train, test: persons.
    cameras: cameras; seen: the mean number of them that see a person, at least 2.
    train_again, test_again: the mean number of further tracklets of a person in a camera.
    frames: the mean length; spread: the standard deviation of its logarithm.
    distractors, junk: tracklets.
    height, width: pixels.
    """

    train: int
    test: int
    cameras: int
    seen: float
    train_again: float
    test_again: float
    frames: float
    spread: float
    distractors: int
    junk: int
    height: int
    width: int


SIZES = {
    "tiny": Size(8, 6, 3, 2.5, 0.3, 1.2, 10, 0.3, 3, 2, 64, 32),
    "demo": Size(150, 50, 4, 3.2, 1.0, 1.8, 24, 0.4, 40, 20, 64, 32),
    "cues": Size(120, 100, 3, 3.0, 1.0, 1.0, 24, 0.3, 0, 0, 64, 32),
    "mars": Size(625, 626, 6, 3.16, 3.2, 3.07, 60, 0.8, 3248, 870, 256, 128),
}


class Nuisance(NamedTuple):
    """What changes from tracklet to tracklet and tells nothing of the person. Shares are of tracklets, lengths in image heights.

    passers: the share in which someone else passes in front.
    backwards, turn: the share that walks the other way, and the standard deviation of the direction, in radians.
    box, jitter: standard deviations of the box's place, across and down, and of its change from frame to frame.
    zoom: of the logarithm of the person's size in the box.
    """

    passers: float
    backwards: float
    turn: float
    box: tuple[float, float]
    jitter: float
    zoom: float


LABORATORY = Nuisance(0.0, 0.25, 0.1, (0.02, 0.025), 0.002, 0.04)
STREET = LABORATORY._replace(passers=0.25)


@register("walkers", "walkers-appearance", "walkers-gait")
@dataclass(frozen=True)
class Walkers(DrawnDataset):
    """Drawn people seen by several cameras; identity lies in appearance, in gait, or in both.

    `walkers`: drawn people; half of them have a look-alike with another gait. `walkers-appearance`: drawn people who differ
    in appearance and change gait in every tracklet. `walkers-gait`: drawn people who look alike and differ only in gait.

    Longer names:
        walkers@WORLD: walkers@2 has different cameras, clothes and people from walkers, which is world 1
        walkers:SIZE: walkers:tiny for tests, walkers:demo (the default), walkers:cues with as many people as `cues`,
            walkers:mars with as many as MARS
        walkers:HEIGHTxWIDTH: walkers:256x128, walkers@2:tiny-128x64: the same people at another image size

    Attributes:
        kind: one of the registered names; it decides where identity lies.
        world: which cameras, clothes and people there are, from 1.
        size: a key of SIZES.
        pixels: height and width, where they differ from the size's own.
    """

    protocols = ("official", "standard", "full")

    kind: str = "walkers"
    world: int = 1
    size: str = "demo"
    pixels: tuple[int, int] | None = None

    @classmethod
    def from_name(cls, name: str) -> Self:
        """The data set of a name `KIND[@WORLD][:SIZE]`. SIZE is a key of SIZES, HEIGHTxWIDTH, or both joined by `-`.

        Raises:
            UserError: no such size (with the closest one), or a world that is not a number.
        """
        kind, world, size = re.fullmatch(r"([^@:]*)(?:@([^:]*))?(?::(.*))?", name, re.DOTALL).groups()  # type: ignore[union-attr]
        size = cls.size if size is None else size
        parts = re.fullmatch(r"(?=\w)([a-z]+)?(?:(?:^|-)([1-9]\d{1,3})x([1-9]\d{1,3}))?", size)
        amount = (parts[1] or cls.size) if parts else size
        if parts is None or amount not in SIZES:
            raise UserError(f"no size {size!r} in {name!r}; {nearest(amount, list(SIZES))} or pixels: {kind}:256x128")
        if world is not None and not re.fullmatch(r"[1-9][0-9]{0,8}", world):
            raise UserError(f"no world {world!r} in {name!r}; worlds are numbered from 1: {kind}@2")
        return cls(kind, int(world or 1), amount, (int(parts[2]), int(parts[3])) if parts[2] else None)

    @property
    def name(self) -> str:
        world, end = f"@{self.world}" if self.world != 1 else "", "-".join(self.parameters)
        return f"{self.kind}{world}{':' if end else ''}{end}"

    @property
    def parameters(self) -> list[str]:
        """The parts of the name after `:`, without what is usual."""
        pixels = [f"{self.pixels[0]}x{self.pixels[1]}"] if self.pixels else []
        return ([self.size] if self.size != type(self).size else []) + pixels

    @property
    def source_files(self) -> tuple[Path, ...]:
        return (*super().source_files, Path(puppets.__file__))

    def another_world(self) -> Self:
        return replace(self, world=self.world + 1)

    def tracklets(self) -> pd.DataFrame:
        return _table(self.world, self.size)

    def draw(self, tracklet: Any) -> Iterator[bytes]:
        return _draw(self, tracklet.pid, tracklet.camid, tracklet.tracklet, len(tracklet.frames))

    @property
    def laboratory(self) -> bool:
        """Whether the walls are plain."""
        return self.kind == "walkers-gait"

    @property
    def nuisance(self) -> Nuisance:
        return LABORATORY if self.laboratory else STREET

    def frequencies(self, pid: int, tracklet: str) -> Floats:
        """Cycles per frame of each of `puppets.CUES`, (4,): the person's own or, where gait says nothing, the tracklet's."""
        return gait(self.world, pid if pid > 0 and self.kind != "walkers-appearance" else tracklet)

    def look(self, pid: int, tracklet: str) -> Look:
        """What a person wears in a tracklet: the same for all (`walkers-gait`), the person's own, or shared by two."""
        if self.kind == "walkers-gait":
            return puppets.UNIFORM
        if pid <= 0 or self.kind == "walkers-appearance":
            return outfit(self.world, pid if pid > 0 else tracklet)
        subset, position = self.position(pid)
        other = position - 1 if position % 4 == 1 else position  # of four persons the first two look alike
        return puppets.dress(_random(self.world, "outfit", subset, other))

    def attributes(self, root: Path, pids: Sequence[int]) -> pd.DataFrame:  # noqa: ARG002 - known without a file
        """What the people wear, exactly; see `puppets.attributes`. It is the same in all tracklets of a person."""
        return pd.DataFrame.from_dict({pid: puppets.attributes(self.look(pid, "")) for pid in pids}, orient="index")

    def position(self, pid: int) -> tuple[str, int]:
        """Whether a person is for training or for test, and the place among those, from 0."""
        train = SIZES[self.size].train
        return ("train", pid - 1) if pid <= train else ("test", pid - train - 1)


# The table ------------------------------------------------------------------------------------------------------------


def _random(*parts: object) -> np.random.Generator:
    seed = hashlib.sha256("|".join(map(str, parts)).encode()).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(seed[:16])))


def _table(world: int, size_name: str) -> pd.DataFrame:
    """The table of tracklets, with frame names as in MARS.

    Subsets are also as in MARS: one tracklet of each test person and camera is a query, all others are in the gallery, and only
    there are distractors (pid 0) and junk (pid -1).
    """
    size = SIZES[size_name]
    rows: dict[str, list[tuple[str, int, int, str, list[str]]]] = {"train": [], "query": [], "gallery": []}

    def add(subset: str, pid: int, camid: int, number: int, random: np.random.Generator) -> None:
        usual = size.frames * np.exp(size.spread * random.standard_normal() - size.spread**2 / 2)
        # A few are shorter than a clip.
        length = int(random.integers(2, 7)) if random.random() < 0.04 else int(np.clip(round(usual), 2, 920))
        tracklet = f"{'00-1' if pid == JUNK else f'{pid:04d}'}C{camid}T{number:04d}"
        rows[subset].append((subset, pid, camid, tracklet, [f"{tracklet}F{n:03d}.jpg" for n in range(1, length + 1)]))

    for pid, count in ((JUNK, size.junk), (DISTRACTOR, size.distractors)):
        random = _random(world, size_name, "table", pid)
        for number in range(1, count + 1):
            add("gallery", pid, int(random.integers(1, size.cameras + 1)), number, random)
    for pid in range(1, size.train + size.test + 1):
        training = pid <= size.train
        random = _random(world, size_name, "table", pid)
        seen = 2 + random.binomial(size.cameras - 2, (size.seen - 2) / (size.cameras - 2))
        for camid in sorted(1 + random.permutation(size.cameras)[:seen]):
            for number in range(1, 2 + random.poisson(size.train_again if training else size.test_again)):
                add("train" if training else "query" if number == 1 else "gallery", pid, int(camid), number, random)
    return make_table(row for subset in rows.values() for row in subset)


# What tells people apart ----------------------------------------------------------------------------------------------


def gait(world: int, owner: int | str) -> Floats:
    """A gait that belongs to a person or to a tracklet: cycles per frame of each of `puppets.CUES`, (4,)."""
    return _random(world, "gait", owner).uniform(SLOWEST, FASTEST, len(puppets.CUES))


def outfit(world: int, owner: int | str) -> Look:
    """A look that belongs to a person or to a tracklet."""
    return puppets.dress(_random(world, "look", owner))


# What does not: cameras and tracklets ---------------------------------------------------------------------------------

# Of walking, as seen by cameras 1, 2, ...: from the side, oblique, frontal.
DIRECTIONS = np.radians([85, 40, 145, 65, 20, 115])
NOISE = 32  # how far the grain may be shifted, in pixels


class Camera(NamedTuple):
    """What a camera does to every image, and its background."""

    azimuth: float
    elevation: float
    colour: Floats  # (3, 3): cast and saturation
    offset: float
    blur: float  # standard deviation in image heights
    scale: float  # resolution of the camera: its height over that of the image
    quality: int
    scene: NDArray[np.uint8]  # the background, which repeats to the right
    grain: NDArray[np.int16]


@functools.lru_cache(maxsize=16)
def camera(world: int, camid: int, height: int, width: int, laboratory: bool) -> Camera:
    """A camera of a world, for images of that size, in the street or in a laboratory with plain walls."""
    random = _random(world, "camera", camid)
    azimuth = DIRECTIONS[(camid - 1) % len(DIRECTIONS)] + random.normal(0, 0.12)
    saturation = random.uniform(0.55, 1.1)
    grey = np.full((3, 3), 1 / 3)
    colour = np.diag(random.lognormal(0, 0.12, 3)) @ (saturation * np.eye(3) + (1 - saturation) * grey)
    scene = _scene(_random(world, "scene", camid), height, width)
    if laboratory:
        scene = cv2.GaussianBlur(cv2.addWeighted(scene, 0.3, scene, 0.0, 80), (0, 0), 0.1 * height)
    return Camera(
        azimuth=azimuth,
        elevation=random.uniform(0.12, 0.35),
        colour=colour * random.uniform(0.75, 1.15),
        offset=random.uniform(-8, 24),
        blur=random.uniform(0.003, 0.011),
        scale=random.uniform(0.55, 1.0),
        quality=int(random.integers(70, 93)),
        scene=scene,
        grain=np.round(
            random.uniform(1.5, 5) * random.standard_normal((height + NOISE, width + NOISE, 1)).repeat(3, 2)
        ).astype(np.int16),
    )


def _scene(random: np.random.Generator, height: int, width: int) -> NDArray[np.uint8]:
    """The background: wall and ground with objects, (1.5 height, 6 height + width, 3)."""
    tall, wide = 3 * height // 2, 6 * height
    image = np.empty((tall, wide, 3), np.uint8)

    def colour(low: int = 50, high: int = 215) -> list[int]:
        return np.clip(random.uniform(low, high) + random.normal(0, 16, 3), 0, 255).tolist()

    def box(x: float, y: float, right: float, bottom: float, fill: list[int]) -> None:
        corner, other = (round(x * height), round(y * height)), (round(right * height), round(bottom * height))
        cv2.rectangle(image, corner, other, fill, cv2.FILLED)

    horizon = random.uniform(0.75, 1.0)
    box(0, 0, 6, 1.5, colour())
    for x in np.arange(0, 6, random.uniform(0.5, 1.2)):  # windows, doors, posters
        y, broad, high = random.uniform(0, 0.5), random.uniform(0.1, 0.4), random.uniform(0.2, 0.6)
        box(x, y, x + broad, y + high, colour(30, 230))
    box(0, horizon, 6, 1.5, colour())
    for y in horizon + 0.06 * 1.6 ** np.arange(5):  # kerbs and joints of the pavement
        box(0, y, 6, y + 0.008, colour())
    for x in random.uniform(0, 5.7, 6):  # posts, benches, cars
        broad, high = random.choice([[0.04, 0.8], [0.3, 0.2], [0.7, 0.35]])
        box(x, horizon + 0.08 - high, min(x + broad, 6), horizon + 0.08, colour(20, 200))
    lumps = cv2.resize(
        random.normal(0, 11, (24, 96, 1)).astype(np.float32), (wide, tall), interpolation=cv2.INTER_CUBIC
    )
    image = np.clip(image + lumps[..., None], 0, 255).astype(np.uint8)
    image = cv2.GaussianBlur(image, (0, 0), 0.012 * height)
    return np.concatenate([image, image[:, :width]], 1)


def _draw(dataset: Walkers, pid: int, camid: int, tracklet: str, length: int) -> Iterator[bytes]:
    """The frames of one tracklet as JPEG."""
    height, width = dataset.pixels or SIZES[dataset.size][-2:]
    nuisance = dataset.nuisance
    eye = camera(dataset.world, camid, height, width, dataset.laboratory)
    random = _random(dataset.world, dataset.kind, "tracklet", tracklet)
    time = np.arange(length)[:, None]

    # The person. Where each oscillation starts is drawn for the tracklet, or a set of poses would reveal the person.
    other_way = np.pi * (random.random() < nuisance.backwards)
    azimuth = eye.azimuth + random.normal(0, nuisance.turn) + other_way
    starts = random.uniform(0, 2 * np.pi, len(puppets.CUES))
    phases = starts + 2 * np.pi * dataset.frequencies(pid, tracklet) * time
    body = puppets.outlines(dataset.look(pid, tracklet), phases, azimuth, eye.elevation)

    # The box: a constant offset and jitter. Junk is a failed detection.
    off = random.normal(0, nuisance.box) if pid != JUNK else random.choice([-1, 1], 2) * random.uniform(0.15, 0.4, 2)
    zoom = 0.9 * np.exp(random.normal(0, nuisance.zoom))
    feet = np.array([0.5 * width / height, 0.5 + 0.51 * zoom]) + off + random.normal(0, nuisance.jitter, (length, 2))
    walkers = [_place(body, zoom, feet, height)]

    # Someone else passes in front.
    if nuisance.passers and random.random() < nuisance.passers:
        stranger = puppets.dress(random)
        steps = random.uniform(0, 2 * np.pi, 4) + 2 * np.pi * random.uniform(SLOWEST, FASTEST, 4) * time
        heading = random.choice([-1, 1])
        passing = puppets.outlines(stranger, steps, heading * np.pi / 2, eye.elevation)
        meeting, speed = random.uniform(0, length), random.uniform(0.04, 0.1)
        path = np.concatenate([heading * speed * (time - meeting), np.full((length, 1), random.uniform(0.02, 0.2))], 1)
        walkers.append(_place(passing, 1.05 * zoom, feet + path, height))

    # The background moves as the person walks, at a speed that says nothing about the person.
    wide = eye.scene.shape[1] - width
    left = random.uniform(0, wide) + height * (np.sin(azimuth) * random.uniform(0.005, 0.02) * time[:, 0] - feet[:, 0])
    top = np.clip(height * (1.26 - feet[:, 1]), 0, height // 2)
    middles = np.column_stack([left % wide + (width - 1) / 2, top + (height - 1) / 2])
    grain = random.integers(0, NOISE, (length, 2))
    light = np.column_stack([eye.colour * random.lognormal(0, 0.1), np.full(3, eye.offset)])
    small = (max(round(width * eye.scale), 8), max(round(height * eye.scale), 16))

    for n in range(length):
        image = cv2.getRectSubPix(eye.scene, (width, height), middles[n])
        for polygons, colours, visible in walkers:
            if visible[n]:
                puppets.paint(image, polygons[n], colours[n])
        image = cv2.transform(image, light)
        if eye.scale < 0.95:
            image = cv2.resize(cv2.resize(image, small, interpolation=cv2.INTER_AREA), (width, height))
        image = cv2.GaussianBlur(image, (0, 0), eye.blur * height)
        y, x = grain[n]
        image = cv2.add(image, eye.grain[y : y + height, x : x + width], dtype=cv2.CV_8U)
        yield simplejpeg.encode_jpeg(image, quality=eye.quality, colorspace="RGB", colorsubsampling="420")


def _place(
    body: tuple[Floats, Floats], zoom: float, feet: Floats, height: int
) -> tuple[NDArray[np.int32], list[list[list[float]]], list[bool]]:
    """A walker in pixels of the box: polygons, colours, and whether any part may be visible in each frame."""
    points, colours = body
    pixels = height * (zoom * points + feet[:, None, None])
    visible = (pixels[..., 0].max((1, 2)) > 0) & (pixels[..., 0].min((1, 2)) < height)
    return puppets.fixed_point(pixels), colours.tolist(), visible.tolist()
