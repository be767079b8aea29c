"""How fast a device works: rates and times as medians over several windows."""

import time
from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch

WINDOWS = 5  # a measurement is the median over this many


class Rate(NamedTuple):
    """Frames per second over several windows: their median, and their spread, which is their range as a share of the median."""

    median: float
    spread: float

    @classmethod
    def of(cls, rates: list[float]) -> "Rate":
        """The rate from those of all windows."""
        median = float(np.median(rates))
        return cls(median, (max(rates) - min(rates)) / median)


def rate_of_steps(call: Callable[[int], None], frames: int, window: float, device: torch.device) -> Rate:
    """Frames per second of a call that repeats a step a given number of times, after a warm-up.

    Args:
        frames: of a step.
        window: about how many seconds a window takes; it has 2 to 1,000 steps.
    """
    call(3)
    one = _seconds(lambda: call(2), device) / 2
    times = int(np.clip(window / one, 2, 1000))
    return Rate.of([times * frames / _seconds(lambda: call(times), device) for _ in range(WINDOWS)])


def median_seconds(call: Callable[[], object], device: torch.device) -> float:
    """The median time of WINDOWS calls, in seconds, after one call as a warm-up."""
    times = [_seconds(call, device) for _ in range(1 + WINDOWS)]
    return float(np.median(times[1:]))


def window_rates(marks: list[tuple[int, float]]) -> list[float]:
    """Frames per second in each window of the second half of the marks; workers start in the first half.

    marks: frames done, and the time in seconds.
    """
    kept = marks[(len(marks) - 1) // 2 :]
    edges = np.unique(np.linspace(0, len(kept) - 1, WINDOWS + 1).round().astype(int))
    return [
        (kept[last][0] - kept[first][0]) / (kept[last][1] - kept[first][1]) for first, last in pairwise(edges.tolist())
    ]


def _seconds(call: Callable[[], object], device: torch.device) -> float:
    """How many seconds a call takes, until the device has done its work."""
    _synchronize(device)
    began = time.perf_counter()
    call()
    _synchronize(device)
    return time.perf_counter() - began


def _synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()
