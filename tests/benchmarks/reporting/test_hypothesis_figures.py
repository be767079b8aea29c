"""The figures of the hypothesis, on runs whose effects are known: what they state is what was built in."""

import math
from dataclasses import replace
from datetime import timedelta
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from scipy import stats

from benchmarks.experiments.settings import resolve
from benchmarks.reporting.drawing import STYLE, draw, save
from benchmarks.reporting.figures import cues, forest, sources, sweeps, systems
from benchmarks.reporting.figures.series import choose
from benchmarks.reporting.report import contents
from benchmarks.reporting.statistics import Interval
from benchmarks.reporting.verdict import judge
from benchmarks.runs.finished import FinishedRun
from benchmarks.runs.record import Phase
from benchmarks.suites import SUITES
from benchmarks.suites.claims import MOTION
from benchmarks.suites.suite import Choice, experiments

PEOPLE, EACH = 40, 3


@pytest.fixture
def measure(with_precisions):
    """As `_measure`."""
    return partial(_measure, with_precisions)


def _measure(with_precisions, suite, effect, seeds=3, datasets=(), spread=0.1):
    """Finished runs of a suite whose average precision is `effect` of the method, the settings and the data set.

    People differ by `spread`, in all runs alike; seeds and queries by little.
    """
    draw = np.random.default_rng(7)
    pids = np.repeat(np.arange(PEOPLE), EACH)
    people = draw.normal(0, spread, PEOPLE)
    people = (people - people.mean())[pids]
    found = []
    for planned in experiments(SUITES.get(suite)(), Choice(datasets, seeds=seeds)):
        experiment = planned.experiment
        value = effect(experiment.method, experiment.settings, experiment.dataset)
        precision = value + people + draw.normal(0, 0.002) + draw.normal(0, 0.01, len(pids))
        found.append(with_precisions(experiment, pids, np.clip(precision, 0, 1)))
    return found


def by_source(method, settings, dataset):
    """31 points from a frame, 12 from more; a motion baseline has 3 fewer, and 2 more from the order."""
    if settings["test_frames"] == 1:
        return 0.31
    return 0.43 if method == "mean" else 0.40 + 0.02 * (settings["shuffle"] == "none")


def test_sources_state_what_each_step_adds(measure, tmp_path):
    figure = sources.sources(measure("sources", by_source))
    assert [panel.title for panel in figure.panels] == list(MOTION)
    for panel in figure.panels:
        (line,) = panel.lines
        assert np.diff([0, *line.y]) == pytest.approx([31, 12, -3, 2], abs=1.5)
        assert all(low < y < high for low, y, high in zip(line.low, line.y, line.high, strict=True))
        widths = [high - low for low, high in zip(line.low, line.high, strict=True)]
        assert max(widths[1:]) < widths[0]  # steps are paired: that people differ does not blur them
    said = figure.notes[0]
    assert said.startswith("From one frame ")
    assert ", from more of them +1" in said
    assert all(f"by {name}" in said for name in MOTION)
    save(figure, tmp_path / "sources.svg")


def test_sentence():
    def interval(*parts):
        return Interval(*parts, "methods", ())

    steps = interval(0.31, 0.298, 0.323), interval(0.12, 0.112, 0.129)
    assert (
        sources.sentence(*steps, {}) == "From one frame 31.0 (29.8 to 32.3), from more of them +12.0 (+11.2 to +12.9)."
    )
    order = {"cnn3d": interval(0.004, -0.003, 0.011), "flow": interval(-0.002, np.nan, np.nan)}
    assert sources.sentence(*steps, order).endswith(", from their order +0.4 (-0.3 to +1.1) by cnn3d, -0.2 by flow.")


def test_sources_without_motion_baselines(measure):
    found = [run for run in measure("sources", by_source) if run.experiment.method == "mean"]
    (panel,) = sources.sources(found).panels
    assert panel.lines[0].y == pytest.approx([31, 43], abs=1.5)


def test_sources_say_which_runs_not_all_steps_have(measure):
    found = measure("sources", by_source)
    few = [run for run in found if run.experiment.method == "mean" or run.experiment.seed < 2]
    said = sources.sources(few).notes
    for name in MOTION:  # the third seed of the two rows of mean
        assert [note for note in said if note.startswith(f"{name}: ") and "; 2 further runs left out" in note]
    assert not [note for note in sources.sources(found).notes if "left out" in note]
    assert any("seeds per point: 2;" in note for note in said)


def test_of_equally_many_runs_the_newest_are_drawn(make_record):
    """Two settings of a method that the figure may vary, two seeds each; the last run of all belongs to the first setting."""
    minutes = {(0.1, 0): 0, (0.2, 0): 1, (0.2, 1): 2, (0.1, 1): 5}
    runs = []
    for (sigma, seed), minute in minutes.items():
        record = make_record("mean+afa", seed=seed, **resolve("small", "mean+afa", [f"sigma={sigma}"]).recorded())
        runs.append(FinishedRun(replace(record, finished=record.finished + timedelta(minutes=minute))))
    chosen, left = choose(runs, lambda run: run.experiment.method, {"sigma"})
    assert {run.experiment.settings["sigma"] for run in chosen["mean+afa"]} == {0.1}
    assert left == 2


def test_order_is_a_number_for_each_data_set(measure, tmp_path):
    def effect(method, settings, dataset):
        return 0.5 - (settings["shuffle"] == "test") * (0.2 if dataset == "walkers-gait" else 0.01)

    found = measure("order", effect, datasets=("walkers", "walkers-gait"))
    figure = sources.order(found)
    lost = {line.label: line for line in figure.panels[0].lines}
    assert lost["walkers"].y == pytest.approx([1] * len(MOTION), abs=1)
    assert lost["walkers-gait"].y == pytest.approx([20] * len(MOTION), abs=1)
    assert min(lost["walkers-gait"].low) > 15
    assert figure.notes[1].startswith(f"walkers-gait: {MOTION[0]} +")
    assert [line.label for line in sources.order(found, "walkers").panels[0].lines] == ["walkers"]
    save(figure, tmp_path / "order.svg")


def test_other_contexts_do_not_hide_the_figures_of_walkers(committed):
    """`families` ran on walkers too, later and as often, but neither on one frame nor on shuffled ones."""
    figure = sources.sources(committed, "walkers")
    assert [panel.title for panel in figure.panels] == list(MOTION)
    means = {frames: [
        run.record.find_metrics("official", "before").percent("mAP") for run in committed
        if (run.experiment.test, run.experiment.method, run.experiment.recipe) == ("walkers", "mean", "small")
        and run.experiment.settings["epochs"] == 40 and run.experiment.settings["test_frames"] == frames
    ] for frames in (0, 1)}  # fmt: skip
    assert figure.panels[0].lines[0].y[:2] == pytest.approx([np.mean(means[1]), np.mean(means[0])])
    (lost,) = sources.order(committed, "walkers").panels[0].lines
    assert (lost.label, lost.x) == ("walkers", [*range(len(MOTION))])


def by_share(method, settings, dataset):
    """mean falls from 90 to 10 with the share, motion from 60 to 40: they cross at 0.5. All lose a third where it is hard."""
    share = int(dataset.removesuffix("-hard").partition(":")[2]) / 100
    clean = 0.9 - 0.8 * share if method.startswith("mean") else 0.6 - 0.2 * share
    return clean * (2 / 3 if dataset.endswith("-hard") else 1)


def test_cues_find_the_crossing(measure, tmp_path):
    figure = cues.cues(measure("cues", by_share, spread=0.05))
    clean, hard = figure.panels
    assert (clean.title, hard.title.partition(":")[0]) == ("clean", "hard")
    lines = {line.label: line for line in clean.lines}
    assert lines["mean"].x == [0, 25, 50, 75, 100]
    assert lines["mean"].y == pytest.approx([90, 70, 50, 30, 10], abs=2)
    assert lines["cnn3d+afa"].y == pytest.approx([60, 55, 50, 45, 40], abs=2)
    assert {line.label: line.y[0] for line in hard.lines}["mean"] == pytest.approx(60, abs=2)
    crossings = [note for note in figure.notes if "overtakes mean" in note]
    assert [note.partition(":")[0] for note in crossings] == ["clean"] * 3 + ["hard"] * 3
    best = [", the best of 3 motion baselines that ran at every share, overtakes" in note for note in crossings]
    assert best == [True, False, False] * 2
    assert all(sum(f": {name}" in note for note in crossings) == 2 for name in ("cnn3d", "flow", "lstm-changes"))
    assert len(cues.crossings(measure("cues", by_share, spread=0.05))) == 2  # of the best alone
    assert any("falls with the share by construction" in note for note in figure.notes)
    save(figure, tmp_path / "cues.svg")


def test_clean_and_hard_worlds_may_come_from_two_machines(measure):
    runs = measure("cues", by_share)

    def elsewhere(run):
        return replace(run, record=replace(run.record, environment=replace(run.record.environment, cpu="another")))

    moved = [elsewhere(run) if run.experiment.test.endswith("-hard") else run for run in runs]
    assert [panel.lines for panel in cues.cues(moved).panels] == [panel.lines for panel in cues.cues(runs).panels]


def test_one_motion_baseline_is_not_called_the_best(measure):
    two = [run for run in measure("cues", by_share) if run.experiment.method in ("mean", "cnn3d")]
    assert cues.cues(two).notes[0].startswith("clean: cnn3d overtakes mean where 5")


def test_shares_that_were_not_run_are_not_joined(measure):
    measured = measure("cues", by_share, spread=0.05)
    few = [run for run in measured if run.experiment.test not in ("cues:25-hard", "cues:50-hard", "cues:75-hard")]
    figure = cues.cues(few)
    assert "hard: not run at 25%, 50%, 75%." in figure.notes
    clean, hard = draw(figure).axes
    heights = next(line.get_ydata() for line in hard.lines if len(line.get_xdata()) == 5)
    assert np.isnan(heights.astype(float)).tolist() == [False, True, True, True, False]
    assert clean.get_ylim() == hard.get_ylim()  # one scale, so that heights compare


def crossing(*points):
    """Of intervals, by share: (estimate, low, high)."""
    return cues.crossing({share: Interval(*part, "methods", ()) for share, *part in points})


def test_crossing_without_a_known_interval():
    found = crossing((0, -0.3, math.nan, math.nan), (100, 0.3, math.nan, math.nan))
    assert cues.crossing_in_words("flow", found) == (
        "flow overtakes mean where 50% of the people can be told apart by gait alone."
    )


def test_crossing_by_hand():
    found = crossing((0, -0.3, -0.4, -0.2), (50, 0.1, 0.0, 0.2), (100, 0.4, 0.3, 0.5))
    # The estimate rises by 0.4 in 50 and is 0 after 37.5; the upper end after 25; the lower end at 50.
    assert found == pytest.approx((37.5, 25, 50), abs=0.2)
    never = crossing((0, -0.3, -0.4, -0.2), (100, -0.1, -0.2, 0.1))
    assert never.share is None
    assert (never.low, never.high) == pytest.approx((66.7, 100), abs=0.2)
    assert cues.crossing_in_words("cnn3d", never) == "cnn3d and mean do not cross; undecided from 67 to 100%."
    ahead = crossing((0, 0.3, 0.2, 0.4), (100, 0.6, 0.5, 0.7))
    assert ahead == (None, None, None)
    assert cues.crossing_in_words("cnn3d", ahead) == "cnn3d and mean do not cross."


def by_part(method, settings, dataset):
    """Noise on the coherence costs 3 points at sigma 1, noise on the motion brings 2; for a batch both do nothing."""
    gain = 0.02 if settings["target"] == "coherence" else -0.03
    return 0.5 + gain * settings["sigma"] * (settings["granularity"] != "batch")


def test_distill_compares_with_no_noise(measure, tmp_path):
    figure = sweeps.distill(measure("distill", by_part))
    assert [panel.title.rpartition(" ")[2] for panel in figure.panels] == ["clip", "frame", "batch"]
    for panel in figure.panels[:2]:
        coherence, motion = panel.lines
        assert [text for _, text in panel.ticks] == ["0.025", "0.05", "0.1", "0.2", "0.5", "1"]
        assert (coherence.y[-1], motion.y[-1]) == pytest.approx((2, -3), abs=1)
        assert panel.margin == pytest.approx(0.3)
    coherence, motion = figure.panels[2].lines
    assert coherence.y == pytest.approx(motion.y, abs=1)
    save(figure, tmp_path / "distill.svg")


def test_distill_ignores_other_suites(measure):
    ours, theirs = measure("distill", by_part), measure("factors", by_part)
    assert sweeps.distill([*theirs, *ours]).panels == sweeps.distill(ours).panels
    assert "Runs with other settings or of another processor, which are not drawn: " in " ".join(
        sweeps.distill([*theirs, *ours]).notes
    )


def test_forest_has_a_row_for_each_claim_with_an_interval_over_seeds(measure, tmp_path):
    def effect(method, settings, dataset):
        return 0.5 + 0.06 * (method == "mean+afa" and settings["lambda"] > 0)

    runs = measure("table4", effect, datasets=("mars", "walkers"))
    judged = judge([*runs, *measure("table4", effect, seeds=2, datasets=("dukev",))])
    figure = forest.forest(judged)
    (panel,) = figure.panels
    decided, undecided, papers = panel.lines
    assert [text for _, text in panel.ticks] == [
        f"{claim} ({data})"
        for data in ("mars", "walkers")
        for claim in (
            "AFA helps mean",
            "AFA helps qan",
            "classification of augmented frames helps",
            "the coherence constraint helps",
        )
    ]
    assert decided.x == [0, 3, 4, 7]
    assert decided.y == pytest.approx([6] * 4, abs=1)
    assert undecided.x == [1, 2, 5, 6]
    assert papers.x == [0, 1, 2, 3]  # which did not measure on walkers
    assert papers.y[0] == pytest.approx(2.8)  # Table 4, MARS, mAP: 82.9 less 80.1
    assert f"Not drawn, because fewer than 3 seeds or splits ran: 4 of {len(judged)} claims." in figure.notes
    assert f"Not run: {len(judged) - 12} of {len(judged)} claims." in figure.notes
    assert panel.margin == pytest.approx(0.3)
    save(figure, tmp_path / "forest.svg")
    assert forest.forest([]).panels[0].empty


def test_forest_of_all_records_is_readable(committed):
    judged = judge(committed)
    figure = forest.forest(judged)
    open_ = [each for each in judged if each.verdict_text == "exploratory: open" and each.people is not None]
    assert f"Not drawn, because exploratory and open: {len(open_)} of {len(judged)} claims." in figure.notes
    assert [panel.title for panel in figure.panels] == [
        "what the paper claims",
        "coherence against motion",
        "exploratory",
    ]
    assert "mars-lines: line drawings of 100 people of MARS; compares with no MARS figure" in figure.notes
    with rc_context(STYLE):
        drawn = draw(figure)
        renderer = FigureCanvasAgg(drawn).get_renderer()
    width, height = drawn.get_size_inches()
    assert height < 20
    rows = [label.get_window_extent(renderer) for axes in drawn.axes for label in axes.get_yticklabels()]
    assert len(rows) == sum(len(panel.ticks) for panel in figure.panels) > 30
    for row, below in pairwise(rows):
        assert below.y1 <= row.y0 + 1  # in pixels; no row covers another
    assert min(row.x0 for row in rows) >= 0  # nothing is cut
    assert max(row.x1 for row in rows) < 0.7 * width * drawn.dpi


def test_families_say_what_motion_adds_and_whether_controls_hold(committed, bench, tmp_path):
    tuned = [run for run in committed if run.experiment.recipe == "tuned by 20 trials"]
    figure = forest.families(judge(tuned))
    (panel,) = figure.panels
    hold, fail = panel.lines
    names = [text for _, text in panel.ticks]
    held, failed = ({names[int(place)] for place in line.x} for line in (hold, fail))
    assert {"cnn3d (walkers)", "flow (walkers)"} <= held
    assert {"cnn3d (mars-lines)"} <= failed

    def reached(method, dataset, metric="mAP"):
        here = [run.record for run in tuned if (run.experiment.method, run.experiment.test) == (method, dataset)]
        whole = [record for record in here if record.experiment.settings["test_frames"] == 0]
        plain = [record for record in whole if record.experiment.settings["shuffle"] == "none"]
        return {
            (record.experiment.seed, record.experiment.split): record.find_metrics(
                record.first_protocol, "before"
            ).percent(metric)
            for record in plain
        }

    for line in panel.lines:
        for place, effect, low, high in zip(line.x, line.y, line.low, line.high, strict=True):
            method, _, dataset = names[int(place)].removesuffix(")").partition(" (")
            motion, mean = reached(method, dataset), reached("mean", dataset)
            assert effect == pytest.approx(np.mean([motion[run] - mean[run] for run in motion.keys() & mean.keys()]))
            assert low < effect < high
    for name in held:
        (accuracy,) = reached(name.partition(" (")[0], "walkers-gait", "R1").values()
        assert accuracy > 20
    save(figure, tmp_path / "families.svg")
    assert "bench suite run families" in forest.families([]).panels[0].empty
    measured = Path(__file__).parents[3] / "results" / "measured" / "families.parquet"
    said = bench("figure", "families", "--dataset", "walkers", "--from", measured, "--to", tmp_path / "walkers.svg").out
    assert "- walkers: lstm-changes " in said
    assert "cues" not in said
    assert "(bench suite run controls" not in said  # the controls on the other data sets were found


def with_afa(method, settings, dataset):
    """AFA adds 4 points to `mean` and takes one from `gltr`; to all others it adds 2."""
    name, _, attached = method.partition("+")
    return 0.5 + {"mean": 0.04, "gltr": -0.01}.get(name, 0.02) * bool(attached)


def test_systems(measure, tmp_path):
    runs = measure("systems", with_afa, datasets=("walkers",), spread=0.05)
    speed = Phase(1.0, 500, 500.0)
    runs = [replace(run, record=replace(run.record, phases={"extract": speed})) for run in runs]
    figure = systems.systems(runs)
    reached, effects, speeds = figure.panels
    names = [text for _, text in reached.ticks]
    assert len(names) == 2 + 14 + 6
    assert {"ResNet-50", "CSSA+CASE", "PSTA", "after TRL", "SINet"} <= set(names)
    each, together, further = effects.lines
    assert each.y == pytest.approx([{"ResNet-50": 4, "GLTR": -1}.get(name, 2) for name in names], abs=1)
    assert each.y == pytest.approx(np.subtract(reached.lines[1].y, reached.lines[0].y))
    assert together.y == pytest.approx([2], abs=0.5)
    assert further.low[0] < together.low[0] < 2 < together.high[0] < further.high[0]
    assert [text for _, text in speeds.ticks] == names
    said, exploratory = figure.notes[:2]
    # By hand: 21 heads or more, or one or fewer, of 22 coins: 2 x (1 + 22) / 2^22.
    assert said.startswith("With AFA, 21 of 22 systems have a higher mAP (sign test: p = 1.1e-05); ")
    assert "; intervals above 0: 21, below 0: 0. " in said
    assert exploratory.startswith("Exploratory")
    save(figure, tmp_path / "systems.svg")


def test_systems_weigh_alike_after_one_run_of_each(measure):
    figure = systems.systems(measure("systems", with_afa, seeds=1, datasets=("walkers",)))
    each, together, _ = figure.panels[1].lines
    expected = stats.ttest_1samp(each.y, 0).confidence_interval(0.95)
    assert (together.low[0], together.high[0]) == pytest.approx(tuple(expected))
    assert "). Over the 22 systems: +" in figure.notes[0]


def test_one_system_tells_nothing_of_all(measure):
    figure = systems.systems(measure("systems", with_afa, seeds=1, datasets=("walkers",))[:2])
    assert len(figure.panels[1].lines) == 1
    assert "No effect over all" in figure.notes[0]
    empty = systems.systems(measure("table4", with_afa, datasets=("walkers",))[:1])
    assert "bench suite run systems" in empty.panels[0].empty


def test_report_shows_systems_beside_the_baselines(measure):
    runs = measure("systems", with_afa, seeds=1, datasets=("walkers",))
    baselines = [run for run in runs if run.experiment.method.partition("+")[0] in ("mean", "qan")]
    assert len(baselines) == 4
    for given, shown in ((runs, True), (baselines, False)):
        assert ("systems-walkers" in [figure.name for figure in contents.drawn_figures(given)]) == shown


def test_systems_as_published_are_not_mixed_with_others(measure):
    """`qan-grid` without its classification of frames is not QAN as published."""
    runs = measure("systems", with_afa, datasets=("walkers",))
    plain = [run for run in runs if run.experiment.method == "qan-grid"]
    assert plain
    other = [
        replace(run, record=replace(run.record, experiment=replace(
            run.experiment, settings={**run.experiment.settings, "classification": "pooled"}
        )))
        for run in plain
    ]  # fmt: skip
    figure = systems.systems([*(run for run in runs if run not in plain), *other])
    assert "QAN" not in [text for _, text in figure.panels[0].ticks]
