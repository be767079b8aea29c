"""The process of `guided`: one reader takes files until the time is over. Its imports are instrumented here only."""

import json
import os
import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["benchmarks", "baselines", "csv", "tomllib", "zipfile"]):
    from .fuzz import WAYS, judge
    from .reader import SECONDS
    from .readers import READERS

MEMORY = 4096  # MiB that the process may take


def main(name: str, seconds: str, folder: str, keep: str) -> None:
    """Give the reader of this name files for so many seconds. libFuzzer then ends the process."""
    (reader,) = (each for each in READERS if each.name == name)
    file = reader.make(Path(folder))
    content = file.read_bytes()
    expected = reader.read(file)
    corpus = Path(folder, "corpus")
    corpus.mkdir()
    (corpus / "valid").write_bytes(content)
    answers = os.open(Path(folder, "answers.jsonl"), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    faults: set[str] = set()

    def try_one(damaged: bytes) -> None:
        answer = judge(reader, file, damaged, expected)
        if answer not in (*WAYS, *faults):
            faults.add(answer)
            Path(keep, f"{file.stem}-guided-{len(faults)}{file.suffix}").write_bytes(damaged)
        os.write(answers, json.dumps(answer).encode() + b"\n")

    limits = [f"-max_total_time={seconds}", f"-timeout={SECONDS:.0f}", f"-rss_limit_mb={MEMORY}", "-seed=1"]
    atheris.Setup([sys.argv[0], *limits, f"-artifact_prefix={keep}/", str(corpus)], try_one)
    atheris.Fuzz()


if __name__ == "__main__":
    main(*sys.argv[1:])
