"""Draw docs/images/worlds.png: the same people in the worlds that differ in what distinguishes people.

python -m benchmarks.maintenance.draw_worlds docs/images/worlds.png
"""

import io
import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from PIL import Image

from benchmarks.data.datasets.walkers import Walkers

WORLDS = {
    "walkers": "clothes and gait differ",
    "walkers-gait": "gait alone differs",
    "walkers-appearance": "clothes alone differ",
}
PEOPLE, FRAMES, STEP = 3, 6, 3


def strip(dataset: Walkers, person: int) -> np.ndarray:
    """(H, FRAMES x W, 3) RGB: every STEP-th frame of the longest training tracklet of the `person`-th person."""
    tracklets = dataset.tracklets()
    tracklets = tracklets[tracklets.subset == "train"]
    pid = tracklets.pid.unique()[person]
    own = tracklets[tracklets.pid == pid]
    (tracklet,) = own.loc[[own.frames.map(len).idxmax()]].itertuples()
    encoded = list(dataset.draw(tracklet))[: FRAMES * STEP : STEP]
    frames = [np.asarray(Image.open(io.BytesIO(each))) for each in encoded]
    return np.concatenate(frames, axis=1)


def main(file: Path) -> None:
    """Write the picture: a column for each world, a row for each person."""
    figure, axes = plt.subplots(PEOPLE, len(WORLDS), figsize=(10, 3.3), layout="constrained")
    for column, (name, meaning) in zip(axes.T, WORLDS.items(), strict=True):
        column[0].set_title(f"{name}: {meaning}", fontsize=9)
        for person, place in enumerate(column):
            place.imshow(strip(Walkers.from_name(name), person))
            place.axis("off")
    figure.savefig(file, dpi=90, metadata={"Software": None})


if __name__ == "__main__":
    main(Path(sys.argv[1]))
