"""Ranked strips show what the run's figures were computed from."""

import json
import re

import pandas as pd
import pytest

from baselines.interface.errors import UserError
from benchmarks.reporting import gallery
from benchmarks.reporting.report import contents
from benchmarks.runs.folder import RunFolder
from benchmarks.runs.store import load_records, write_record


@pytest.fixture
def run(bench, results):
    """An untrained network on a small drawn data set."""
    answer = bench("run", "--method", "qan", "--dataset", "walkers:tiny", "--epochs", "0", "--workers", "0")
    assert answer.status == 0, answer.err
    (record,) = load_records(results)
    return RunFolder(results / record.name)


def test_lists_agree_with_the_run(bench, run):
    answer = bench("gallery", run.path.name, "--queries", 4, "--workers", 0)
    assert answer.status == 0, answer.err
    described = json.loads((run.gallery / "gallery.json").read_text())
    queries = pd.read_parquet(run.queries)
    queries = queries[(queries.protocol == "official") & (queries.feature == "before")]
    worst = queries.average_precision.dropna().sort_values().head(4).tolist()
    assert [each["average_precision"] for each in described["lists"]] == worst
    for each in described["lists"]:
        right = [rank for rank, shown in enumerate(each["gallery"], 1) if shown["right"]]
        first = each["first_hit_rank"]
        assert right[:1] == ([first] if first <= 10 else [])
        assert (each["first_right"] is None) == (first <= 10)
        for shown in each["gallery"]:
            assert shown["right"] == (shown["pid"] == each["query"]["pid"])
            assert (shown["pid"], shown["camid"]) != (each["query"]["pid"], each["query"]["camid"])
            assert len(shown["quality"]) == shown["shown"] <= 8
            assert (run.gallery / shown["file"]).exists()
        assert [shown["distance"] for shown in each["gallery"]] == sorted(s["distance"] for s in each["gallery"])
    below = [each for each in described["lists"] if each["first_right"]]
    assert below
    for each in below:
        shown, last = each["first_right"], each["gallery"][-1]
        assert (shown["pid"], shown["right"]) == (each["query"]["pid"], True)
        assert shown["camid"] != each["query"]["camid"]
        assert shown["distance"] >= last["distance"]
    html = (run.gallery / "index.html").read_text()
    assert all(f"Rank {each['first_hit_rank']} ✓ right" in html for each in below)
    assert all((run.gallery / name).exists() for name in re.findall(r'(?:src|href)="([^"#]+\.\w+)"', html))
    assert html.count('class="strip wrong"') == html.count("✗ wrong</b> <span>")  # not by the frame's colour alone
    named = described["lists"][2]["query"]["tracklet"]
    assert bench("gallery", run.path.name, "--query", named, "--workers", 0, "--no-images").status == 0
    assert {file.name for file in run.gallery.iterdir()} == {"gallery.json", "index.html", "report.css"}
    html = (run.gallery / "index.html").read_text()
    assert f"tracklet {described['lists'][2]['gallery'][0]['tracklet']}" in html
    assert "<img" not in html
    (only,) = json.loads((run.gallery / "gallery.json").read_text())["lists"]
    assert only["query"]["tracklet"] == named
    assert "no query of that name" in bench("gallery", run.path.name, "--query", "nobody").err


def test_gallery_replaces_only_what_it_wrote(make_record, tmp_path):
    folder = tmp_path / "mine"
    names = ("gallery.json", "index.html", "report.css")
    gallery.save(make_record(), "official", [], folder)
    assert {file.name for file in folder.iterdir()} == set(names)
    (folder / "012-rank03.png").touch()  # of an earlier gallery with more queries
    (folder / "thesis.tex").write_text("mine")
    (folder / "photos").mkdir()
    gallery.save(make_record(), "official", [], folder)
    assert {file.name for file in folder.iterdir()} == {*names, "thesis.tex", "photos"}
    for name in names:
        (folder / name).unlink()
    with pytest.raises(UserError, match=r"--to .*mine: contains something other"):
        gallery.save(make_record(), "official", [], folder)
    with pytest.raises(UserError, match="not a folder"):
        gallery.save(make_record(), "official", [], folder / "thesis.tex")
    killed = tmp_path / "killed"  # before gallery.json was written
    killed.mkdir()
    (killed / "001-query.png").touch()
    gallery.save(make_record(), "official", [], killed)
    assert {file.name for file in killed.iterdir()} == set(names)


@pytest.fixture
def strips(tmp_path):
    """A folder as `bench gallery` leaves it, and the function that changes its lists."""
    shown = {
        "tracklet": "a",
        "pid": 1,
        "camid": 0,
        "shown": 1,
        "width": 8,
        "height": 16,
        "quality": None,
        "distance": 0.0,
    }
    query = {**shown, "file": "001-query.png", "right": None}
    lists = [{"query": query, "gallery": [], "average_precision": 0.5, "first_hit_rank": 2}]
    folder = tmp_path / "gallery"
    folder.mkdir()
    (folder / "001-query.png").write_bytes(b"pixels")
    (tmp_path / "secret.png").write_bytes(b"secret")

    def change(**changes):
        described = {"run": "a", "protocol": "official", "lists": lists}
        query.update(changes)
        (folder / "gallery.json").write_text(json.dumps(described))
        return folder

    return change


def test_strips_are_copied(strips, tmp_path):
    assert gallery.copy(strips(), tmp_path / "site", images=True).lists[0].query.tracklet == "a"
    assert [file.read_bytes() for file in (tmp_path / "site").iterdir()] == [b"pixels"]


def test_report_without_images_copies_no_strip(strips, bench, make_record, results, tmp_path, monkeypatch):
    record = make_record()
    write_record(RunFolder(results / record.name), record, pd.DataFrame())
    strips().rename(RunFolder(results / record.name).gallery)
    monkeypatch.setattr(contents, "drawn_figures", lambda runs: [])
    for words, pictures in (((), 1), (("--no-images",), 0)):
        assert bench("report", "--to", tmp_path / "site", *words).status == 0
        assert len(list((tmp_path / "site" / "runs").rglob("*.png"))) == pictures
        page = (tmp_path / "site" / "runs" / f"{record.name}.html").read_text()
        assert page.count("<img") == pictures
        assert "Query a" in page


@pytest.mark.parametrize(
    "changes",
    [
        {"file": "../secret.png"},
        {"file": "../../etc/hostname"},
        {"file": "/etc/hostname"},
        {"file": "link.png"},
        {"file": "gone.png"},
        {"file": "gallery.json"},
        {"file": 3},
        {"pid": "x"},
        {"quality": [[1]]},
        {"shown": 10**6},
        {"more": "fields"},
    ],
)
def test_strips_that_lead_out_are_left_out(strips, tmp_path, capsys, changes):
    folder = strips(**changes)
    (folder / "link.png").symlink_to(tmp_path / "secret.png")
    assert gallery.copy(folder, tmp_path / "site", images=True) is None
    assert not (tmp_path / "site").exists()
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"bench: left out: {folder / 'gallery.json'}: ")


@pytest.mark.parametrize("lost", ["right", "distance"])
def test_strips_without_their_rating_are_left_out(strips, tmp_path, capsys, lost):
    folder = strips()
    described = json.loads((folder / "gallery.json").read_text())
    del described["lists"][0]["query"][lost]
    (folder / "gallery.json").write_text(json.dumps(described))
    assert gallery.copy(folder, tmp_path / "site", images=True) is None  # otherwise a right one may be shown as wrong
    assert f"{lost}: Field required" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["", "{", "[]", "[" * 10**5])
def test_damaged_lists_are_left_out(strips, tmp_path, text):
    folder = strips()
    (folder / "gallery.json").write_text(text)
    assert gallery.copy(folder, tmp_path / "site", images=True) is None
