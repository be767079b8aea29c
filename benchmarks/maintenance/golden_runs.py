"""Golden runs: short trainings on drawn people with known results, bit for bit.

`python -m benchmarks.maintenance.golden_runs` runs them again and writes results/measured/golden.json. The tests compare with
this file: on the machine that it names, every bit must agree; on another machine, the losses and metrics must be close.

After a change of the shared code that keeps every bit, the same command adds the digest of the new code to the file, so that
records from before the change stay current. If bits change, the file keeps only the digest of the new code. On another
processor, also run it before the change: if the file has the digest of the code already, the command only replaces the bits.
"""

import hashlib
import json
import platform
import tempfile
from pathlib import Path
from typing import Any

from safetensors import safe_open

from benchmarks.engine.run import Machine, plan, run
from benchmarks.experiments.code_digest import GOLDEN, shared_code
from benchmarks.runs import environment
from benchmarks.runs.folder import RunFolder

DATASET = "walkers:tiny"
BASELINES = ("attention", "cnn3d", "flow", "flow-only", "gru", "lstm", "lstm-changes", "max", "mean", "qan", "rnn")
# One batch is one epoch here, so that the five lines of the loss curve are the first five steps. The short chunks make most
# tracklets several chunks, which have to be merged.
COMMON = ("epochs=5", "test_chunk=8")
EXTRA: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("mean", ("backbone=resnet18",)),
    ("qan", ("backbone=resnet50", "last_stride=2")),
    ("cnn3d", ("backbone=mobilenet_v2",)),
    ("cnn3d", ("backbone=resnet18",)),
    ("cnn3d", ("backbone=r2plus1d18",)),
    ("mean+afa", ("granularity=frame", "coherence_norm=mse", "margin=0.3", "label_smoothing=0.1", "neck=none")),
    ("lstm+afa", ("sampling=consecutive", "spacing=2", "shuffle=both", "crop=0.5", "erase=0.5", "dropout=0.5")),
    ("flow", ("shuffle=both", "sampling=consecutive", "metric=cosine")),
    ("mean", ("holdout=0.25", "test_frames=4")),
    ("mean", ("optimizer=sgd", "schedule=milestones", "milestones=2,4", "warmup_epochs=2", "gradient_limit=1.0")),
    ("mean", ("optimizer=adamw", "schedule=cosine", "backbone_lr=0.1", "pooling=max", "metric=xqda")),
    ("mean+afa", ("triplet_feature=after", "triplet_distance=cosine", "classification=frames", "matcher=cssa")),
)


def cases() -> list[tuple[str, tuple[str, ...]]]:
    """Each golden run: a method, and the settings that differ from the recipe `small`."""
    plain = [(f"{name}{part}", ()) for name in BASELINES for part in ("", "+afa", "+afa-motion")]
    return [(method, (*COMMON, *changes)) for method, changes in (*plain, *EXTRA)]


def name_of(method: str, changes: tuple[str, ...]) -> str:
    """The key of a golden run in the file."""
    return " ".join((method, *changes))


def golden_run(method: str, changes: tuple[str, ...], results: Path, dataset: str = DATASET) -> dict[str, Any]:
    """Run it in the folder `results`: the losses of its first five steps, the digest of its final weights, its metrics.

    The digest is taken over the tensors' bytes and not over their names, so that modules may be renamed.
    """
    experiment, settings, data = plan(
        method, dataset, recipe="small", changes=changes, seed=0, split=0, root=None, report=lambda *_, **__: None
    )
    folder = RunFolder(results / experiment.name)
    record = run(experiment, settings, data, folder, Machine(0, 10.0, lambda *_, **__: None))
    curve = [json.loads(line) for line in folder.curves.read_text().splitlines()]
    with safe_open(folder.weights, framework="np") as tensors:
        digests = sorted(hashlib.sha256(tensors.get_tensor(key).tobytes()).digest() for key in tensors.keys())  # noqa: SIM118
    return {
        "losses": [line["loss"] for line in curve],
        "weights": hashlib.sha256(b"".join(digests)).hexdigest(),
        "metrics": {f"{row.protocol}/{row.feature}": {k: getattr(row, k) for k in ("mAP", "R1", "R5", "R10", "R20")}
                    for row in record.metrics},
    }  # fmt: skip


def is_this_machine(facts: dict[str, str]) -> bool:
    """Whether these are facts of this machine. Files from before more was known of machines have fewer."""
    here = machine()
    return all(here.get(key) == value for key, value in facts.items())


def machine() -> dict[str, str]:
    """What the bits of a run depend on: the processor, its instructions as torch uses them, and the packages that compute."""
    described = environment.describe()
    packages = {
        name: str(described.packages[name]) for name in ("torch", "torchvision", "numpy", "opencv-python-headless")
    }
    processor = {
        "cpu": described.cpu,
        "cpu_model": str(described.cpu_model),
        "instructions": str(described.instructions),
    }
    return {**processor, "system": platform.machine(), **packages, **described.libraries}


def main() -> None:
    """Run all and write the file. Runs that are new to it say nothing about earlier code."""
    before = json.loads(GOLDEN.read_text())
    with tempfile.TemporaryDirectory() as folder:
        runs = {name_of(*case): golden_run(*case, Path(folder)) for case in cases()}
    if is_this_machine(before["machine"]):
        same = all(runs[name] == before["runs"][name] for name in runs if name in before["runs"])
    else:
        same = shared_code() in before["shared_codes"]
    codes = dict.fromkeys([*(before["shared_codes"] if same else ()), shared_code()])
    print(
        "records from before stay current" if same else "other bits, or another machine: records from before are stale"
    )
    GOLDEN.write_text(json.dumps({"machine": machine(), "shared_codes": list(codes), "runs": runs}, indent=1) + "\n")


if __name__ == "__main__":
    main()
