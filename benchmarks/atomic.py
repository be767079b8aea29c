"""Files and folders that are there whole or not at all."""

import errno
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from baselines.interface.errors import UserError


@contextmanager
def whole(file: Path) -> Iterator[Path]:
    """A path beside `file` to write to, which takes its place when the block ends well, and is gone when it does not."""
    _writable(file)
    half = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        yield half
        with open(half, "rb") as written:
            os.fsync(
                written.fileno()
            )  # on the disk before it has the name: a power cut leaves the old file or the new one
        half.chmod(0o666 & ~_umask())  # some writers make files that only their owner may read
        half.replace(file)
    finally:
        half.unlink(missing_ok=True)


@contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """A new folder beside `folder` to fill, which takes its place when the block ends well, and is gone when it does not.

    Raises:
        OSError: when the block ends, if `folder` is there and is not empty.
    """
    _writable(folder)
    half = folder.with_name(f".{folder.name}.{os.getpid()}.half")
    try:
        half.mkdir()
        yield half
        half.rename(folder)
    finally:
        shutil.rmtree(half, ignore_errors=True)


@contextmanager
def derived(file: Path) -> Iterator[None]:
    """Read a file that was made of others, and can be made again.

    Raises:
        UserError: it is missing or damaged, as far as Arrow's errors, which are ValueErrors, tell.
        PermissionError: it may not be read.
    """
    try:
        yield
    except PermissionError:
        raise
    except (OSError, ValueError) as error:
        raise UserError(f"{file}: missing or damaged ({error}); delete {file.parent}, and make it again") from error


def _writable(path: Path) -> None:
    """Make the folder around `path`, and refuse by the name of `path` one that cannot be written to.

    Raises:
        OSError: its `filename` is `path`, or the folder that cannot be made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))


def leftovers(folder: Path) -> list[Path]:
    """What killed processes left half-written in `folder`, and what living ones are writing there now."""
    return [half for half in sorted(folder.glob(".*")) if re.fullmatch(r"\..+\.\d+(\.half)?", half.name)]


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def write_whole(file: Path, text: str) -> None:
    """Replace `file` by `text` in one step."""
    with whole(file) as half:
        half.write_text(text, encoding="utf-8")
