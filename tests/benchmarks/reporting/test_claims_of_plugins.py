"""Claims of plug-ins: judged as exploratory, and refused by file where they are wrong."""

import pytest

from baselines.interface import UserError
from benchmarks import add_plugin
from benchmarks.reporting.verdict import judge
from benchmarks.reporting.verdict_tables import grids

PLUGIN = '''
from baselines.interface import register
from benchmarks.suites.claims import Comparison

@register("first-claim")
class First(Comparison):
    """The constraint hurts."""
    better, worse = "mean+afa lambda=0.0", "mean+afa lambda=0.1"

@register("second-claim")
class Second(Comparison):
    """AFA finds more at once."""
    better, worse, metric = "mean+afa", "mean", "R1"
'''


def test_claims_of_a_plugin_are_exploratory(bench, world, tmp_path):
    (tmp_path / "mine.py").write_text(PLUGIN)
    before = judge(world({"a": 0.0, "b": 0.02, "c": 0.12}))
    add_plugin(tmp_path / "mine.py")
    runs = world({"a": 0.0, "b": 0.02, "c": 0.12})
    for run in runs:  # every second query of mean is missed at rank 1
        if run.experiment.method == "mean":
            run.rows.loc[::2, "first_hit_rank"] = 2.0
    judged = judge(runs)
    assert judged[: len(before)] == before  # the project's claims are judged as without the plug-in
    first, second = judged[len(before) :]
    assert (first.claim.family, first.verdict_text) == ("plug-in", "exploratory: above 0")
    assert first.interval.estimate == pytest.approx(0.1, abs=0.02)
    assert second.interval.estimate == pytest.approx(0.5)
    shown = list(grids(judged))[-1]
    assert shown.title == "mars: claims of a plug-in, exploratory"
    assert [row[0] for row in shown.rows] == ["The constraint hurts", "AFA finds more at once (R1)"]
    assert "exploratory: not corrected" in " ".join(shown.notes)
    assert "effects in points of mAP or R1" in shown.notes[0]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ('better = "mean"', "worse: name a method"),
        ('better, worse = "mean", "meen"', "worse: no baseline 'meen'; did you mean 'mean'?"),
        ('better, worse = "mean lr=fast", "mean"', "better: setting lr=fast"),
        ('better, worse, metric = "mean", "max", "R5"', "metric is mAP or R1, not 'R5'"),
    ],
)
def test_wrong_claims_of_a_plugin_name_its_file(bench, world, tmp_path, wrong, message):
    file = tmp_path / "wrong.py"
    file.write_text(PLUGIN.partition("@register")[0] + f'@register("wrong")\nclass Wrong(Comparison):\n    {wrong}\n')
    add_plugin(file)
    with pytest.raises(UserError) as raised:
        judge(world({"a": 0.0, "b": 0.0, "c": 0.0}))
    assert str(raised.value).startswith(f"{file}, claim 'wrong': {message}")


def test_verdict_shows_the_claims_of_a_plugin(bench, tmp_path):
    (tmp_path / "mine.py").write_text(PLUGIN)
    for method in ("mean", "mean+afa"):
        assert bench("run", "--method", method, "--dataset", "walkers:tiny", "--epochs", 0, "--workers", 0).status == 0
    answer = bench("verdict", "--plugin", tmp_path / "mine.py")
    assert answer.status == 0, answer.err
    assert "walkers:tiny: claims of a plug-in, exploratory" in answer.out
    assert "AFA finds more at once (R1)" in answer.out
