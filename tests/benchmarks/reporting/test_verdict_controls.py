"""The verdict's own controls, from committed records: nothing is decided where nothing differs."""

import numpy as np
import pytest
from scipy.optimize import brentq

from benchmarks.reporting.power import measured_records
from benchmarks.reporting.statistics import over_seeds, power_of
from benchmarks.suites import SEEDS


@pytest.fixture(scope="module")
def repeats():
    """(S,) mAP of every method in results/measured with at least ten seeds."""
    rows = {}
    for record in measured_records():
        experiment, figures = record.experiment, record.find_metrics(record.first_protocol, "before")
        if figures is not None and not experiment.external:
            key = (*experiment.datasets, experiment.method, str(sorted(experiment.settings.items())))
            rows.setdefault(key, {})[experiment.seed, experiment.split] = figures.mAP
    return [np.array([each[seed] for seed in sorted(each)]) for each in rows.values() if len(each) >= 10]


def planted(variance, seeds):
    """The effect that the plan finds in 8 of 10 repetitions with so many seeds."""
    return brentq(lambda effect: power_of(effect, (variance, variance), seeds, 0.05) - 0.8, 0, 1)


def halves(figures, draw):
    order = draw.permutation(len(figures) // 2 * 2)
    return np.split(figures[order], 2)


def test_nothing_is_decided_where_nothing_differs(repeats):
    draw = np.random.default_rng(0)
    assert len(repeats) >= 30
    decided = []
    for figures in repeats:
        for _ in range(100):
            one, other = halves(figures, draw)
            decided.append(over_seeds([one, -other]).p < 0.05)
    assert np.mean(decided) <= 0.05


def test_planted_effects_are_found_at_the_planned_rate(repeats):
    """Seeds are drawn anew from a method's, and half of them made worse by what the plan says is found in 8 of 10 repetitions."""
    draw = np.random.default_rng(0)
    found = []
    for figures in repeats:
        effect = planted(figures.var(), SEEDS)
        for _ in range(100):
            one, other = draw.choice(figures, (2, SEEDS))
            interval = over_seeds([one, -(other - effect)])
            found.append(interval.p < 0.05 and interval.estimate > 0)
    assert 0.76 <= np.mean(found) <= 0.84
