"""One effect over several systems: as published examples and other methods have it."""

import math

import numpy as np
import pytest
from scipy import stats

from benchmarks.reporting.meta_analysis import random_effects

# Cases and controls of tuberculosis, vaccinated and not: the 13 trials of Colditz et al. (JAMA 271, 1994).
BCG = (
    (4, 119, 11, 128), (6, 300, 29, 274), (3, 228, 11, 209), (62, 13536, 248, 12619), (33, 5036, 47, 5761),
    (180, 1361, 372, 1079), (8, 2537, 10, 619), (505, 87886, 499, 87892), (29, 7470, 45, 7232), (17, 1699, 65, 1600),
    (186, 50448, 141, 27197), (5, 2493, 3, 2338), (27, 16886, 29, 17825),
)  # fmt: skip


def test_published_example():
    """As R's metafor documents it for these data: method "DL"."""
    effects = [math.log((a / (a + b)) / (c / (c + d))) for a, b, c, d in BCG]
    errors = [math.sqrt(1 / a - 1 / (a + b) + 1 / c - 1 / (c + d)) for a, b, c, d in BCG]
    found = random_effects(effects, errors)
    assert found.q == pytest.approx(152.2330, abs=1e-4)
    assert found.tau**2 == pytest.approx(0.3088, abs=1e-4)
    assert found.effect == pytest.approx(-0.7141, abs=1e-4)


def test_equal_errors_give_students_interval():
    """With equal weights the interval of Hartung and Knapp is that of a plain mean, whatever the errors are, or if unknown."""
    effects = [0.5, 1.5, 2.0, 4.0]
    for errors in ([0.01] * 4, [0.7] * 4, [20.0] * 4, None):
        found, plain = random_effects(effects, errors), stats.ttest_1samp(effects, 0)
        assert (found.low, found.high) == pytest.approx(tuple(plain.confidence_interval(0.95)))
        assert found.p == pytest.approx(plain.pvalue)
    assert random_effects(effects).tau == pytest.approx(math.sqrt(np.var(effects, ddof=1)))


def test_by_hand():
    """Effects 1 and 3, errors 1 and 2: weights 1 and 1/4, fixed mean 1.4, Q = 0.16 + 2.56 / 4 = 0.8, less than 1: tau = 0."""
    found = random_effects([1, 3], [1, 2])
    assert (found.effect, found.q, found.tau) == pytest.approx((1.4, 0.8, 0))
    assert found.error == pytest.approx(math.sqrt(0.8 / 1.25))
    assert found.high == pytest.approx(1.4 + stats.t.ppf(0.975, 1) * 0.8)
    assert found.next_high == math.inf


def test_systems_that_differ():
    """Far apart for their errors, they count alike; and a further system lies further out than the mean."""
    found = random_effects([0, 10, 20], [0.1, 0.1, 0.1])
    assert found.effect == pytest.approx(10, abs=0.01)
    assert found.tau == pytest.approx(10, abs=0.05)
    assert found.next_high - found.effect > 2 * (found.high - found.effect)


def test_coverage():
    draw, inside = np.random.default_rng(0), 0
    for _ in range(1000):
        errors = draw.uniform(0.2, 1, 12)
        found = random_effects(draw.normal(draw.normal(0.5, 0.6, 12), errors), errors)
        inside += found.low < 0.5 < found.high
    assert 0.92 < inside / 1000 < 0.97


@pytest.mark.parametrize(("effects", "errors"), [([1.0], [1.0]), ([1, 2], [1, 0]), ([1, 2], [1, math.inf])])
def test_too_little(effects, errors):
    with pytest.raises(ValueError, match="two effects or more"):
        random_effects(effects, errors)


def test_equal_errors_by_hand():
    """Effects of variance 4 with errors of 1, so that tau² = 4 - 1; the error of the mean of four is 2 / sqrt(4)."""
    effects = [1.5 + side * math.sqrt(3) for side in (1, 1, -1, -1)]
    found = random_effects(effects, [1.0] * 4, level=0.8)
    assert (found.effect, found.tau, found.error, found.q) == pytest.approx((1.5, math.sqrt(3), 1.0, 12.0))
    half, reach = stats.t.ppf(0.9, 3), stats.t.ppf(0.9, 2) * 2  # sqrt(3 + 1)
    assert (found.low, found.high) == pytest.approx((1.5 - half, 1.5 + half))
    assert (found.next_low, found.next_high) == pytest.approx((1.5 - reach, 1.5 + reach))
    assert found.systems == 4


def test_effects_without_a_difference():
    one, none = random_effects([1, 1, 1], [0.5, 1, 2]), random_effects([0, 0], [1, 2])
    assert (one.effect, one.low, one.high, one.p, one.next_high) == (1, 1, 1, 0, 1)
    assert (none.p, none.tau, none.next_low) == (1, 0, -math.inf)
