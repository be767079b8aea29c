"""Files and folders that are written completely or not at all."""

import errno
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from baselines.interface.errors import UserError


@contextmanager
def atomic_file(file: Path) -> Iterator[Path]:
    """A temporary path to write to. It becomes `file` when the block succeeds, and is deleted when the block fails."""
    _check_writable(file)
    temporary = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        yield temporary
        with open(temporary, "rb") as written:
            # Flushed before it is renamed: after a power cut, `file` is the old one or the new one.
            os.fsync(written.fileno())
        temporary.chmod(0o666 & ~_umask())  # some writers create files that only their owner may read
        temporary.replace(file)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(folder: Path, replace: bool = False) -> Iterator[Path]:
    """A new temporary folder to fill. It becomes `folder` when the block succeeds, and is deleted when the block fails.

    Args:
        replace: delete the folder that has this name at the end of the block.

    Raises:
        OSError: at the end of the block, if `folder` exists and is not empty, unless `replace`.
    """
    _check_writable(folder)
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}.half")
    old = folder.with_name(f".{folder.name}.{os.getpid()}")
    try:
        temporary.mkdir()
        yield temporary
        if replace:
            folder.rename(old)
        try:
            temporary.rename(folder)
        except OSError:
            if replace:
                old.rename(folder)
            raise
    finally:
        for left in (temporary, old):
            shutil.rmtree(left, ignore_errors=True)


def write_atomically(file: Path, text: str) -> None:
    """Replace the contents of `file` by `text` in one step."""
    with atomic_file(file) as temporary:
        temporary.write_text(text, encoding="utf-8")


@contextmanager
def reading_derived_file(file: Path) -> Iterator[None]:
    """While a file is read that was computed from others and can be computed again.

    Raises:
        UserError: it is missing or damaged, as far as Arrow's errors (which are ValueErrors) tell.
        PermissionError: it cannot be read.
    """
    try:
        yield
    except PermissionError:
        raise
    except (OSError, ValueError) as error:
        raise UserError(f"{file}: missing or damaged ({error}); delete {file.parent} and create it again") from error


def leftovers(folder: Path) -> list[Path]:
    """The temporary files and folders in `folder`: left by killed processes, or being written now."""
    return [path for path in sorted(folder.glob(".*")) if re.fullmatch(r"\..+\.\d+(\.half)?", path.name)]


def _check_writable(path: Path) -> None:
    """Create the parent folder of `path`, and check that it can be written to.

    Raises:
        OSError: its `filename` is `path`, or the folder that cannot be created.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
