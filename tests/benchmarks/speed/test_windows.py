"""Rates of windows, worked by hand."""

import pytest

from benchmarks.speed.windows import Rate, window_rates


def test_rates_of_windows():
    """Ten marks of warm-up; then ten times 100 frames in one second each, except one that takes two seconds."""
    times = [*range(18), 19, 20, 21]
    rates = window_rates([(100 * done, float(time)) for done, time in enumerate(times)])
    assert rates == pytest.approx([100, 100, 100, 200 / 3, 100])
    assert Rate.of(rates) == pytest.approx((100, 1 / 3))
