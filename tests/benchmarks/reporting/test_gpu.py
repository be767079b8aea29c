"""The GPU measurement as tables: targets beside figures, hours by hand, and dashes for what was not measured."""

import json

from benchmarks.reporting.gpu import NOT_MEASURED, grids

HEADLINE = {"method": "mean+afa", "precision": "bf16", "bare": 3000.0, "harness": 2900.0}
RECORD = {
    "complete": False,
    "recipe_frames": 3_480_000,
    "environment": {"gpu": "a GPU", "cpu": "a processor", "cores": 16, "packages": {"torch": "2.11.0"}},
    "drawn": {"name": "walkers:mars", "frames": 1000, "of_frames": 2000, "seconds": 10.0},
    "agreement": [{"what": "features", "precision": "bf16", "difference": 0.012, "tolerance": 0.1}],
    "methods": [
        {
            **HEADLINE,
            "eager": 2000.0,
            "compile_seconds": 40.0,
            "memory": 12_340_000_000,
            "extraction": 8000.0,
            "forward": 10_000.0,
        },
        {"method": "mean", "precision": "float32", "bare": 1000.0, "failed": "OutOfMemoryError: no room"},
    ],
}


def test_figures_by_hand():
    targets, methods, agreement = grids(RECORD)
    assert [row[1:] for row in targets.rows] == [
        ["2,900", "at least 2,900", "yes"],
        ["0.97", "at least 0.90", "yes"],
        ["20.0", "at most 20.0", "yes"],  # 3,480,000 / 2,900 / 60
    ]
    assert "mean+afa in bf16: 1.50 times as fast when compiled, which took 40 s" in targets.notes
    assert "the time limit ended the measurement before all methods were measured" in targets.notes
    assert methods.rows[0] == ["mean+afa", "bf16", "3,000", "2,900", "97%", "8,000", "80%", "12.3", "0.33"]
    assert methods.rows[1] == ["mean", "float32: OutOfMemoryError: no room", "1,000", *["-"] * 6]
    assert agreement.rows == [["features", "bf16", "1.2e-02", "1e-01"]]


def test_windows_have_a_spread():
    """Of five windows from 2,700 to 3,300 frames a second: 3,000 ± 10%."""
    spread = {**RECORD, "methods": [{**HEADLINE, "bare_spread": 0.2, "harness_spread": 0.01}]}
    methods = grids(spread)[1]
    assert methods.rows[0][2:4] == ["3,000 ± 10%", "2,900 ± 0%"]
    assert any("half the range" in note for note in methods.notes)


def test_slower_is_a_missed_target():
    slow = {**RECORD, "methods": [{**HEADLINE, "harness": 2600.0}]}
    assert [row[-1] for row in grids(slow)[0].rows] == ["no", "no", "no"]


def test_unmeasured_rows_have_dashes():
    bare = {**RECORD, "methods": [{"method": "mean+afa", "precision": "bf16", "bare": 3000.0}]}
    assert [(row[1], row[3]) for row in grids(bare)[0].rows] == [("-", "-")] * 3


def test_missing_record_is_reported(tmp_path, bench):
    file = tmp_path / "gpu.json"
    assert bench("speed", "--gpu", file).out.strip() == NOT_MEASURED
    for text in ("{}", "[" * 10**5):
        file.write_text(text)
        answer = bench("speed", "--gpu", file)
        assert (answer.status, answer.err.splitlines()[-1]) == (
            2,
            f"bench: --gpu {file}: not a record of `python -m benchmarks.speed.gpu`",
        )
    file.write_text(json.dumps(RECORD))
    assert "| mean+afa |" in bench("speed", "--gpu", file, "--format", "github").out
