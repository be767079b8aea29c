"""Checksums of a run's files of weights and results: a flipped bit is reported, and not computed with.

The checksum of FILE is in FILE.sha256, which `sha256sum --check` reads too.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from baselines.interface.errors import UserError
from benchmarks.atomic import atomic_file, write_atomically
from benchmarks.parsing import one_line


@contextmanager
def checked_file(file: Path) -> Iterator[Path]:
    """As `atomic_file`, and the checksum of the file is stored.

    The old checksum stays until the file has been replaced: whenever the process is killed, the file that is there has one.
    """
    sums = checksum_file(file)
    before = sums.read_text(errors="replace") if sums.exists() else ""
    with atomic_file(file) as half:
        yield half
        line = f"{_digest(half)}  {file.name}\n"
        write_atomically(sums, before + line)
    write_atomically(sums, line)


def check_file(file: Path) -> None:
    """Check that a file is what was written. A file without a checksum passes: earlier versions wrote none.

    Raises:
        UserError: it is damaged.
        FileNotFoundError: there is no such file.
    """
    sums = checksum_file(file)
    if sums.exists() and _digest(file) not in sums.read_text(errors="replace").split():
        raise damaged(file, f"its checksum is not the one in {sums.name}")


def exists_intact(file: Path) -> bool:
    """Whether a file exists. One that does is checked.

    Raises:
        UserError: it is damaged.
    """
    if not file.exists():
        return False
    check_file(file)
    return True


def damaged(file: Path, reason: object) -> UserError:
    """The error for a damaged file of a run, which `--fresh` writes anew."""
    return UserError(f"{file}: damaged ({one_line(reason)}); `bench run ... --fresh` makes it again")


def remove_checked(file: Path) -> None:
    """Remove a file, if it exists, and its checksum."""
    file.unlink(missing_ok=True)
    checksum_file(file).unlink(missing_ok=True)


def checksum_file(file: Path) -> Path:
    """The file that holds the checksum of `file`."""
    return file.with_name(f"{file.name}.sha256")


def _digest(file: Path) -> str:
    with open(file, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
