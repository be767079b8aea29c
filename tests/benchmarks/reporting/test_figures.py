"""Figures show the numbers of their runs, say what is missing, and are reproducible."""

import math
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from benchmarks.reporting.drawing import save
from benchmarks.reporting.figures import cues, curves, sources, sweeps
from benchmarks.reporting.figures.figure import MOST_LINES
from benchmarks.reporting.query_results import query_matrix
from benchmarks.runs.exchange import export_runs
from benchmarks.runs.finished import finished_runs, runs_in_file
from benchmarks.runs.folder import RunFolder


def test_cmc_counts_queries_by_rank(finish, results):
    finish(ranks=[1, 1, 2, 5])
    finish(seed=1, ranks=[1, 1, 1, math.nan])  # one query without a match: it is left out of that run
    (panel,) = curves.cmc(finished_runs(results)).panels
    (line,) = panel.lines
    assert (line.label, line.x) == ("mean", list(range(1, 21)))
    assert line.y[:5] == pytest.approx([75, 87.5, 87.5, 87.5, 100])  # means of 50 75 75 75 100 and 100
    assert all(low <= y <= high for low, y, high in zip(line.low, line.y, line.high, strict=True))


def test_one_identity_gives_no_band(finish, results):
    finish(ranks=[1, 4])
    (line,) = curves.cmc(finished_runs(results)).panels[0].lines
    assert line.y[0] == 50
    assert math.isnan(line.low[0])


def test_exported_run_gives_the_same_curve(finish, results, tmp_path):
    record = finish()
    export_runs([(RunFolder(results / record.name), record)], tmp_path / "runs.parquet")
    assert curves.cmc(runs_in_file(tmp_path / "runs.parquet")) == curves.cmc(finished_runs(results))


def test_matrix_aligns_queries_of_splits(finish, results):
    finish(ranks=[1, 2, 3, 4])
    first = finished_runs(results)[0]
    other = replace(first.record, experiment=replace(first.record.experiment, test_split=1))
    values, pids = query_matrix([first, replace(first, record=other)], "first_hit_rank")
    assert values.shape == (2, 8)
    assert pids.tolist() == [0, 0, 1, 1] * 2


def test_band_over_splits_is_wider(finish, results):
    for seed, hits in enumerate((10, 11, 10)):
        finish(seed=seed, ranks=[1] * hits + [2] * (20 - hits))
    seeds = finished_runs(results)
    splits = []
    for number, run in enumerate(seeds):
        experiment = replace(run.experiment, seed=0, split=number, test_split=number)
        splits.append(replace(run, record=replace(run.record, experiment=experiment)))
    (line,) = curves.cmc(splits).panels[0].lines
    # 50, 55 and 50: the variance 25 / 3, by Nadeau and Bengio times 1 / 3 + 1 for halves; t(2).
    half = 4.30265273 * (25 / 3 * (1 / 3 + 1)) ** 0.5
    assert (line.low[0], line.y[0], line.high[0]) == pytest.approx((155 / 3 - half, 155 / 3, 155 / 3 + half))
    assert line.high[1] == line.low[1] == 100  # no wider than what there can be
    (line,) = curves.training(splits).panels[0].lines
    assert math.isnan(line.low[0])


def test_training_is_the_mean_over_seeds(finish, results):
    for seed in (0, 1, 2):
        finish(seed=seed)
    (panel,) = curves.training(finished_runs(results)).panels
    (line,) = panel.lines
    assert (line.x, line.y) == ([1, 2, 3], [4, 2.5, 2])
    half = 4.30265273 / 3**0.5  # t(2); the seeds lie 1 apart
    assert line.low == pytest.approx([y - half for y in line.y])
    assert line.high == pytest.approx([y + half for y in line.y])


def test_fig3a_shows_differences_to_no_noise(finish, results):
    for sigma, hits in ((0.0, 2), (0.025, 3), (0.5, 1)):
        finish("mean+afa", sigma=sigma, ranks=[1] * hits + [2] * (4 - hits))
        finish("mean+afa-motion", sigma=sigma, ranks=[1] * (4 - hits) + [2] * hits)
    finish("mean+afa", sigma=0.5, epochs=3)  # of other settings: not drawn
    finish("mean")  # without the augmentation: not of this figure
    figure = sweeps.fig3a(finished_runs(results))
    r1, average = figure.panels
    assert [text for _, text in r1.ticks] == ["2", "40"]  # 1 / sigma; no noise is the line at 0
    assert [place for place, _ in r1.ticks] == sorted(place for place, _ in r1.ticks)
    assert {line.label: line.y for line in r1.lines} == {
        "mean+afa: coherence distilled": [-25, 25],
        "mean+afa-motion: motion distilled": [25, -25],
    }
    assert [line.y for line in average.lines] == [[-12.5, 12.5], [12.5, -12.5]]  # half of a hit at rank 1
    assert "Runs with other settings or of another processor, which are not drawn: 1." in figure.notes


def test_differences_are_paired_by_seed(finish, results):
    """Seeds that differ by far, and a noise that changes one query of one person in each."""
    for seed, hits in enumerate((2, 10, 18), start=1):
        finish("mean+afa", seed=seed, sigma=0.0, ranks=[1] * hits + [2] * (20 - hits))
        finish("mean+afa", seed=seed, sigma=0.5, ranks=[1] * (hits + 1) + [2] * (19 - hits))
    finish("mean+afa", seed=0, sigma=0.5, ranks=[2] * 20)  # whose counterpart has not run
    line = sweeps.fig3a(finished_runs(results)).panels[0].lines[0]
    assert line.y == pytest.approx([5])
    assert line.low[0] > -15  # of unpaired means, which vary by 40 points, the interval would reach from -90
    assert line.high[0] < 25


def test_series_of_two_settings_are_not_mixed(finish, results):
    for seed in (0, 1):
        for sigma in (0.0, 0.5):
            finish("mean+afa", seed=seed, sigma=sigma, ranks=[2] * 20)
    for sigma in (0.0, 0.5):
        finish("mean+afa", sigma=sigma, epochs=3, ranks=[1] * 20 if sigma else [2] * 20)
        finish("mean+afa", dataset="mars", sigma=sigma, ranks=[1] * 20 if sigma else [2] * 20)
    figure = sweeps.fig3a(finished_runs(results))
    assert [line.y for line in figure.panels[0].lines] == [[0]]
    assert "on walkers" in figure.title
    assert any("seeds per point: 2;" in note for note in figure.notes)
    assert "Runs with other settings or of another processor, which are not drawn: 4." in figure.notes
    finish("mean+afa", sigma=0.1, epochs=3, ranks=[1] * 20)
    (line,) = sweeps.fig3a(finished_runs(results), "walkers").panels[0].lines
    assert line.y == [100, 100]  # more of the figure in fewer runs
    (line,) = sweeps.fig3a(finished_runs(results), "mars").panels[0].lines
    assert line.y == [100]


def test_systems_with_one_value_do_not_hide_a_sweep(finish, results):
    for value in (0.0, 0.1):
        finish("mean+afa", lambda_=value, epochs=3)
    for name in ("qan", "max", "attention"):
        finish(f"{name}+afa")
    assert [line.label for line in sweeps.fig3b(finished_runs(results)).panels[0].lines] == [
        "mean+afa: coherence distilled"
    ]


def test_unknown_recipe_does_not_mix_settings(finish, results):
    """Sigma 0 and lambda 0 is no reference for sigma 0.025 and lambda 0.1."""
    finish("mean+afa", sigma=0.0, lambda_=0.0)
    finish("mean+afa")
    runs = [
        replace(run, record=replace(run.record, experiment=replace(run.experiment, recipe="somebody")))
        for run in finished_runs(results)
    ]
    assert [panel.lines for panel in sweeps.fig3b(runs).panels] == [[], []]


def test_steps_of_a_baseline_without_controls_say_so(finish, results):
    for method, changes in (("mean", {"test_frames": 1}), ("mean", {}), ("cnn3d", {"shuffle": "both"}), ("cnn3d", {})):
        finish(method, **changes)
    notes = sources.sources(finished_runs(results)).notes
    assert any(note.startswith("cnn3d (walkers): controls: not run with the same settings") for note in notes)


def test_method_without_a_reference_is_named(finish, results):
    finish("mean+afa", sigma=0.5)
    finish("mean+afa", sigma=0.0)
    finish("qan+afa", sigma=0.5)
    figure = sweeps.fig3a(finished_runs(results))
    assert [line.label for line in figure.panels[0].lines] == ["mean+afa: coherence distilled"]
    assert "Left out because they have only one value of sigma: qan+afa." in figure.notes


def test_fig3b_shows_differences_to_lambda_0(finish, results):
    for value in (0.0, 0.01, 1.0):
        finish("mean+afa", lambda_=value, ranks=[1, 1, 1, 2] if value else [2, 2, 2, 2])
    r1, average = sweeps.fig3b(finished_runs(results)).panels
    assert [text for _, text in r1.ticks] == ["0.01", "1"]
    assert r1.lines[0].y == [75, 75]
    assert average.lines[0].y == [37.5, 37.5]


@pytest.mark.parametrize(
    "make",
    [
        curves.cmc,
        curves.training,
        sweeps.fig3a,
        sweeps.fig3b,
        sweeps.distill,
        sources.sources,
        sources.order,
        cues.cues,
    ],
)
def test_empty_panel_says_why(make, tmp_path):
    figure = make([])
    assert all(panel.empty and not panel.lines for panel in figure.panels)
    save(figure, tmp_path / "empty.svg")


def test_extra_lines_are_counted(finish, results):
    for epochs in range(1, 10):
        finish(epochs=epochs)
    figure = curves.cmc(finished_runs(results))
    assert len(figure.panels[0].lines) == MOST_LINES
    assert any(note.startswith("2 more lines") for note in figure.notes)


def test_drawing_is_reproducible(finish, results, tmp_path):
    for sigma in (0.0, 0.5):
        finish("mean+afa", sigma=sigma)
    figure = sweeps.fig3a(finished_runs(results))
    first, second = (save(figure, tmp_path / name) for name in ("one", "two"))
    assert [file.name for file in first] == ["fig3a.png", "fig3a.pdf", "fig3a.svg"]
    assert [file.read_bytes() for file in first] == [file.read_bytes() for file in second]
    ElementTree.parse(first[2])
    assert b"date>" not in first[2].read_bytes()


def test_figure_verb(bench, finish, results, tmp_path):
    record = finish()
    finish(seed=1, dataset="mars")
    answer = bench("figure", "cmc", record.name, "--to", tmp_path / "one.svg")
    written, empty, *notes = answer.out.splitlines()
    assert (answer.status, Path(written), empty) == (0, tmp_path / "one.svg", "")
    (run,) = (run for run in finished_runs(results) if run.name == record.name)
    assert notes == [f"- {note}" for note in curves.cmc([run]).notes]
    assert (
        bench("figure", "fig9", "--to", tmp_path).err.splitlines()[-1].startswith("bench: no figure 'fig9'; choose cmc")
    )
    assert (
        "bench: sources is empty: no finished runs of all that it compares: `bench suite run sources`"
        in bench("figure", "sources", record.name, "--to", tmp_path).err
    )
    assert "no finished runs" in bench("figure", "cmc", "--dataset", "prid2011", "--to", tmp_path).err
    assert "--to" in bench("figure", "cmc", "--to", tmp_path / "one.jpg").err
