"""A copy of the submitted code, so that later edits do not change a job."""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path


def snapshot(packages: Sequence[Path], texts: Mapping[str, str], to: Path) -> Path:
    """Copy Python packages and texts (by their relative paths) into a subfolder of `to` that is named by a digest of them.

    The same contents are copied once. A copy is complete or absent.
    """
    files = {
        str(file.relative_to(package.parent)): file
        for package in packages
        for file in sorted(package.rglob("*"))
        if file.is_file() and "__pycache__" not in file.parts and file.name != "site.toml"
    }
    digest = hashlib.sha256(repr(sorted(texts.items())).encode())
    for name, file in files.items():
        digest.update(name.encode() + b"\0" + file.read_bytes() + b"\0")
    folder = to / digest.hexdigest()[:16]
    if folder.exists():
        return folder
    to.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=to, prefix=".half-"))
    temporary.chmod(to.stat().st_mode)
    try:
        for name, file in files.items():
            (temporary / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, temporary / name)  # with this process's umask, not the file's mode
        for name, text in texts.items():
            (temporary / name).parent.mkdir(parents=True, exist_ok=True)
            (temporary / name).write_text(text, encoding="utf-8")
        os.sync()  # before the copy gets its name: it is complete after a power cut, too
        temporary.rename(folder)
    except OSError:
        shutil.rmtree(temporary)
        if not folder.exists():  # otherwise another submission made the same copy first
            raise
    return folder
