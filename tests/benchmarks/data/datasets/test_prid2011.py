import json
import shutil

import pytest

from baselines.interface.errors import UserError
from benchmarks.data.datasets.prid2011 import Prid2011
from benchmarks.data.table import check, statistics


def write(root, persons, splits):
    for camera in "ab":
        for person in persons:
            folder = root / f"prid_2011/multi_shot/cam_{camera}/{person}"
            folder.mkdir(parents=True)
            for frame in (2, 10, 1):
                (folder / f"{frame:04d}.png").touch()
    (root / "splits_prid2011.json").write_text(json.dumps(splits))
    return root


@pytest.fixture
def root(tmp_path):
    persons = [f"person_{number:04d}" for number in (1, 2, 3, 4, 700)]  # the last one is in no split, as most in cam_b
    splits = [{"train": persons[:2], "test": persons[2:4]}, {"train": persons[1:3], "test": [persons[0], persons[3]]}]
    return write(tmp_path, persons, splits)


def test_camera_a_is_query_and_b_gallery(root):
    table = check(Prid2011().read(root, 1), "prid2011")
    assert {(r.subset, r.pid, r.camid) for r in table.itertuples()} == {
        *(("query", pid, 1) for pid in (1, 4)),
        *(("gallery", pid, 2) for pid in (1, 4)),
        *(("train", pid, camid) for pid in (2, 3) for camid in (1, 2)),
    }
    query = table[(table.subset == "query") & (table.pid == 4)].iloc[0]
    assert query.frames == [f"prid_2011/multi_shot/cam_a/person_0004/{n}.png" for n in ("0001", "0002", "0010")]


def test_missing_person_is_refused(root):
    shutil.rmtree(root / "prid_2011/multi_shot/cam_b/person_0004")
    with pytest.raises(UserError, match=r"cam_b/person_0004: not found"):
        Prid2011().read(root, 0)


@pytest.mark.parametrize("text", ["{", "[]", '[{"train": []}]', "[[]]", '[{"train": 1, "test": 2}]'])
def test_damaged_split_file_is_refused(root, text):
    (root / "splits_prid2011.json").write_text(text)
    with pytest.raises(UserError, match=r"splits_prid2011\.json: split 0 is not"):
        Prid2011().read(root, 0)


@pytest.mark.parametrize(
    ("train", "message"),
    [
        (["person_0001", "\n"], r"lists '\\n', not a person"),
        (["person_0001", None], "lists None, not a person"),
        ("person_0001", "lists 'p', not a person"),
    ],
)
def test_split_of_other_names_is_refused(root, train, message):
    (root / "splits_prid2011.json").write_text(json.dumps([{"train": train, "test": ["person_0003"]}]))
    with pytest.raises(UserError, match=rf"splits_prid2011\.json: split 0 {message}"):
        Prid2011().read(root, 0)


def test_official_splits(tmp_path, shared):
    splits = json.loads((shared("prid2011") / "splits_prid2011.json").read_text())
    assert len(splits) == Prid2011.splits
    persons = sorted({*splits[0]["train"], *splits[0]["test"]})
    assert len(persons) == 178
    root = write(tmp_path, persons, splits)
    for split, official in enumerate(splits):
        table = check(Prid2011().read(root, split), "prid2011")
        counts = statistics(table)
        for subset, published in Prid2011.published.items():
            assert {key: counts[subset][key] for key in published} == published
        assert set(table.pid[table.subset == "query"]) == {int(person[-4:]) for person in official["test"]}
        assert set(table.pid[table.subset == "train"]) == {int(person[-4:]) for person in official["train"]}
