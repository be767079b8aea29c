"""Runs that are killed by SIGKILL at random moments of each phase, and started again."""

import random
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch

from benchmarks.runs.folder import RunFolder, run_folders
from benchmarks.runs.store import read_record

from .child import DRAWING, EXTRACTING, PHASES, SAVING, TRAINING, WRITING, Folders, start
from .outcome import RUN, Outcome, Undisturbed, complete


def kill_runs(
    expected: Undisturbed,
    chains: int,
    folder: Path,
    seed: int = 0,
    prepare: Callable[[Folders], object] = lambda _: None,
    afterwards: Callable[[Folders], object] = lambda _: None,
) -> list[Outcome]:
    """Kill a run in each phase, start it again after each kill, and check its end; `chains` times.

    Args:
        prepare: called in the process of each run before it starts.
        afterwards: called after each kill.

    Returns:
        One outcome for each phase. A kill counts for the phase in which it came.
    """
    draw = random.Random(seed)
    outcomes = {phase: Outcome(phase) for phase in PHASES}
    for chain in range(chains):
        here = Folders(folder / f"killed-{chain}" / "runs", folder / f"killed-{chain}" / "cache")
        spent = 0.0
        for phase in (DRAWING, TRAINING, SAVING, SAVING, EXTRACTING, WRITING):  # a short one ends before some kills
            child = start(RUN, here, partial(prepare, here))
            if child.wait_for(phase):
                time.sleep(draw.random() * expected.durations.get(phase, 0.0))
                child.kill()
            child.finish()
            afterwards(here)
            outcomes.get(child.last_phase, outcomes[phase]).tried += 1
            if child.last_phase == EXTRACTING:
                spent = _seconds_trained(here.results)
        last = outcomes[PHASES[-1]]
        complete(last, expected, here, f"run {chain}")
        kept = [_seconds_recorded(each) >= spent for each in run_folders(here.results) if each.record.exists()]
        last.require(all(kept), f"run {chain}: the record has less time than the training took")
    return list(outcomes.values())


def _seconds_trained(results: Path) -> float:
    """The seconds of the training that a killed run had saved; 0 if it had saved none."""
    files = [each.checkpoint for each in run_folders(results) if each.checkpoint.exists()]
    return max((torch.load(file, weights_only=True)["spent"][1] for file in files), default=0.0)


def _seconds_recorded(folder: RunFolder) -> float:
    record = read_record(folder)
    assert record is not None
    return record.phases["train"].seconds
