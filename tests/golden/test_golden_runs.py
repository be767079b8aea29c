"""The golden runs: what a run computes does not drift."""

import json

import pytest

from benchmarks.experiments.code_digest import GOLDEN, shared_code
from benchmarks.maintenance.golden_runs import cases, golden_run, is_this_machine, name_of

GOLDEN_RUNS = json.loads(GOLDEN.read_text())
SAME_MACHINE = is_this_machine(GOLDEN_RUNS["machine"])
# On another processor or with other packages sums are rounded differently. Five steps magnify that to about 1e-4 of a loss; of
# the few queries two may then be ranked differently.
LOSS, MAP, RANK = 0.01, 0.05, 0.15


@pytest.mark.parametrize("case", cases(), ids=lambda case: name_of(*case))
def test_golden_run(case, tmp_path):
    expected, found = GOLDEN_RUNS["runs"][name_of(*case)], golden_run(*case, tmp_path)
    if SAME_MACHINE:
        assert found == expected
        return
    assert found["losses"] == pytest.approx(expected["losses"], rel=LOSS)
    assert found["metrics"].keys() == expected["metrics"].keys()
    for view, metrics in expected["metrics"].items():
        for metric, value in metrics.items():
            assert found["metrics"][view][metric] == pytest.approx(value, abs=MAP if metric == "mAP" else RANK)


def test_every_golden_run_is_compared():
    assert list(GOLDEN_RUNS["runs"]) == [name_of(*case) for case in cases()]


def test_todays_code_is_known_to_give_these_bits():
    assert shared_code() in GOLDEN_RUNS["shared_codes"]
