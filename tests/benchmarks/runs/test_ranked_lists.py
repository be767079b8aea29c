"""Ranked strips show what the run's figures were computed from."""

import json
import re

import pandas as pd
import pytest

from benchmarks.runs.folder import RunFolder
from benchmarks.runs.store import load_records


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
        for shown in each["gallery"]:
            assert shown["right"] == (shown["pid"] == each["query"]["pid"])
            assert (shown["pid"], shown["camid"]) != (each["query"]["pid"], each["query"]["camid"])
            assert len(shown["quality"]) == shown["shown"] <= 8
            assert (run.gallery / shown["file"]).exists()
        assert [shown["distance"] for shown in each["gallery"]] == sorted(s["distance"] for s in each["gallery"])
    html = (run.gallery / "index.html").read_text()
    assert all((run.gallery / name).exists() for name in re.findall(r'(?:src|href)="([^"#]+\.\w+)"', html))
    assert html.count('class="strip wrong"') == html.count("✗ wrong</b> <span>")  # not by the frame's colour alone
    named = described["lists"][2]["query"]["tracklet"]
    assert bench("gallery", run.path.name, "--query", named, "--workers", 0).status == 0
    (only,) = json.loads((run.gallery / "gallery.json").read_text())["lists"]
    assert only["query"]["tracklet"] == named
    assert "no query of that name" in bench("gallery", run.path.name, "--query", "nobody").err
