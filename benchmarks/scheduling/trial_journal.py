"""The journal of a search: what optuna needs to continue it, as lines of JSON that each have a checksum.

The checksum of a line is the sha256 of the file up to the end of that line, so a changed, lost or moved line is an error. Only
lines that are lost at the end go unnoticed. The search then continues from the last line that is left, and reuses the records of
runs that had finished.
"""

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import optuna
from optuna.storages.journal import BaseJournalBackend, JournalStorage

from baselines.interface.errors import UserError
from benchmarks.parsing import one_line


def open_study(file: Path, name: str) -> optuna.Study:
    """The search that a journal records; a new one if there is no journal. Only one process may use it at a time.

    Raises:
        UserError: the journal is damaged, or an earlier version wrote it, without checksums.
    """
    try:
        storage = JournalStorage(_CheckedJournal(file))
        return optuna.create_study(storage=storage, study_name=name, direction="maximize", load_if_exists=True)
    except OSError:
        raise
    except Exception as error:  # optuna trusts its journal, and fails in many ways
        raise UserError(
            f"{file}: damaged ({one_line(error)}); delete it to search anew: the records of finished trials stay"
        ) from error


class _CheckedJournal(BaseJournalBackend):
    """Lines `CHECKSUM JSON`. An incomplete last line, which a killed process leaves, is replaced."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._digest = hashlib.sha256()
        self._size = 0  # of the lines that are complete
        self._logs: list[dict[str, Any]] = []
        lines = file.read_bytes().split(b"\n")[:-1] if file.exists() else []
        for number, line in enumerate(lines, 1):
            checksum, _, text = line.partition(b" ")
            if checksum.decode(errors="replace") != self._checksum(text):
                without = "; an earlier version wrote it" if line.startswith(b"{") else ""
                raise ValueError(f"line {number}: its checksum does not fit{without}")
            self._logs.append(json.loads(text))
            self._size += len(line) + 1

    def read_logs(self, log_number_from: int) -> Sequence[dict[str, Any]]:
        return self._logs[log_number_from:]

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        texts = [json.dumps(log, separators=(",", ":")).encode() for log in logs]
        added = b"".join(b"%s %s\n" % (self._checksum(text).encode(), text) for text in texts)
        with open(self._file, "ab") as file:
            file.truncate(self._size)
            file.write(added)
            file.flush()
            os.fsync(file.fileno())
        self._size += len(added)
        self._logs += map(json.loads, texts)

    def _checksum(self, text: bytes) -> str:
        """The checksum of the next line, which also covers the lines before it."""
        self._digest.update(text + b"\n")
        return self._digest.hexdigest()
