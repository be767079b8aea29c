"""A plug-in that draws a data set: one file, with a second world, drawn again when it changes."""

import pytest

from benchmarks.data import DATASETS
from benchmarks.paths import cache_dir

RECTANGLES = '''
from dataclasses import dataclass, replace
import cv2
import numpy as np
from baselines.interface import UserError, register
from benchmarks.data.drawn import DrawnDataset
from benchmarks.data.table import make_table

@register("rectangles")
@dataclass(frozen=True)
class Rectangles(DrawnDataset):
    """Six people as coloured rectangles, seen by two cameras.

    Longer names:
        rectangles@WORLD: other colours
    """

    protocols = ("standard",)
    world: int = 1

    @classmethod
    def from_name(cls, name):
        world = name.partition("@")[2] or "1"
        if not world.isdigit():
            raise UserError(f"no world {world!r} in {name!r}; worlds are numbers")
        return cls(int(world))

    @property
    def name(self):
        return "rectangles" if self.world == 1 else f"rectangles@{self.world}"

    def another_world(self):
        return replace(self, world=self.world + 1)

    def tracklets(self):
        def row(subset, pid, camid):
            return subset, pid, camid, f"{pid}C{camid}", [f"{pid}C{camid}F{n}.png" for n in range(4)]

        subsets = {1: "query", 2: "gallery"}
        return make_table(row("train" if pid < 3 else subsets[c], pid, c) for pid in range(6) for c in (1, 2))

    def draw(self, tracklet):
        colour = np.random.default_rng([self.world, tracklet.pid]).integers(0, 256, 3)
        for n in range(len(tracklet.frames)):
            image = np.full((32, 16, 3), 40 * tracklet.camid, np.uint8)
            image[4 + n : 20 + n, 4:12] = colour
            yield cv2.imencode(".png", image)[1].tobytes()
'''


@pytest.fixture
def rectangles(tmp_path):
    file = tmp_path / "rectangles.py"
    file.write_text(RECTANGLES)
    return file


def test_generator_is_one_file(bench, rectangles):
    listed = bench("list", "--plugin", rectangles).out
    assert "  rectangles           Six people as coloured rectangles, seen by two cameras." in listed
    assert "  rectangles@WORLD     other colours" in listed
    words = ("run", "--method", "mean", "--plugin", rectangles, "--recipe", "small", "--set", "epochs=1")
    answer = bench(*words, "--dataset", "rectangles@01")
    assert answer.status == 0, answer.err
    assert "rectangles-mean-seed0-" in answer.out  # under its shortest name
    assert "stale" not in bench("table", "--plugin", rectangles).out
    verified = bench("data", "verify", "rectangles", "--plugin", rectangles)
    assert verified.out.splitlines()[-1] == "rectangles: every frame readable"


def test_generator_is_paired_with_its_other_world(bench, rectangles):
    words = ("suite", "run", "table5", "--dataset", "rectangles", "--plugin", rectangles, "--seeds", 1)
    answer = bench(*words, "--recipe", "small", "--set", "epochs=0")
    assert answer.status == 0, answer.err
    assert "6 of 6 done" in answer.out
    names = [line for line in bench("table", "--plugin", rectangles).out.splitlines() if " to " in line]
    assert any("rectangles to rectangles@2" in line for line in names)
    assert any("rectangles@2 to rectangles" in line for line in names)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--dataset", "rectangles@x"), "no world 'x' in 'rectangles@x'"),
        (("--dataset", "rectangle"), "no data set 'rectangle'; did you mean 'rectangles'"),
        (("--dataset", "mars@2"), "no data set 'mars@2'; only drawn data sets take '@' and ':'"),
        (("--dataset", "rectangles", "--root", "/tmp"), "--root /tmp: rectangles is drawn or imported"),
        (("--dataset", "rectangles", "--split", "1"), "--split 1: rectangles has splits 0 to 0"),
    ],
)
def test_wrong_name_of_a_generator(bench, rectangles, words, message):
    answer = bench("run", "--method", "mean", "--plugin", rectangles, *words)
    assert answer.status == 2
    assert message in answer.err.splitlines()[-1]


def test_changed_generator_draws_again(bench, rectangles):
    words = ("data", "stats", "rectangles", "--plugin")
    before = bench(*words, rectangles).out.splitlines()[-1]
    other = rectangles.with_name("other.py")
    other.write_text(RECTANGLES.replace("40 * tracklet.camid", "50 * tracklet.camid"))
    del DATASETS.entries["rectangles"]
    assert bench(*words, other).out.splitlines()[-1] != before


def test_interrupted_drawing_leaves_nothing(bench, rectangles):
    rectangles.write_text(RECTANGLES.replace("yield cv2", "1 / (5 - tracklet.pid)\n            yield cv2"))
    answer = bench("data", "stats", "rectangles", "--plugin", rectangles)
    assert answer.status == 2
    assert f"{rectangles}, line 47: ZeroDivisionError" in answer.err
    assert list((cache_dir() / "drawn").glob("*rectangles-*.half")) == []
