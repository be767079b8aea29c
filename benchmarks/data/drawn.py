"""Drawn data sets: a program makes the frames, when a data set is used for the first time.

A generator subclasses `DrawnDataset`. It may be a plug-in file.
"""

import hashlib
import inspect
from abc import abstractmethod
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Self

import pandas as pd

from baselines.interface.errors import UserError
from benchmarks.atomic import atomic_folder
from benchmarks.paths import cache_dir

from . import Progress, no_progress
from .dataset import PackedDataset
from .packed_folder import write_packed
from .table import TABLE, check


class DrawnDataset(PackedDataset):
    """One data set of a generator: an instance holds all parameters that decide what is drawn.

    `bench list` shows the docstring's first line and the lines `PATTERN: meaning` of its section "Longer names".
    """

    @classmethod
    @abstractmethod
    def from_name(cls, name: str) -> Self:
        """The data set of a full name: a registered name, then parameters after `@` or `:`.

        Raises:
            UserError: the name has parameters that do not exist.
        """

    @abstractmethod
    def tracklets(self) -> pd.DataFrame:
        """The table of tracklets (see `table`). Nothing is drawn."""

    @abstractmethod
    def draw(self, tracklet: Any) -> Iterable[bytes]:
        """The frames of one tracklet, a row of `tracklets()`, as JPEG or PNG. They depend on nothing but the parameters."""

    @abstractmethod
    def another_world(self) -> Self:
        """A data set of the same kind and size with other cameras and people, to test transfer."""

    @property
    def source_files(self) -> tuple[Path, ...]:
        """The files whose code decides what is drawn: when one changes, the data set is drawn again.

        By default the files of the class and of the generators that it derives from.
        """
        generators = [cls for cls in type(self).__mro__ if issubclass(cls, DrawnDataset) and cls is not DrawnDataset]
        return tuple(dict.fromkeys(Path(inspect.getfile(cls)) for cls in generators))

    @property
    def cache_folder(self) -> Path:
        code = hashlib.sha256(b"".join(file.read_bytes() for file in self.source_files)).hexdigest()[:12]
        return cache_dir() / "drawn" / f"{self.name.replace(':', '.')}-{code}"

    def named_frames(self, tracklet: Any) -> Iterator[tuple[str, bytes]]:
        """Names and encoded images of the frames of one tracklet, a row of `tracklets()`."""
        return zip(tracklet.frames, self.draw(tracklet), strict=True)

    def make(self, progress: Progress = no_progress) -> None:
        folder = self.cache_folder
        if (folder / TABLE).exists():
            return
        table = check(self.tracklets(), self.name, self.overlapping)
        total = int(table.frames.map(len).sum())

        def frames() -> Iterator[tuple[str, bytes]]:
            named = (frame for row in table.itertuples(index=False) for frame in self.named_frames(row))
            for done, frame in enumerate(named, 1):
                progress(done, total)
                yield frame

        try:
            with atomic_folder(folder) as half:
                write_packed(half, table, frames())
        except OSError:
            if not (folder / TABLE).exists():  # unless another process has drawn it meanwhile
                raise
        except UserError as error:
            raise UserError(f"{self.name}: {error}") from error
