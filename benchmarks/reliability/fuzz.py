"""Damaged files for every reader, in a process of its own with little memory, under a watchdog."""

import io
import json
import os
import resource
import select
import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import redirect_stderr
from itertools import count
from pathlib import Path

from baselines.interface.errors import UserError

from .mutations import mutate
from .outcome import Outcome
from .reader import SECONDS, Reader

MEMORY = 2 * 2**30  # bytes that a reader may take beyond what its process has at its start
REFUSED, SAME, ACCEPTED = "refused", "equal", "accepted"
WAYS = (REFUSED, SAME, ACCEPTED)
KEPT = 20  # inputs of each reader that are kept
STAMPS = count(1)  # times of the files of one process


def fuzz(reader: Reader, inputs: int, folder: Path, keep: Path, first: int = 0) -> Outcome:
    """Give a reader so many damaged files.

    Each must be refused by a UserError that names the file, or read with the result of the undamaged file, or with one that a
    second opinion accepts. All else is a fault, and the file is kept in `keep`.
    """
    outcome = Outcome(reader.name)
    folder.mkdir(parents=True, exist_ok=True)
    file = reader.make(folder)
    content = file.read_bytes()
    faults: Counter[str] = Counter()
    for number, answer in _answers(reader, file, content, range(first, first + inputs)):
        outcome.tried += 1
        if answer in WAYS:
            outcome.count(answer)
            continue
        faults[answer] += 1
        if faults.total() <= KEPT:
            keep.mkdir(parents=True, exist_ok=True)
            name = f"{''.join(letter if letter.isalnum() else '-' for letter in reader.name)}-{number}{file.suffix}"
            (keep / name).write_bytes(mutate(content, number))
    outcome.faults = [f"{count} x {fault}" for fault, count in faults.most_common()]
    outcome.counts["fault"] = faults.total()
    return outcome


def _answers(reader: Reader, file: Path, content: bytes, numbers: range) -> Iterator[tuple[int, str]]:
    """How the reader took each file. A process that dies or hangs is replaced."""
    left = list(reversed(numbers))
    while left:
        pid, answers = _serve(reader, file, content, left)
        try:
            while left:
                ready = select.select([answers], [], [], SECONDS)[0]
                line = _line(answers) if ready else ""
                if not line:
                    break
                yield left.pop(), json.loads(line)
        finally:
            os.close(answers)
            os.kill(pid, signal.SIGKILL)
            status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        if left:
            yield left.pop(), "no answer in time" if not ready else f"the process ends with {status}"


def _line(stream: int) -> str:
    """One line, read byte by byte: `select` does not see what a buffer holds."""
    read = b""
    while (byte := os.read(stream, 1)) not in (b"", b"\n"):
        read += byte
    return read.decode()


def _serve(reader: Reader, file: Path, content: bytes, left: list[int]) -> tuple[int, int]:
    """Start the process that reads the files; its id, and the pipe of its answers."""
    answers, out = os.pipe()
    pid = os.fork()
    if pid:
        os.close(out)
        return pid, answers
    try:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os.dup2(null, 2)
        size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (size + MEMORY, size + MEMORY))
        file.write_bytes(content)
        expected = reader.read(file)
        for number in reversed(left):
            os.write(out, json.dumps(judge(reader, file, mutate(content, number), expected)).encode() + b"\n")
    finally:
        os._exit(0)


def judge(reader: Reader, file: Path, damaged: bytes, expected: object) -> str:
    """How a reader takes a damaged file: one of `WAYS`, or the fault in words."""
    file.unlink(missing_ok=True)  # not overwritten: what was read before may still be mapped
    file.write_bytes(damaged)
    stamp = next(STAMPS)
    os.utime(file, ns=(stamp, stamp))  # two files in a row may otherwise have the same time
    try:
        with redirect_stderr(io.StringIO()) as said:
            result = reader.read(file)
        lines = said.getvalue().splitlines()
        if lines and all(reader.place in line for line in lines):
            return REFUSED  # each part that is left out has a line on stderr
    except UserError as error:
        if len(str(error).splitlines()) > 1:
            return f"a message of several lines, from {_place(error)}"
        return REFUSED if reader.place in str(error) else f"a message without the place, from {_place(error)}"
    except BaseException as error:
        return f"{type(error).__name__} in {_place(error)}"
    if result == expected:
        return SAME
    try:
        return ACCEPTED if reader.accept(file, result) else "another result, unnoticed"
    except Exception as error:
        return f"read, but a second reader refuses it: {type(error).__name__}"


def _place(error: BaseException) -> str:
    """The last line of the project's own code in the traceback."""
    place, trace = "", error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        if "/benchmarks/" in code.co_filename and "/reliability/" not in code.co_filename:
            place = f"{Path(code.co_filename).name}, {code.co_name}"
        trace = trace.tb_next
    return place
