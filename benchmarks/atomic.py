"""Files and folders that are written completely or not at all.

While a file or folder is written, it is in a folder `.NAME.RANDOM.half` next to its final place, with a lock that the writing
process holds. The kernel releases the lock when the process dies, even if it ran in another container. So two processes never
use each other's files, even if their process ids are equal, and abandoned files can be recognised.
"""

import errno
import fcntl
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from baselines.interface.errors import UserError
from benchmarks.parsing import one_line

LOCK = ".lock"  # in the folder of what is being written
ABANDONED_SECONDS = (
    3600  # without a change. The lock alone is not enough: some file systems lock within one machine only
)
REMEDIES = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT), "free some space, or use a folder on another disk"),
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), "make the folder writable, or use another one"),
}


@contextmanager
def atomic_file(file: Path) -> Iterator[Path]:
    """A temporary path to write to. It becomes `file` when the block succeeds, and is deleted when the block fails.

    Raises:
        OSError: the folder cannot be written to, or the disk is full. It names `file` and says what to do.
    """
    with _half_written(file) as temporary:
        yield temporary
        _flush(temporary)  # before it is renamed: after a power cut, `file` is the old one or the new one
        temporary.chmod(0o666 & ~_umask())  # some writers create files that only their owner may read
        temporary.replace(file)
        _flush_names(file.parent)


@contextmanager
def atomic_folder(folder: Path, replace: bool = False) -> Iterator[Path]:
    """A new temporary folder to fill. It becomes `folder` when the block succeeds, and is deleted when the block fails.

    What killed processes left of the same folder is deleted first.

    Args:
        replace: delete the folder that has this name at the end of the block.

    Raises:
        OSError: as `atomic_file`; or, at the end of the block, `folder` exists and is not empty, unless `replace`.
    """
    for left in leftovers(folder.parent, folder.name):
        shutil.rmtree(left, ignore_errors=True)
    with _half_written(folder) as temporary:
        temporary.mkdir()
        yield temporary
        os.sync()  # one call: a data set has up to a million files
        old = temporary.with_name(f"{folder.name}.old")
        if replace:
            folder.rename(old)
        try:
            temporary.rename(folder)
        except OSError:
            if replace:
                old.rename(folder)
            raise
        _flush_names(folder.parent)


def write_atomically(file: Path, text: str) -> None:
    """Replace the contents of `file` by `text` in one step."""
    with atomic_file(file) as temporary:
        temporary.write_text(text, encoding="utf-8")


@contextmanager
def naming(file: Path) -> Iterator[None]:
    """While `file` is written to in place: the error of a full disk, which names no file, names this one and its remedy."""
    try:
        yield
    except OSError as error:
        raise _with_remedy(error, file, file) from error


def reason(error: OSError) -> str:
    """What went wrong and, where a disk is full or read-only, what to do."""
    text = error.strerror or str(error)
    remedy = REMEDIES.get(error.errno or 0) if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS) else None
    return text if remedy is None or remedy in text else f"{text}; {remedy}"


@contextmanager
def reading_derived_file(file: Path) -> Iterator[None]:
    """While a file is read that was computed from others and can be computed again.

    Raises:
        UserError: it is missing or damaged, in whatever way its reader fails.
        PermissionError: it cannot be read.
    """
    try:
        yield
    except (PermissionError, UserError):
        raise
    except Exception as error:  # readers of damaged files fail in a dozen ways
        raise damaged_file(file, str(error)) from error


class DamagedFileError(UserError):
    """A file that was computed from others, and can be computed again, is missing or damaged."""


def damaged_file(file: Path, problem: str) -> DamagedFileError:
    """The error for such a file."""
    return DamagedFileError(
        f"{file}: missing or damaged ({one_line(problem)}); delete {file.parent} and create it again"
    )


def leftovers(folder: Path, name: str = "") -> list[Path]:
    """What killed processes left half-written in `folder`: of the file or folder `name`, or of all.

    Nothing that is being written; except by older versions, whose names ended with a process id: callers check those.
    """
    what = re.escape(name) if name else ".+"
    halves = [path for path in folder.glob(".*") if re.fullmatch(rf"\.{what}\.[0-9a-f]{{16}}\.half", path.name)]
    older = [] if name else [path for path in folder.glob(".*") if re.fullmatch(r"\..+\.\d{1,7}(\.half)?", path.name)]
    return sorted([*filter(_is_abandoned, halves), *older])


def _is_abandoned(half: Path) -> bool:
    """Whether the process that wrote it has surely ended."""
    try:
        with open(half / LOCK) as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        newest = max(path.stat().st_mtime for path in (half, *half.rglob("*")))
    except OSError:  # locked, just finished, or on a file system without locks
        return False
    return time.time() - newest > ABANDONED_SECONDS


@contextmanager
def _half_written(path: Path) -> Iterator[Path]:
    """A path for what becomes `path`, in a locked folder of its own that is deleted at the end.

    Raises:
        OSError: as `atomic_file`.
    """
    half = path.with_name(f".{path.name}.{secrets.token_hex(8)}.half")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        half.mkdir()
        try:
            with open(half / LOCK, "w") as lock:
                with suppress(OSError):  # without locks nothing is known to be abandoned
                    fcntl.flock(lock, fcntl.LOCK_EX)
                yield half / path.name
        finally:
            shutil.rmtree(half, ignore_errors=True)
    except OSError as error:
        raise _with_remedy(error, path, half) from error


def _with_remedy(error: OSError, path: Path, half: Path) -> OSError:
    """The error, if it is one of writing `path`, with the name of the file and what to do."""
    remedy = REMEDIES.get(error.errno or 0)
    name = error.filename2 or error.filename  # of a copy, the second is what is written
    named = name and Path(os.fsdecode(name))
    if remedy is None or (named and named != half and half not in named.parents and named not in path.parents):
        return error
    file = named if named in path.parents else path
    return OSError(error.errno, f"{os.strerror(error.errno or 0)}; {remedy}", str(file))


def _flush(path: Path) -> None:
    """Write what the kernel still holds of a file, or of the names in a folder, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _flush_names(folder: Path) -> None:
    """What is renamed in `folder` keeps its new name after a power cut: no later step is on the disk without this one."""
    with suppress(OSError):  # some file systems cannot flush a folder
        _flush(folder)


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
