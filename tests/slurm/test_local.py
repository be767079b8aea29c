"""`bench submit --local`, and the other verbs on jobs, with processes of this machine."""

import json
import os
import re
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.runs.folder import RunFolder
from benchmarks.runs.record import Git
from benchmarks.runs.store import load_records
from benchmarks.runs.unfinished import started_experiments

TINY = ("--dataset", "walkers:tiny", "--quick", "--set", "epochs=1")


@pytest.fixture
def group_folder(results) -> Iterator[Path]:
    """The results folder as a group shares it: new files belong to the group, which may write to them."""
    results.mkdir()
    results.chmod(0o2770)
    mask = os.umask(0o007)
    yield results
    os.umask(mask)


def words(answer: subprocess.CompletedProcess) -> str:
    assert answer.returncode == 0, answer.stderr
    return answer.stdout


def test_submit_fail_retry_table_clean(bench, until, group_folder, tmp_path):
    results = group_folder
    plugin = tmp_path / "shy.py"
    plugin.write_text(f'''
import pathlib
from baselines.interface.baseline import Baseline
from baselines.mean import Mean
from baselines.interface.errors import UserError
from baselines.interface.registry import register

@register("shy")
class Shy(Mean, Baseline):
    """Mean, but it fails until it is allowed to run."""
    def forward(self, clips):
        if not pathlib.Path({str(tmp_path)!r}, "allowed").exists():
            raise UserError("shy: not allowed yet")
        return super().forward(clips)
''')
    ask = (*TINY, "--plugin", plugin, "--seeds", 1)
    dry = words(bench("submit", "--method", "mean", *ask, "--dry-run"))
    assert "walkers:tiny: mean, seed 0\n\n1 job" in dry
    assert not (results / ".jobs" / "ledger.jsonl").exists()
    assert "1 job submitted" in words(bench("submit", "--method", "mean", *ask, "--local"))
    assert "0 jobs submitted; the others: 1" in words(bench("submit", "--method", "mean", *ask, "--local"))
    assert "1 job submitted" in words(bench("submit", "--method", "shy", *ask, "--local"))

    def status() -> str:
        return words(bench("status", "--plugin", plugin))

    until(lambda: ("1 done" in status() and "1 failed" in status()) or status(), 120)
    assert "shy: not allowed yet" in status()
    assert "not allowed yet" in words(bench("logs", "shy"))
    left = words(bench("submit", "--method", "shy", *ask, "--local"))
    assert left.startswith("0 jobs submitted; the others: 1 failed; `bench retry`")
    (tmp_path / "allowed").touch()
    assert "1 job submitted" in words(bench("retry", "--method", "shy", *ask, "--local"))
    text = plugin.read_text()
    plugin.write_text("an edit that is half done")  # the job runs the submitted code
    until(lambda: "2 done" in (said := words(bench("status"))) or said, 120)
    plugin.write_text(text)
    assert len(list((results / ".jobs" / "batches").iterdir())) == 3  # old logs are kept
    table = words(bench("table", "--dataset", "walkers:tiny", "--plugin", plugin, "--format", "csv"))
    assert "walkers:tiny,mean,1," in table
    assert "walkers:tiny,shy,1," in table

    # Finished runs tell how long the next ones will take.
    two = ("submit", "--method", "mean", *TINY, "--seeds", 2, "--dry-run")
    told = r"\n1 job, about \d+ s one after the other, by recorded frames/s; the others: 1 done\n"
    assert re.search(told, words(bench(*two)))
    dry = words(bench(*two, "--gpus", 2))
    assert (
        "1 job, of unknown time: no similar run has finished here on a GPU; submit one run first to learn its time; the "
        in dry
    )
    (record,) = results.glob("*-mean-*/record.json")
    record.write_text(record.read_text().replace('"gpu": null', '"gpu": "a GPU"'))
    assert re.search(r", about \d+ s one after the other, \d+\.\d GPU hours, by", words(bench(*two, "--gpus", 2)))
    assert "#SBATCH --gpus-per-node=2" in dry

    # The job ran the submitted copy of the code, and the record names its commit.
    (copy,) = (results / ".jobs" / "code").iterdir()
    commit = Git(**json.loads((copy / "commit.json").read_text()))
    assert [record.environment.git for record in load_records(results)] == [commit, commit]
    made = list(results.rglob("*"))
    assert {
        "ledger.jsonl",
        "lock",
        ".lock",
        "model.safetensors",
        "record.json",
        "queries.parquet",
        "cpu0",
        "run.py",
    } <= {file.name for file in made}
    assert [file for file in made if not file.stat().st_mode & stat.S_IWGRP] == []
    assert [file for file in made if file.stat().st_gid != results.stat().st_gid] == []
    # `bench clean` removes what a killed process left behind and nothing else, and only with --yes.
    (done, _) = [folder.path for folder, _ in started_experiments(results)]
    halves = [done / ".model.safetensors.4711", done / "checkpoint.pth"]
    for half in halves:
        half.touch()
    kept = {file for file in done.iterdir() if file not in halves}
    empty, stopped, trained, running = (RunFolder(results / name) for name in ("empty", "stopped", "trained", "new"))
    for folder in (empty, stopped, trained, running):
        folder.path.mkdir()
        folder.settings.write_text((done / "experiment.json").read_text())
        folder.failure.touch()
    stopped.checkpoint.touch()
    trained.weights.touch()
    running.failure.unlink()
    said = words(bench("clean"))
    assert all(f"would remove: {each} " in said for each in (copy, empty.path, *halves))
    assert copy.exists()
    words(bench("clean", "--yes"))
    assert not copy.exists()
    assert set(done.iterdir()) == kept
    assert not empty.path.exists()
    assert all(folder.settings.exists() for folder in (stopped, trained, running))
    assert "2 done" in status()


def test_simultaneous_local_submissions(bench, until, results):
    ask = ["submit", "--method", "mean", *TINY, "--seeds", "2", "--local", "--max-parallel", "1"]
    both = [
        subprocess.Popen([sys.executable, "-m", "benchmarks.cli", *ask], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    said = sorted(re.split("[;\n]", each.communicate()[0])[0] for each in both)
    assert said == ["0 jobs submitted", "2 jobs submitted"]
    assert len((results / ".jobs" / "ledger.jsonl").read_text().splitlines()) == 2
    assert "2 jobs cancelled" in words(bench("cancel", "--all"))
    until(lambda: ("queued" not in (said := words(bench("status"))) and "running" not in said) or said, 60)


def test_cluster_user_errors(bench):
    for ask, said in (
        (("submit",), "name either a SUITE"),
        (("submit", "--method", "mean"), "add --dataset"),
        (("submit", "table4", "--dataset", "walkers", "--time", "4h"), "--time 4h: not a time"),
        (("logs", "nothing"), "no submitted experiment"),
        (("cancel",), "or use --all"),
    ):
        answer = bench(*ask)
        assert answer.returncode == 2
        (line,) = answer.stderr.strip().splitlines()
        assert said in line
