"""An articulated walking figure as filled polygons. Only its parameters decide what is drawn.

The body is measured in body heights, along the walker's axes: forward, left, up. Each part is a rounded bar between two joints,
so that a tracklet takes a few array operations for all frames at once, and a frame about thirty filled polygons.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Colour = tuple[int, int, int]

CUES = ("legs", "arms", "bounce", "sway")  # the independent oscillations of a gait, in the order of `phases`
SHIFT = 4  # binary digits after the point: coordinates are multiples of 1/16 pixel
END_ANGLES = np.linspace(-np.pi / 2, np.pi / 2, 7)  # of a bar's rounded end


@dataclass(frozen=True)
class Look:
    """Clothes, hair, bag and build of a person. Colours are RGB, 0 to 255.

    pattern: plain, stripes or yoke (in `accent`).
    legwear: trousers, shorts or skirt.
    bag: none, backpack or shoulder.
    hair_length: in body heights.
    girth, shoulders, height: factors of the usual size.
    """

    top: Colour
    accent: Colour
    bottom: Colour
    shoes: Colour
    skin: Colour
    hair: Colour
    bag_colour: Colour
    pattern: str
    legwear: str
    bag: str
    sleeves: bool
    coat: bool
    hair_length: float
    girth: float
    shoulders: float
    height: float


CLOTHES = (  # hue in degrees, saturation, value, relative frequency
    (0, 0.02, 0.12, 5), (0, 0.02, 0.35, 3), (0, 0.02, 0.62, 2), (0, 0.02, 0.92, 3), (215, 0.65, 0.35, 4),
    (210, 0.6, 0.65, 2), (355, 0.75, 0.6, 2), (20, 0.55, 0.38, 2), (40, 0.35, 0.72, 2), (130, 0.5, 0.35, 2),
    (50, 0.75, 0.85, 1), (330, 0.45, 0.8, 1), (280, 0.45, 0.45, 1), (175, 0.6, 0.55, 1), (25, 0.85, 0.85, 1),
)  # fmt: skip
SKIN = ((246, 214, 190), (226, 180, 148), (190, 138, 104), (140, 96, 70), (92, 62, 46))
HAIR = ((24, 20, 18), (58, 38, 26), (104, 70, 42), (186, 150, 96), (150, 146, 142), (120, 50, 30))
# Neighbouring limbs differ in colour, so that their swing is visible.
UNIFORM = Look(
    top=(235, 200, 60), accent=(0, 0, 0), bottom=(90, 140, 215), shoes=(240, 240, 240), skin=SKIN[1], hair=HAIR[1],
    bag_colour=(0, 0, 0), pattern="plain", legwear="trousers", bag="none", sleeves=False, coat=False, hair_length=0.04,
    girth=1.0, shoulders=1.0, height=1.0,
)  # fmt: skip


def _rgb(hue: float, saturation: float, value: float) -> Floats:
    """HSV to RGB, 0 to 255: each channel's distance from the hue on a circle of six. Neither quite black nor quite white."""
    ramp = np.clip(np.abs((hue / 60 + np.array([0, 4, 2])) % 6 - 3) - 1, 0, 1)
    shade: Floats = np.clip(value, 0.05, 0.97) * (1 - np.clip(saturation, 0, 1) * (1 - ramp))
    return 255 * shade


def dress(random: np.random.Generator) -> Look:
    """A random look: clothes in common colours, hair, bag and build."""
    common = np.array([row[3] for row in CLOTHES], float)

    def cloth() -> tuple[int, int, int]:
        hue, saturation, value, _ = CLOTHES[random.choice(len(CLOTHES), p=common / common.sum())]
        hue, saturation, value = np.array([hue, saturation, value]) + random.normal(0, [8, 0.05, 0.06])
        red, green, blue = np.round(_rgb(hue, saturation, value)).astype(int).tolist()
        return red, green, blue

    def one_of(*names: str) -> str:
        return names[random.integers(len(names))]

    return Look(
        top=cloth(),
        accent=cloth(),
        bottom=cloth(),
        shoes=cloth(),
        skin=SKIN[random.integers(len(SKIN))],
        hair=HAIR[random.integers(len(HAIR))],
        bag_colour=cloth(),
        pattern=one_of("plain", "plain", "stripes", "yoke"),
        legwear=one_of("trousers", "trousers", "trousers", "shorts", "skirt"),
        bag=one_of("none", "none", "backpack", "shoulder"),
        sleeves=bool(random.random() < 0.6),
        coat=bool(random.random() < 0.2),
        hair_length=float(random.choice([0.02, 0.04, 0.13])),
        girth=float(random.uniform(0.85, 1.25)),
        shoulders=float(random.uniform(0.9, 1.12)),
        height=float(random.uniform(0.94, 1.04)),
    )


def attributes(look: Look) -> dict[str, str]:
    """The attributes of a look as texts. A colour is the number of the nearest one in CLOTHES, SKIN or HAIR."""

    def nearest(colour: Colour, known: Floats) -> str:
        return str(int(np.square(known - colour).sum(axis=1).argmin()))

    cloth = np.array([_rgb(hue, saturation, value) for hue, saturation, value, _ in CLOTHES])
    return {
        "top": nearest(look.top, cloth),
        "bottom": nearest(look.bottom, cloth),
        "shoes": nearest(look.shoes, cloth),
        "skin": nearest(look.skin, np.array(SKIN)),
        "hair": nearest(look.hair, np.array(HAIR)),
        "hair length": str(look.hair_length),
        "pattern": look.pattern,
        "legwear": look.legwear,
        "bag": look.bag,
        "sleeves": "long" if look.sleeves else "short",
        "coat": "yes" if look.coat else "no",
    }


@dataclass
class _Bars:
    """The rounded bars of one walker over T frames."""

    ends: list[tuple[Floats, Floats]] = field(default_factory=list)  # two (T, 3) arrays per bar
    shapes: list[tuple[float, float, float, float]] = field(default_factory=list)  # radii at the ends, cap, bias
    colours: list[Colour] = field(default_factory=list)

    def add(
        self,
        start: Floats,
        end: Floats,
        radii: tuple[float, float],
        colour: Colour,
        cap: float = 1.0,
        bias: float = 0.0,
    ) -> None:
        """Add a bar. `cap`: how round its ends are; `bias`: how far its surface is from its centre line, towards the camera."""
        self.ends.append((start, end))
        self.shapes.append((*radii, cap, bias))
        self.colours.append(colour)


def _swing(angle: Floats, length: float, sideways: Floats | float = 0.0) -> Floats:
    """The vector along a limb, (T, 3), swung forward by `angle` and outward by `sideways` (radians)."""
    return length * np.stack([np.sin(angle), np.sin(sideways) * np.cos(angle), -np.cos(angle) * np.cos(sideways)], -1)


def _bars(look: Look, phases: Floats, azimuth: float) -> _Bars:
    legs, arms, bounce, sway = phases.T
    ahead, left, up = np.eye(3)
    # A body is wide from the front and narrow from the side.
    broad, g = abs(np.cos(azimuth)), look.girth
    bars = _Bars()

    hips = 0.51 * up + 0.025 * np.sin(bounce)[:, None] * up
    # The trunk leans to the left and forward at once, so that the lean is visible from everywhere.
    lean = 0.12 * np.sin(sway)
    spine = np.stack([0.05 + 0.8 * lean, 0.8 * lean, np.ones_like(lean)], -1)
    neck = hips + 0.31 * spine
    head = hips + 0.405 * spine

    for side in (1, -1):
        pitch = 0.5 * np.sin(legs) * side
        bend = 0.15 + 0.75 * np.clip(np.cos(legs) * side, 0, None)  # the knee bends while the leg swings forward
        hip = hips + side * 0.05 * left
        knee = hip + _swing(pitch, 0.245)
        ankle = knee + _swing(pitch - bend, 0.225)
        toe = ankle + _swing(pitch - bend + 1.4, 0.085)
        covered = look.legwear == "trousers"
        bars.add(ankle, toe, (0.024, 0.018), look.shoes)
        bars.add(knee, ankle, (0.036 * g, 0.026 * g), look.bottom if covered else look.skin)
        bars.add(hip, knee, (0.058 * g, 0.04 * g), look.bottom, bias=0.005)

        reach = 0.55 * np.sin(arms) * side
        shoulder = neck - 0.025 * spine + side * 0.115 * look.shoulders * left
        elbow = shoulder + _swing(reach, 0.17, side * 0.16)
        hand = elbow + _swing(reach + 0.3 + 0.3 * np.sin(arms) * side, 0.15, side * 0.1)
        bars.add(elbow, hand, (0.026 * g, 0.02 * g), look.top if look.sleeves else look.skin, bias=0.035)
        bars.add(shoulder, elbow, (0.036 * g, 0.029 * g), look.top, bias=0.035)
        bars.add(hand, hand + 0.02 * (hand - elbow), (0.021, 0.02), look.skin, bias=0.036)

    chest = (0.045 + 0.075 * broad) * look.shoulders * g
    waist = (0.055 + 0.035 * broad) * g
    top = neck - 0.02 * spine
    bars.add(top, hips, (chest, waist), look.top, cap=0.4, bias=0.03)
    bars.add(hips + 0.02 * up, hips - 0.03 * up, (waist, waist), look.bottom, cap=0.6, bias=0.02)
    if look.pattern == "stripes":
        for place in (0.25, 0.55, 0.85):
            width = chest + (waist - chest) * place
            band = top + place * (hips - top)
            bars.add(band, band - 0.025 * up, (width, width), look.accent, cap=0.0, bias=0.031)
    elif look.pattern == "yoke":
        middle = top + 0.45 * (hips - top)
        bars.add(top, middle, (chest, 0.55 * chest + 0.45 * waist), look.accent, cap=0.4, bias=0.031)
    if look.coat:
        bars.add(hips, hips - 0.17 * up, (waist, 1.2 * waist), look.top, cap=0.15, bias=0.029)
    if look.legwear == "skirt":
        bars.add(hips, hips - 0.2 * up, (waist, 1.5 * waist), look.bottom, cap=0.15, bias=0.025)
    if look.bag == "backpack":
        back = neck - 0.11 * ahead - 0.05 * up
        bars.add(back, back - 0.16 * up, (0.04 + 0.05 * broad, 0.05 + 0.05 * broad), look.bag_colour, cap=0.5)
    elif look.bag == "shoulder":
        bag = hips - 0.15 * look.shoulders * left
        bars.add(bag + 0.02 * up, bag - 0.07 * up, (0.05, 0.06), look.bag_colour, cap=0.3)
        bars.add(bag, neck + 0.06 * left, (0.008, 0.008), look.bag_colour, bias=0.033)

    bars.add(neck - 0.01 * up, head, (0.03, 0.03), look.skin)
    bars.add(head - 0.025 * up + 0.012 * ahead, head + 0.025 * up, (0.043, 0.053), look.skin, bias=0.002)
    hair = head + 0.03 * up - 0.022 * ahead
    bars.add(hair, hair - look.hair_length * up - 0.01 * ahead, (0.058, 0.05), look.hair)
    bars.add(head + 0.05 * up + 0.01 * ahead, head + 0.05 * up - 0.02 * ahead, (0.042, 0.05), look.hair, bias=0.04)
    return bars


def outlines(look: Look, phases: Floats, azimuth: float, elevation: float) -> tuple[Floats, Floats]:
    """Polygons and colours of a walker in T frames, with the farthest part first.

    Args:
        look: what the walker wears.
        phases: (T, 4), radians, the phase of each of `CUES` in each frame.
        azimuth: radians; 0 walks towards the camera, pi / 2 to the right, pi away.
        elevation: radians, how far the camera looks down.

    Returns:
        points (T, parts, points, 2) in body heights, to the right of and below the point on the ground under the walker, and
        colours (T, parts, 3), RGB, shaded by depth.
    """
    bars = _bars(look, phases, azimuth)
    joints = look.height * np.array(bars.ends).transpose(2, 0, 1, 3)  # (T, parts, 2, 3)
    shapes = np.array(bars.shapes)
    sine, cosine = np.sin(azimuth), np.cos(azimuth)
    across = joints @ np.array([sine, cosine, 0.0])
    towards = joints @ np.array([cosine, -sine, 0.0])
    down = towards * np.sin(elevation) - joints[..., 2] * np.cos(elevation)
    ends = np.stack([across, down], -1)  # (T, parts, 2, 2)

    along = ends[:, :, 1] - ends[:, :, 0]
    along /= np.maximum(np.linalg.norm(along, axis=-1, keepdims=True), 1e-9)
    normal = np.stack([-along[..., 1], along[..., 0]], -1)
    cap, radius = shapes[:, 2, None, None], look.height * shapes[:, :2, None, None]
    arc = cap * np.cos(END_ANGLES)[:, None] * along[:, :, None] + np.sin(END_ANGLES)[:, None] * normal[:, :, None]
    mirrored = -cap * np.cos(END_ANGLES)[:, None] * along[:, :, None] - np.sin(END_ANGLES)[:, None] * normal[:, :, None]
    points = np.concatenate(
        [ends[:, :, :1] + radius[:, 0] * mirrored, ends[:, :, 1:] + radius[:, 1] * arc], axis=2
    )  # the rounded end at the start, then the other one

    depth = towards.mean(-1)
    shade = np.clip(0.95 + 3.0 * depth, 0.55, 1.25)
    colours = np.clip(np.array(bars.colours) * shade[..., None], 0, 255)
    order = np.argsort(depth + shapes[:, 3], axis=1, kind="stable")
    return np.take_along_axis(points, order[..., None, None], 1), np.take_along_axis(colours, order[..., None], 1)


def fixed_point(points: Floats) -> NDArray[np.int32]:
    """Pixel coordinates as the fixed-point numbers that `paint` takes."""
    return np.round(points * (1 << SHIFT)).astype(np.int32)


def paint(canvas: NDArray[np.uint8], polygons: NDArray[np.int32], colours: Sequence[Sequence[float]]) -> None:
    """Draw `polygons` (parts, points, 2), from `fixed_point`, on `canvas` (H, W, 3), with the last one on top."""
    for polygon, colour in zip(polygons, colours, strict=True):
        cv2.fillConvexPoly(canvas, polygon, colour, cv2.LINE_AA, SHIFT)
