"""The definition of one run, and the hashes and the name that follow from it."""

import hashlib
import json
import re
from dataclasses import dataclass
from typing import Any, NamedTuple

from .settings import FILES

NONE = "none"
EXTERNAL = "external"  # what stands in the place of a recipe
TEST_ALONE = ("test_chunk", "test_frames", "test_clips")  # settings that no training reads


class DatasetPair(NamedTuple):
    """The data sets that a model is trained and tested on. They differ in a cross-data-set evaluation."""

    trained_on: str
    tested_on: str

    @property
    def title(self) -> str:
        """`mars`, or `mars to dukev` where the data sets differ."""
        return " to ".join(dict.fromkeys(self))


@dataclass(frozen=True)
class Experiment:
    """One run, before it has run.

    Attributes:
        method: BASELINE[+afa|+afa-motion], or the name of an external method.
        dataset: trained on; `test`: evaluated on, the same unless the evaluation crosses data sets.
        settings: as `Settings.recorded` gives them.
        seed, split: of the run and of the training set; test_split: of the test set.
        data, test_data, weights: digests of the data and weights read; for an evaluation on another data set, `weights` is that
            of the trained model.
        flow_weights: the digest of RAFT's weights, if they were used.
        attributes: the digest of the attributes of the training people, where the baseline uses them. Only then is it hashed.
        recipe: where the settings came from; a label that no hash covers.
    """

    method: str
    dataset: str
    test: str
    settings: dict[str, Any]
    seed: int
    split: int
    data: str
    test_data: str
    weights: str
    recipe: str = ""
    test_split: int = 0
    flow_weights: str = "none"
    attributes: str = NONE

    @property
    def datasets(self) -> DatasetPair:
        """The data sets that it is trained and tested on."""
        return DatasetPair(self.dataset, self.test)

    @property
    def data_read(self) -> list[tuple[str, int, str]]:
        """The name, the split and the digest of the data that it is trained and tested on."""
        return [(self.dataset, self.split, self.data), (self.test, self.test_split, self.test_data)]

    @property
    def external(self) -> bool:
        """Whether someone else's features were scored."""
        return self.recipe == EXTERNAL

    @property
    def run_hash(self) -> str:
        """sha256 of everything that decides the run: settings, seed, split, and the digests of data and weights."""
        settings = {key: value for key, value in self.settings.items() if key not in FILES}
        return _sha256({**vars(self), "settings": settings})

    @property
    def training_hash(self) -> str:
        """sha256 of everything that decides the final weights: as `run_hash`, without what concerns the test alone."""
        settings = {key: value for key, value in self.settings.items() if key not in (*FILES, *TEST_ALONE)}
        settings["shuffle"] = settings.get("shuffle") in ("train", "both")
        return _sha256({**vars(self), "settings": settings, "test": "", "test_data": "", "test_split": 0})

    @property
    def request_hash(self) -> str:
        """sha256 of the request, before any data or weights are read: without digests."""
        return _sha256(
            {**vars(self), "data": "", "test_data": "", "weights": "", "flow_weights": "", "attributes": NONE}
        )

    @property
    def name(self) -> str:
        """The name of the run's folder: the most important facts, then the start of the run hash."""
        place = self.dataset if self.test == self.dataset else f"{self.dataset}-to-{self.test}"
        split = f"-split{self.split}" if self.split else ""
        name = f"{place}-{self.method}-seed{self.seed}{split}-{self.run_hash[:10]}"
        return re.sub(r"[^\w.+@-]", "_", name)


def _sha256(parts: dict[str, Any]) -> str:
    parts = {key: value for key, value in parts.items() if key != "recipe" and (key, value) != ("attributes", NONE)}
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
