"""People and frames that are left out: no verb reads them, the data are others, and the record and the tables say so."""

import json
import re
import shutil

import cv2
import numpy as np
import pytest

from baselines.interface.errors import UserError
from benchmarks.data.loading import is_packed, known_digests, load, pack
from benchmarks.paths import cache_dir
from benchmarks.runs.find import available_digests
from benchmarks.runs.folder import RunFolder, run_folders
from benchmarks.runs.staleness import stale_reasons
from benchmarks.runs.store import load_records

RUN = ("run", "--method", "mean", "--dataset", "prid2011", "--recipe", "small", "--epochs", "0", "--workers", "0")


@pytest.fixture
def prid(tmp_path, monkeypatch):
    """PRID-2011 in BENCH_DATA, with a cache of its own: six persons in two frames each; persons 4 to 6 are the test."""
    root = tmp_path / "data" / "prid2011"
    draw = np.random.default_rng(0)
    for camera in "ab":
        for person in range(1, 7):
            folder = root / f"prid_2011/multi_shot/cam_{camera}/person_{person:04d}"
            folder.mkdir(parents=True)
            for frame in (1, 2):
                cv2.imwrite(str(folder / f"{frame:04d}.png"), draw.integers(0, 256, (64, 32, 3), np.uint8))
    names = [f"person_{number:04d}" for number in range(1, 7)]
    (root / "splits_prid2011.json").write_text(json.dumps([{"train": names[:3], "test": names[3:]}] * 10))
    monkeypatch.setenv("BENCH_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    return root


def exclude(tmp_path, text):
    (tmp_path / "data" / "excluded.txt").write_text(text)


def test_excluded_people_are_in_no_subset(prid, tmp_path):
    whole = load("prid2011")
    assert set(whole.table.pid) == {1, 2, 3, 4, 5, 6}
    exclude(tmp_path, "# asked on 3 May\nprid2011 2  # in train\nprid2011 5\n\nmars 1\n")
    part = load("prid2011")
    assert set(part.table.pid) == {1, 3, 4, 6}
    assert set(part.table[part.table.subset == "query"].pid) == {4, 6}
    assert part.digest != whole.digest
    exclude(tmp_path, "prid2011 5\nprid2011 2\n")  # the same people
    assert load("prid2011").digest == part.digest
    assert known_digests("prid2011", 0) == {part.digest}
    exclude(tmp_path, "mars 1\n")
    assert load("prid2011").digest == whole.digest


@pytest.mark.usefixtures("prid")
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("PRID2011", "no data set 'PRID2011'; did you mean 'prid2011'?"),
        ("marz", "no data set 'marz'; did you mean 'mars'?"),
        ("walkers:tinny", "no size 'tinny' in 'walkers:tinny'; did you mean 'tiny'?"),
        ("my-videos", "no data set 'my-videos'; did you mean 'my-video'?"),
    ],
)
def test_misspelt_name_is_refused_whichever_data_set_is_read(tmp_path, name, message):
    imported = cache_dir() / "imported" / "my-video"
    imported.mkdir(parents=True)
    (imported / "import.json").write_text("{}")
    exclude(tmp_path, f"mars 1\nmy-video 3\n{name} 2\n")
    with pytest.raises(UserError, match=rf"excluded\.txt, line 3: .*{re.escape(message)}"):
        load("prid2011")


def test_another_name_of_a_drawn_data_set_excludes_too(tmp_path, monkeypatch):
    pid = int(load("walkers:tiny").table.pid[0])
    (tmp_path / "list.txt").write_text(f"walkers@1:tiny {pid}\n")
    monkeypatch.setenv("BENCH_EXCLUDE", str(tmp_path / "list.txt"))
    assert pid not in set(load("walkers:tiny").table.pid)


@pytest.mark.usefixtures("prid")
def test_number_that_is_no_person_is_refused(tmp_path):
    exclude(tmp_path, "prid2011 5\nprid2011 7\n")
    with pytest.raises(UserError, match=r"excluded\.txt, line 2: prid2011 has no person 7; "):
        load("prid2011")


def test_person_of_another_split_is_no_error(prid, tmp_path):
    file = prid / "splits_prid2011.json"
    first, *others = json.loads(file.read_text())
    file.write_text(json.dumps([{**first, "test": first["test"][:-1]}, *others]))
    exclude(tmp_path, "prid2011 6\n")
    assert set(load("prid2011", 0).table.pid) == {1, 2, 3, 4, 5}
    assert set(load("prid2011", 1).table.pid) == {1, 2, 3, 4, 5}


def test_pack_holds_no_excluded_person(prid, tmp_path):
    exclude(tmp_path, "prid2011 5\n")
    pack("prid2011")
    assert is_packed("prid2011")
    store = load("prid2011").store
    assert store.files[0].suffix == ".arrow"
    names = [f"prid_2011/multi_shot/cam_a/person_000{pid}/0001.png" for pid in (4, 5)]
    assert list(store.sizes(names)) == names[:1]
    exclude(tmp_path, "")
    assert not is_packed("prid2011")  # not of these people


def test_drawn_people_are_excluded_by_a_file_of_its_own(tmp_path, monkeypatch):
    pid = int(load("walkers:tiny").table.pid[0])
    monkeypatch.setenv("BENCH_EXCLUDE", str(tmp_path / "list.txt"))
    with pytest.raises(UserError, match=r"list\.txt: cannot be read, so nobody can be excluded"):
        load("walkers:tiny")
    (tmp_path / "list.txt").write_text(f"walkers:tiny {pid}\n")
    assert pid not in set(load("walkers:tiny").table.pid)


@pytest.mark.parametrize("line", ["prid2011", "prid2011 x", "prid2011 -1", "prid2011 1 2", "prid2011 ²"])
def test_malformed_line_is_refused(prid, tmp_path, line):
    exclude(tmp_path, f"mars 1\n{line}\n")
    with pytest.raises(UserError, match=r"excluded\.txt, line 2: write `DATASET PID`"):
        load("prid2011")


def test_runs_and_tables_without_people(prid, tmp_path, bench, results):
    assert bench(*RUN).status == 0
    exclude(tmp_path, "prid2011 5\n")
    assert bench(*RUN).status == 0
    records = load_records(results)
    assert len(records) == 2
    digests = available_digests(records)
    (part,) = [record for record in records if not stale_reasons(record, digests)]
    assert part.data_notes["prid2011"].startswith("without 1 person")
    assert part.metrics[0].queries == 2
    table = bench("table").out
    assert "prid2011: without 1 person" in table
    run = RunFolder(results / part.name)
    assert bench("gallery", part.name, "--queries", 1, "--workers", 0).status == 0
    assert "person 5" not in (run.gallery / "index.html").read_text()
    (other,) = [record for record in records if record != part]
    answer = bench("gallery", other.name, "--queries", 1, "--workers", 0)
    assert (answer.status, "was evaluated on other data" in answer.err) == (2, True)
    verified = bench("data", "verify", "prid2011")
    assert "differs from the digest" not in verified.out


def test_earlier_runs_with_excluded_people_are_neither_shown_nor_passed_on(prid, tmp_path, bench, results):
    assert bench(*RUN).status == 0
    (record,) = load_records(results)
    assert bench("gallery", record.name, "--workers", 0).status == 0

    def shown():
        return [file for part in ("rank", "query") for file in (tmp_path / "site").rglob(f"*{part}*.*")]

    assert bench("report", "--to", tmp_path / "site").status == 0
    assert shown()
    shutil.rmtree(tmp_path / "site")
    exclude(tmp_path, "prid2011 5\n")
    assert bench("report", "--to", tmp_path / "site").status == 0
    assert not shown()
    refused = bench("records", "export", tmp_path / "runs.parquet")
    assert refused.status == 2
    assert (
        f"left out: {record.name}: it used, or may have used, people of prid2011 who are excluded now; run it again"
        in refused.err
    )
    assert not (tmp_path / "runs.parquet").exists()
    assert bench(*RUN).status == 0
    assert bench("records", "export", tmp_path / "runs.parquet").out.rstrip().endswith("1 run")


def test_export_checks_the_data_and_all_frames_first(prid, tmp_path, bench, results):
    assert bench(*RUN).status == 0
    (record,) = load_records(results)
    exclude(tmp_path, "prid2011 5\n")
    answer = bench("export", record.name, "--to", tmp_path / "model.pt", "--workers", 0)
    assert (answer.status, f"{record.name} was evaluated on other data" in answer.err) == (2, True)
    exclude(tmp_path, "")
    shutil.rmtree(cache_dir() / "decoded")  # as on another machine
    (prid / "prid_2011/multi_shot/cam_a/person_0001/0001.png").write_bytes(b"no image")  # of a training tracklet
    answer = bench("export", record.name, "--to", tmp_path / "model.pt", "--workers", 0)
    assert (answer.status, "`bench data verify` lists every fault" in answer.err) == (2, True)


def test_bad_frames_are_skipped_and_listed(prid, bench, results):
    cameras = prid / "prid_2011/multi_shot"
    (cameras / "cam_a/person_0001/0002.png").write_bytes(b"no image")
    for frame in (cameras / "cam_b/person_0005").iterdir():
        frame.write_bytes(frame.read_bytes()[:50])
    answer = bench(*RUN)
    assert answer.status == 2
    assert "(and 2 more such frames)" in answer.err
    assert "--skip-bad" in answer.err
    assert not list(run_folders(results))
    assert bench(*RUN, "--skip-bad").status == 0
    (record,) = load_records(results)
    names = ["cam_a/person_0001/0002.png", "cam_b/person_0005/0001.png", "cam_b/person_0005/0002.png"]
    assert list(record.left_out["prid2011/0"]) == [f"prid_2011/multi_shot/{name}" for name in names]
    assert all("cannot be decoded" in reason for reason in record.left_out["prid2011/0"].values())
    assert str(prid) not in (results / record.name / "record.json").read_text()
    assert record.metrics[0].unmatched == 1  # of the person whose only gallery tracklet is gone
    assert not stale_reasons(record, available_digests([record]))
    assert "prid2011: without 3 frames that cannot be read" in bench("table").out
    assert "finished before" in bench(*RUN, "--skip-bad").err
    assert bench("gallery", record.name, "--queries", 1, "--workers", 0).status == 0
    assert bench("features", record.name, "--to", results.parent, "--workers", 0).status == 0
    (cameras / "cam_a/person_0001/0002.png").write_bytes((cameras / "cam_a/person_0001/0001.png").read_bytes())
    assert bench(*RUN, "--skip-bad").status == 0
    first, second = load_records(results)
    assert first.experiment.data != second.experiment.data


def test_evaluation_on_another_split_keeps_what_the_training_left_out(prid, bench, results):
    file = prid / "splits_prid2011.json"
    first, *others = json.loads(file.read_text())
    file.write_text(json.dumps([first, *({**each, "train": first["train"][1:]} for each in others)]))
    (prid / "prid_2011/multi_shot/cam_a/person_0001/0002.png").write_bytes(b"no image")  # in split 0 alone
    assert bench(*RUN, "--skip-bad").status == 0
    (trained,) = load_records(results)
    assert bench("eval", trained.name, "--dataset", "prid2011", "--split", 1, "--workers", 0).status == 0
    (evaluated,) = [record for record in load_records(results) if record != trained]
    assert evaluated.experiment.test_split == 1
    assert evaluated.left_out == trained.left_out
    assert list(trained.left_out) == ["prid2011/0"]
    assert not stale_reasons(evaluated, available_digests([evaluated]))


def test_evaluation_leaves_bad_frames_out(prid, bench, results):
    assert bench(*RUN).status == 0
    (trained,) = load_records(results)
    (prid / "prid_2011/multi_shot/cam_a/person_0004/0002.png").write_bytes(b"no image")
    words = ("eval", trained.name, "--dataset", "prid2011", "--split", 1, "--workers", 0)
    assert bench(*words).status == 2
    assert bench(*words, "--skip-bad").status == 0
    (evaluated,) = [record for record in load_records(results) if record != trained]
    assert list(evaluated.left_out) == ["prid2011/1"]
    assert list(evaluated.left_out["prid2011/1"]) == ["prid_2011/multi_shot/cam_a/person_0004/0002.png"]


def test_option_reaches_submitted_runs(bench):
    planned = bench("submit", "--method", "mean", "--dataset", "walkers:tiny", "--skip-bad", "--dry-run", "--local")
    assert planned.status == 0
    from benchmarks.scheduling.selection import select

    each, *_ = select(None, method="mean", datasets=["walkers:tiny"], skip_bad=True).experiments()
    assert each.arguments[-1] == "--skip-bad"
