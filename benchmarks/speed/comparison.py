"""A step and its limit or peer, measured in turn in one run, and the row of the table of speeds that follows (`bench speed`)."""

import time
from collections.abc import Callable
from typing import Any, Literal

import numpy as np

Better = Literal["at most", "at least"]


def in_turn(
    benchmark: Any, step: Callable[[], object], peer: Callable[[], object], rounds: int
) -> tuple[np.ndarray, np.ndarray]:
    """The seconds of each round of `step`, and of `peer`, which is called before each; a first round of both is not counted."""
    seconds: dict[str, list[float]] = {"step": [], "peer": []}

    def timed(name: str, call: Callable[[], object]) -> Callable[[], None]:
        def run() -> None:
            start = time.perf_counter()
            call()
            seconds[name].append(time.perf_counter() - start)

        return run

    benchmark.pedantic(timed("step", step), setup=timed("peer", peer), rounds=rounds, warmup_rounds=1)
    return np.array(seconds["step"][-rounds:]), np.array(seconds["peer"][-rounds:])


def beside(
    benchmark: Any,
    step: Callable[[], object],
    peer: Callable[[], object],
    *,
    what: str,
    limit: str,
    target: float,
    better: Better = "at most",
    rounds: int = 5,
    count: int = 0,
    unit: str = "frames",
    note: str = "",
) -> tuple[float, float]:
    """Time `step` and, before each round of it, `peer`, which the row calls `limit`; note the median of the rounds' ratios.

    "At most": how many times the peer's time the step takes. "At least": how many times as fast as the peer it is. Both
    handle `count` units, where given: the row then shows rates and not seconds. `note` says what limits a missed target.

    Returns:
        The medians of the seconds of both.
    """
    steps, peers = in_turn(benchmark, step, peer, rounds)
    ratio = float(np.median(steps / peers if better == "at most" else peers / steps))
    here, there = float(np.median(steps)), float(np.median(peers))
    if count:
        measured = f"{count / here:,.0f} {unit}/s against {count / there:,.0f}"
    else:
        measured = f"{here:.3g} s against {there:.3g} s"
    note_row(benchmark, what, limit, ratio, target, better, measured=measured, note=note)
    return here, there


def note_row(
    benchmark: Any, what: str, limit: str, ratio: float, target: float, better: Better = "at most", **more: str
) -> None:
    """Keep a row in pytest-benchmark's JSON. `more`: measured, note, and unit ("s") where ratio and target are seconds."""
    row = {"what": what, "limit": limit, "ratio": ratio, "target": target, "better": better}
    benchmark.extra_info.update(row | {key: text for key, text in more.items() if text})
