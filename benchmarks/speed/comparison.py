"""Time a step and its limit or alternative (the peer) alternately in one run, and store a row for `bench speed`."""

import time
from collections.abc import Callable
from typing import Any, Literal

import numpy as np

Better = Literal["at most", "at least"]


def time_alternately(
    benchmark: Any, step: Callable[[], object], peer: Callable[[], object], rounds: int
) -> tuple[np.ndarray, np.ndarray]:
    """The seconds of each round of `step`, and of `peer`, which runs before each; the first round is a warm-up."""
    seconds: dict[str, list[float]] = {"step": [], "peer": []}

    def timed(name: str, call: Callable[[], object]) -> Callable[[], None]:
        def run() -> None:
            start = time.perf_counter()
            call()
            seconds[name].append(time.perf_counter() - start)

        return run

    benchmark.pedantic(timed("step", step), setup=timed("peer", peer), rounds=rounds, warmup_rounds=1)
    return np.array(seconds["step"][-rounds:]), np.array(seconds["peer"][-rounds:])


def compare(
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
    """Time `step` and, before each of its rounds, `peer`, which the row calls `limit`; store the median ratio of the rounds.

    "At most": the ratio is the step's time over the peer's. "At least": it is the peer's time over the step's. With `count`,
    the number of units that both handle, the row shows rates instead of seconds. `note` explains a missed target.

    Returns:
        The median seconds of both.
    """
    steps, peers = time_alternately(benchmark, step, peer, rounds)
    ratio = float(np.median(steps / peers if better == "at most" else peers / steps))
    step_seconds, peer_seconds = float(np.median(steps)), float(np.median(peers))
    if count:
        measured = f"{count / step_seconds:,.0f} {unit}/s against {count / peer_seconds:,.0f}"
    else:
        measured = f"{step_seconds:.3g} s against {peer_seconds:.3g} s"
    note_row(benchmark, what, limit, ratio, target, better, measured=measured, note=note)
    return step_seconds, peer_seconds


def note_row(
    benchmark: Any, what: str, limit: str, ratio: float, target: float, better: Better = "at most", **more: str
) -> None:
    """Store a row in pytest-benchmark's JSON. `more`: measured, note, and unit ("s") where ratio and target are seconds."""
    row = {"what": what, "limit": limit, "ratio": ratio, "target": target, "better": better}
    benchmark.extra_info.update(row | {key: text for key, text in more.items() if text})
