"""The answer in words and letters says what the judged claims say, and no more."""

import pytest

from benchmarks.experiments.experiment import DatasetPair
from benchmarks.reporting.answer import PLOT, answer, brief, headline, picture
from benchmarks.reporting.grid import Grid
from benchmarks.reporting.statistics import Interval, Verdict
from benchmarks.reporting.verdict import JudgedClaim
from benchmarks.suites.claims import EXPLORATORY, PAPER, Claim

MARS, WALKERS = DatasetPair("mars", "mars"), DatasetPair("walkers", "walkers")


def judged(text, verdict, effect=None, pair=MARS, paper=None, table=(), family=PAPER, reasons=()):
    interval = None if effect is None else Interval(*(part / 100 for part in effect), "training", ())
    return JudgedClaim(Claim(text, "table4", (), family), pair, interval, verdict, reasons, 3, paper)


def test_each_decided_claim_is_named_with_its_effect():
    claims = [
        judged("A helps", Verdict.SUPPORTED, (6, 5, 7)),
        judged("B helps", Verdict.CONTRADICTED, (-2, -3, -1)),
        judged("C helps", Verdict.NEGLIGIBLE, (0.1, -0.2, 0.4)),
        judged("D helps", Verdict.UNDECIDED, (1, -2, 4)),
        judged("E helps", Verdict.UNDECIDED),
    ]
    lines = answer(claims)
    assert lines[0] == (
        "On mars (paper): SUPPORTED: A helps, +6.0 (+5.0 to +7.0). CONTRADICTED: B helps, -2.0 (-3.0 to -1.0). "
        "NEGLIGIBLE: C helps, +0.1 (-0.2 to +0.4). UNDECIDED: D helps."
    )
    assert lines[1].startswith("Not run: 1 claim of suite table4. `bench plan ")


def test_nothing_decided_says_nothing_of_effects():
    lines = answer([judged("A helps", Verdict.UNDECIDED, (6, -1, 13))])
    assert lines[0] == "On mars (paper): none is decided (measured: 1)."
    assert "6.0" not in " ".join(lines)


def test_headline_counts_verdicts_and_says_why_others_are_undecided():
    claims = [
        judged("A helps", Verdict.SUPPORTED, (6, 5, 7)),
        judged("B helps", Verdict.CONTRADICTED, (-2, -3, -1)),
        judged("C helps", Verdict.UNDECIDED, (1, -2, 4), reasons=("about 5 more seeds (10 runs) decide it",)),
        judged("D helps", Verdict.UNDECIDED, (1, -2, 4), reasons=("controls: flow is blind", "1 seed cannot show")),
        judged("E helps", Verdict.UNDECIDED, (1, -2, 4), reasons=("not tuned alike: `bench tune`",)),
        judged("F helps", Verdict.UNDECIDED, (1, -2, 4), reasons=("2 splits cannot show how much splits vary",)),
        judged("H helps", Verdict.UNDECIDED, (0.1, -2, 2), reasons=("1000 seeds would not tell it from 0",)),
        judged("I helps", Verdict.UNDECIDED),
        judged("G helps", Verdict.SUPPORTED, (6, 5, 7), family=EXPLORATORY),
    ]
    assert headline(claims) == [
        "Claims of the two families, counted on each data set: 8; measured: 7; decided: 2 (hold: 1; do not hold: 1).",
        "Undecided: 1 because a control fails or was not run, 1 because the methods were not tuned alike, 1 because 1000 "
        "seeds would not decide, 2 because too few seeds or splits ran. The notes below the tables say what each takes.",
    ]


def test_open_exploratory_claims_are_counted():
    claims = [
        judged("A helps", Verdict.SUPPORTED, (6, 5, 7), family=EXPLORATORY),
        *(judged(f"{name} helps", Verdict.UNDECIDED, (1, -2, 4), family=EXPLORATORY) for name in "BC"),
    ]
    (line, *_) = answer(claims)
    assert line == "On mars (exploratory): above 0: A helps, +6.0 (+5.0 to +7.0). Open: 2 claims."


def test_drawn_people_are_called_so():
    claims = [judged("A helps", Verdict.SUPPORTED, (6, 5, 7), pair) for pair in (WALKERS, MARS)]
    walkers, mars = answer(claims)
    assert walkers == "On walkers, where people are drawn (paper): holds in this world: A helps, +6.0 (+5.0 to +7.0)."
    assert mars == "On mars (paper): SUPPORTED: A helps, +6.0 (+5.0 to +7.0)."


@pytest.mark.parametrize(("paper", "table"), [(0.02, ("table4", "ResNet-50 + AFA", "ResNet-50")), (None, ())])
def test_picture(paper, table):
    claims = [
        judged("A helps", Verdict.SUPPORTED, (6, 4, 8), paper=paper, table=table),
        judged("B helps", Verdict.CONTRADICTED, (-4, -8, 0)),
        judged("C helps", Verdict.UNDECIDED),
    ]
    title, first, second = picture(claims).split("\n")
    assert title.endswith("mars: paper; from -8.0 to +8.0 points of mAP")
    bar = first[len("  A helps  ") :][:PLOT]
    assert [bar[column] for column in (20, 30, 35, 40)] == [
        "|",
        "-",
        "o",
        "-",
    ]  # 0, 4, 6 and 8 of 8, from column 20 to 40
    assert bar[25] == ("x" if paper else " ")
    assert first.endswith("SUPPORTED")
    assert second[len("  B helps  ") :].startswith("----------o----------")


def test_picture_of_nothing():
    assert picture([judged("A helps", Verdict.UNDECIDED)]) == ""


def test_claims_not_run_are_left_to_the_answer():
    notes = ["protocol official", "not run, suite table4: A helps; B helps"]
    made = brief([Grid("mars", ("claim",), [["A"]], notes), Grid("dukev", ("claim",), [], notes)])
    assert [(grid.title, list(grid.notes)) for grid in made] == [("mars", ["protocol official"])]


def test_verdict_without_measured_claims_leaves_no_gap_for_the_picture(bench, finish, tmp_path):
    finish("qan", seed=0)
    finish("qan+afa", seed=1)
    assert bench("records", "export", tmp_path / "runs.parquet").status == 0
    printed = bench("verdict", "--from", tmp_path / "runs.parquet").out
    assert "measured: 0" in printed
    assert "\n\n\n" not in printed
