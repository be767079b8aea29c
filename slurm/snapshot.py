"""A copy of the code that is submitted, so that what is edited meanwhile changes no job."""

import hashlib
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path


def snapshot(packages: Sequence[Path], notes: Mapping[str, str], to: Path) -> Path:
    """Copy Python packages and files of text (by their paths in it) into a folder of `to` that is named by their contents.

    The same contents are copied once; a copy is there whole or not at all.
    """
    files = {
        str(file.relative_to(package.parent)): file
        for package in packages
        for file in sorted(package.rglob("*"))
        if file.is_file() and "__pycache__" not in file.parts and file.name != "site.toml"
    }
    digest = hashlib.sha256(repr(sorted(notes.items())).encode())
    for name, file in files.items():
        digest.update(name.encode() + b"\0" + file.read_bytes() + b"\0")
    place = to / digest.hexdigest()[:16]
    if place.exists():
        return place
    to.mkdir(parents=True, exist_ok=True)
    half = Path(tempfile.mkdtemp(dir=to, prefix=".half-"))
    half.chmod(to.stat().st_mode)
    for name, file in files.items():
        (half / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, half / name)  # with this process's umask, and not the file's mode
    for name, text in notes.items():
        (half / name).parent.mkdir(parents=True, exist_ok=True)
        (half / name).write_text(text, encoding="utf-8")
    try:
        half.rename(place)
    except OSError:  # another submission was first
        shutil.rmtree(half)
    return place
