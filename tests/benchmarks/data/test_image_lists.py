"""Images are imported as a CSV lists them, and its mistakes are named with their lines."""

import pytest

from baselines.interface.errors import UserError
from benchmarks.data import imported_folder
from benchmarks.data.frame_stores import PackedStore
from benchmarks.data.image_lists import read_listing
from benchmarks.data.imported import ImportedDataset


def test_csv_gives_subsets(draw, bring_images):
    images = draw("a/1.png", "a/2.png", "a/10.png", "é 1.png", "c.png")
    train = ["train,1,1,t,a/10.png", "train,1,1,t,./a/2.png", "train,1,1,t,a/1.png"]
    table = bring_images([*train, "query,7,1,u,é 1.png", "gallery,7,2,u,c.png"])
    rows = {tuple(row)[:4]: row.frames for row in table.itertuples(index=False)}
    store = PackedStore(imported_folder("mine") / "frames.arrow")
    assert {row: [bytes(store.read(name)) for name in frames] for row, frames in rows.items()} == {
        ("train", 1, 1, "t"): [(images / f"a/{number}.png").read_bytes() for number in (1, 2, 10)],
        ("query", 7, 1, "u"): [(images / "é 1.png").read_bytes()],
        ("gallery", 7, 2, "u"): [(images / "c.png").read_bytes()],
    }
    assert ImportedDataset("mine").splits == 1


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["train,1,1,a,1.png", "train,1,1,a,1.png"], "list.csv, line 3: 1.png is in line 2 already"),
        (["train,1,1,a,1.png", "query,2,1,b,./1.png"], "list.csv, line 3: 1.png is in line 2 already"),
        (["train,1,1,a,1.png", "train,2,1,a,2.png"], "list.csv, line 3: tracklet a shows pid 1 and 2"),
        (["train,1,1,a,1.png", "train,1,2,a,2.png"], "list.csv, line 3: tracklet a shows camid 1 and 2"),
        (["train,1,1,a,1.png", "gallery,1,2,b,2.png"], "list.csv, line 3: person 1 is in train and in gallery"),
        (
            ["train,1,1,a,1.png", "probe,2,2,b,2.png"],
            "list.csv, line 3: subset 'probe'; known: train, query, gallery, test",
        ),
        (["train,1,1,a,1.png", "train,2,2,b,gone.png"], "gone.png: No such file"),
        (["train,1,1,a,/etc/1.png"], "list.csv, line 2: /etc/1.png: frame must be a path in"),
        (["train,1,1,a,../1.png"], "list.csv, line 2: ../1.png: frame must be a path in"),
        (["train,,1,a,1.png"], "list.csv, line 2: has no pid"),
        (["train,1,1,1.png"], "list.csv, line 2: expected 5 values"),
        ([], "list.csv: lists no images"),
    ],
)
def test_wrong_row_is_named(draw, bring_images, rows, message):
    draw("1.png", "2.png")
    with pytest.raises(UserError, match=message):
        bring_images(rows)


@pytest.mark.parametrize(
    ("last", "message"),
    [("c", r"line 3: not CSV \(unexpected end of data\)"), ('"', "line 4: a value with a line break")],
)
def test_quotation_mark_takes_in_no_further_rows(tmp_path, last, message):
    file = tmp_path / "list.csv"
    file.write_text(f'frame,pid,camid,tracklet\n1.png,1,1,a\n2.png,1,1,"b\n3.png,2,1,{last}\n')
    with pytest.raises(UserError, match=rf"list\.csv, {message}"):
        read_listing(tmp_path, file)


def test_cell_that_is_too_long_is_refused(draw, bring_images):
    draw("1.png")
    with pytest.raises(UserError, match=r"list\.csv, line 2: not CSV \(field larger than field limit"):
        bring_images([f"train,1,1,{'a' * 200_000},1.png"])


@pytest.mark.parametrize(
    ("header", "wrong"),
    [
        ("pid,camera,frame", "no column may be named 'camera'; the columns are frame"),
        ("pid,cam_id,frame", "no column may be named 'cam_id'; did you mean 'camid'"),
        ("pid,camid", "a column must be named frame; the columns are frame and, if known"),
    ],
)
def test_wrong_header_is_refused(draw, bring_images, header, wrong):
    draw("1.png")
    with pytest.raises(UserError, match=rf"list\.csv, line 1: {wrong}"):
        bring_images([], header=header)
