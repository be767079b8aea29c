"""Attributes of people: from the public list of MARS as it is, from the drawing of drawn people; refused where there are none."""

import cv2
import numpy as np
import pandas as pd
import pytest

from baselines.interface.errors import UserError
from benchmarks.data.attributes import FILE, attributes_digest, encode_attributes, known_values, read_attributes
from benchmarks.data.find import find_dataset
from benchmarks.paths import cache_dir

# As in the list of MARS: tracklets of one person may differ.
MARS = """person-id,camera,tracklet,Tops.c,hat,shoulder bag
2,2,19,7,0,1
2,2,21,7,0,0
2,1,5,8,0,0
1,5,165,5,,0
10,1,1,8,1,0
"""


def written(tmp_path, text):
    file = tmp_path / FILE
    file.write_text(text, encoding="utf-8")
    return file


def test_most_frequent_value_of_a_person_counts(tmp_path):
    table = read_attributes(written(tmp_path, MARS))
    assert list(table.columns) == ["Tops.c", "hat", "shoulder bag"]
    assert table.loc[[1, 2, 10]].values.tolist() == [["5", "", "0"], ["7", "0", "0"], ["8", "1", "0"]]


def test_numbers_of_values(tmp_path):
    table = read_attributes(written(tmp_path, MARS))
    values = known_values(table)
    assert values == {"Tops.c": ["5", "7", "8"], "hat": ["0", "1"]}  # none of them has a shoulder bag
    assert encode_attributes(table.loc[[10, 1, 2]], values).tolist() == [[2, 1], [0, -1], [1, 0]]
    others = table.loc[[2, 10]].replace("8", "9")
    assert encode_attributes(others, values).tolist() == [[1, 0], [-1, 1]]  # a value that none of the first had
    assert known_values(table.loc[[2]]) == {}
    assert attributes_digest(table) != attributes_digest(table.replace("8", "9"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "must name the columns"),
        ("pid\n1\n", "must name the columns"),
        ("1,0\n2,1\n", "its first line must name the columns"),
        ("pid,hat,hat\n1,0,1\n", "must name the columns, each with a different name"),
        ("pid,hat\n1,0\n\nx,1\n", "row 3: not a pid and 1 values"),
        (f"pid,hat\n{'9' * 5000},1\n", "row 2: not a pid and 1 values"),
        ("pid,hat\n1,0,3\n", "row 2: not a pid and 1 values"),
        ('pid,hat\n1,"0\n2,1\n', r"cannot be read \(unexpected end of data\)"),  # the value would hold all further rows
        ('pid,hat\n1,"0\n2,1\n3,"\n', r"cannot be read \(unexpected end of data\)"),
    ],
)
def test_other_tables_are_refused(tmp_path, text, message):
    with pytest.raises(UserError, match=message):
        read_attributes(written(tmp_path, text))


def test_attributes_of_drawn_people_are_what_is_drawn():
    world = find_dataset("walkers:tiny")
    pids = [1, 2, 3, 4]
    table = world.attributes(None, pids)
    assert list(table.index) == pids
    assert table.loc[1].equals(table.loc[2])  # of four people the first two look alike
    assert not table.loc[1].equals(table.loc[3])
    for pid in pids:
        look = world.look(pid, "any")
        assert table.loc[pid, ["legwear", "bag", "pattern"]].tolist() == [look.legwear, look.bag, look.pattern]
    wide = find_dataset("walkers-appearance:demo")
    table = wide.attributes(None, list(range(1, 151)))
    lightness = pd.Series({pid: sum(wide.look(pid, "").bottom) for pid in table.index})
    black, white = (lightness[table.bottom == name] for name in ("0", "3"))
    assert black.max() < 250 < 600 < white.min()


def test_run_needs_attributes(bench, tmp_path):
    """Refused in one line without them; with them, another file is another run, and a run is tested elsewhere without any."""
    draw = np.random.default_rng(0)
    for pid in range(1, 9):
        for camera in (1, 2):
            folder = tmp_path / "images" / f"{pid}_{camera}"
            folder.mkdir(parents=True)
            for frame in range(3):
                cv2.imwrite(str(folder / f"{frame}.png"), draw.integers(0, 255, (32, 16, 3), np.uint8))
    named = ("--name", "few", "--pattern", r"(?P<pid>\d)_(?P<camid>\d)/(?P<frame>\d).png", "--queries", "first-camera")
    assert bench("data", "import", "--images", tmp_path / "images", *named).status == 0
    run = ("run", "--method", "adfdta+afa", "--dataset", "few", "--epochs", 1)
    refused = bench(*run)
    file = cache_dir() / "imported" / "few" / FILE
    line = refused.err.splitlines()[-1]
    assert (refused.status, "Traceback" in refused.err) == (2, False)
    assert line.startswith(
        f"bench: data set few: the attributes of its people are not known; put them into {file} (pid,"
    )
    dry = bench("submit", "--method", "adfdta", "--dataset", "few", "--dry-run", "--local")
    assert f"missing: data set few: the attributes of its people are not known; put them into {file} (" in dry.err
    file.write_text("pid,hat\n" + "".join(f"{pid},yes\n" for pid in range(1, 9)))
    assert "no two of its training people differ" in bench(*run).err.splitlines()[-1]
    file.write_text(f"pid,{'h' * 201}\n" + "".join(f"{pid},{pid}\n" for pid in range(1, 9)))
    assert "the name of an attribute must have 1 to 200 printable characters, not 'hhh" in bench(*run).err
    names = []
    for shift in (0, 1):
        file.write_text("pid,hat\n" + "".join(f"{pid},{pid + shift}\n" for pid in range(1, 9)))
        assert bench(*run).status == 0
        names.append({path.name for path in (tmp_path / "runs").iterdir()})
    assert [len(each) for each in names] == [1, 2]
    assert bench("eval", min(names[1]), "--dataset", "walkers:tiny").status == 0
    file.unlink()
