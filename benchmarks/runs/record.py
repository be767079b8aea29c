"""The record of a finished run; its only reader, which checks every field; and its only writer.

On disk a record is JSON with these names as keys. Fractions are from 0 to 1, times in seconds, memory in bytes.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, ConfigDict, Field, TypeAdapter, ValidationError

from baselines.interface.errors import UserError
from benchmarks.experiments.experiment import Experiment
from benchmarks.experiments.methods import split_method
from benchmarks.experiments.settings import TYPES, check_values
from benchmarks.parsing import LARGEST, LONGEST_TEXT

from .field_types import (
    Amount,
    Count,
    Digest,
    Fraction,
    Name,
    Text,
    Time,
    check_count,
    check_digest,
    check_name,
    check_text,
)

FORMAT = 1  # raised when the fields change: a reader refuses a record of another format
RANKS = (1, 5, 10, 20)


@dataclass(frozen=True)
class Metrics:
    """The results under one protocol by one feature.

    Attributes:
        feature: before or after batch normalisation.
        mAP, R1, R5, R10, R20: fractions; None where no query has a match.
        queries, unmatched: how many queries have a match, and how many have none and are left out.
    """

    protocol: Name
    feature: Annotated[str, Field(pattern="^(before|after)$")]
    mAP: Fraction | None  # noqa: N815 - as the field writes it, and as the key in the file
    R1: Fraction | None
    R5: Fraction | None
    R10: Fraction | None
    R20: Fraction | None
    queries: Count
    unmatched: Count

    def percent(self, metric: str) -> float | None:
        """One metric, such as "mAP" or "R1", in percent; None where no query has a match."""
        fraction: float | None = getattr(self, metric)
        return None if fraction is None else 100 * fraction


@dataclass(frozen=True)
class Cost:
    """Parameters of the model without its classifier, and multiply-adds for one frame of a clip."""

    parameters: Count
    multiply_adds: Amount


@dataclass(frozen=True)
class Phase:
    """How long a phase took. items: frames; in the phases `fit`, `evaluate` and `recognise`, tracklets."""

    seconds: Amount
    items: Count
    per_second: Amount

    @property
    def text(self) -> str:
        """Seconds and speed, without the unit of the items."""
        return f"{self.seconds:.1f} s, {self.per_second:.0f}"


@dataclass(frozen=True)
class Recognition:
    """How well a model that learns an attribute of people recognises it on the queries.

    Attributes:
        accuracy: the share of the queries whose value it recognises.
        majority: the share with the most frequent value: the accuracy of always guessing that value.
        queries: how many queries have a known value. Both shares are of these.
    """

    accuracy: Fraction
    majority: Fraction
    queries: Count


@dataclass(frozen=True)
class Git:
    """The commit, and whether tracked files differed from it."""

    commit: Digest
    dirty: bool

    @property
    def short(self) -> str:
        """The first twelve digits of the commit."""
        return self.commit[:12]


@dataclass(frozen=True)
class Environment:
    """The environment that made a run.

    Attributes:
        cores: of the machine; None if the system does not report them.
        gpu: its name; None without one.
        packages: versions by name; None where the package is not installed.
        processes: how many worked together.
        git: None outside a checkout.
        cpu_model: vendor, family, model and stepping: processors of one name differ in them. None in records from before it was
            noted, and on systems that do not report it; so are the next two.
        instructions: the instruction set of torch's own kernels, such as AVX512.
        libraries: versions of the BLAS and of oneDNN that torch computes with.
    """

    cores: Count | None
    cpu: Text
    git: Git | None
    gpu: Text | None
    packages: dict[Name, Text | None]
    processes: Count
    python: Text
    system: Text
    cpu_model: Text | None = None
    instructions: Text | None = None
    libraries: dict[Name, Text] = field(default_factory=dict)

    @property
    def commit(self) -> str:
        """In words: `0d1f2e3`, `0d1f2e3 with changes` or `not a checkout`."""
        if self.git is None:
            return "not a checkout"
        return f"{self.git.short}{' with changes' if self.git.dirty else ''}"

    @property
    def processor(self) -> str:
        """The GPU, or without one the CPU."""
        return self.gpu or self.cpu

    @property
    def machine(self) -> dict[str, Any]:
        """The facts that are known, without packages and commit, by name."""
        facts = {key: value for key, value in vars(self).items() if key not in ("git", "packages", "libraries")}
        return {key: value for key, value in {**facts, **self.libraries}.items() if value is not None}


def _check_experiment(experiment: Experiment) -> Experiment:
    """Check the values of an experiment whose types are right. Texts may be empty: before a run its digests are unknown.

    Raises:
        ValueError: its text begins with the field.
    """
    checks: dict[Callable[[Any], object], tuple[str, ...]] = {
        check_name: ("method", "dataset", "test", "recipe"),
        check_count: ("seed", "split", "test_split"),
        check_digest: ("data", "test_data", "weights", "flow_weights", "attributes"),
    }
    for check, fields in checks.items():
        for key in fields:
            value = getattr(experiment, key)
            try:
                if value != "":
                    check(value)
            except ValueError as error:
                raise ValueError(f"{key} {error}") from None
    try:
        split_method("" if experiment.external else experiment.method)
    except UserError as error:
        raise ValueError(str(error)) from None
    _check_settings(tuple((key, type(value), value) for key, value in experiment.settings.items()))
    return experiment


def _check_settings(settings: tuple[tuple[str, type, Any], ...]) -> None:
    """Check that all values are simple, and those of settings that this version knows as a recipe's are."""
    for key, kind, value in settings:
        if kind not in (bool, int, float, str) or (kind in (int, float) and not abs(value) <= LARGEST):
            raise ValueError(f"settings.{key[:LONGEST_TEXT]} must be a finite number, a text, true or false")
    _check_simple_settings(settings)


@lru_cache(maxsize=1024)  # many runs share their settings; the types are part of the key, because True equals 1
def _check_simple_settings(settings: tuple[tuple[str, type, Any], ...]) -> None:
    for key, kind, value in settings:
        try:
            check_name(key)
            if kind is str and value:
                check_text(value)
        except ValueError as error:
            raise ValueError(f"settings.{key[:LONGEST_TEXT]!r} {error}") from None
    try:
        # Whether a matcher is registered is no question here: it may come from a plug-in that is not loaded.
        check_values({key: value for key, _, value in settings if key in TYPES and key != "matcher"}, "settings")
    except UserError as error:
        raise ValueError(str(error)) from None


def _check_recorded(experiment: Experiment) -> Experiment:
    """As `_check_experiment`, for a run that has read its data: no text is empty."""
    for key in ("method", "dataset", "test", "recipe", "data", "test_data", "weights", "flow_weights", "attributes"):
        if getattr(experiment, key) == "":
            raise ValueError(f"{key} must not be empty")
    return _check_experiment(experiment)


@dataclass(frozen=True)
class Record:
    """A finished run: its experiment, results and cost, and the environment that made it.

    Attributes:
        name: of the run and of its folder.
        code: the digest of the code that decided the numbers.
        metrics: a row for each protocol and feature, those of the data set's default protocol first.
        cost: None for features that were extracted elsewhere.
        phases: by name: train, fit, extract, evaluate, recognise.
        peak_memory: by kind: resident, and gpu where there is one.
        data_notes: what every table must say of a data set, by its name. Records made before there were notes have none.
        left_out: by `DATASET/SPLIT`, the frames that could not be read and were left out, each with the reason.
        recognised: by attribute, where the baseline learns attributes and those of the queries are known.
    """

    format: Annotated[int, Field(ge=FORMAT, le=FORMAT)]
    name: Name
    experiment: Annotated[Experiment, AfterValidator(_check_recorded)]
    code: Digest
    metrics: Annotated[list[Metrics], Field(min_length=1)]
    cost: Cost | None
    phases: dict[Name, Phase]
    peak_memory: dict[Name, Count]
    environment: Environment
    started: Time
    finished: Time
    data_notes: dict[Name, Text] = field(default_factory=dict)
    left_out: dict[Text, dict[str, str]] = field(default_factory=dict)
    recognised: dict[Text, Recognition] = field(default_factory=dict)

    __pydantic_config__ = ConfigDict(strict=True, extra="forbid")

    @property
    def first_protocol(self) -> str:
        """The data set's default protocol."""
        return self.metrics[0].protocol

    def find_metrics(self, protocol: str, feature: str) -> Metrics | None:
        """The row of a protocol and feature; None where the run has none."""
        wanted = (protocol, feature)
        return next((row for row in self.metrics if (row.protocol, row.feature) == wanted), None)


def _check_record(record: Record) -> Record:
    """Check what single fields do not show: the name follows from the experiment, and the metrics from each other.

    Raises:
        ValueError: its text begins with the field.
    """
    if record.name != record.experiment.name:
        raise ValueError(f"name must be that of the experiment, {record.experiment.name!r}, not {record.name!r}")
    if len(record.name.encode()) > LONGEST_TEXT:  # so that its folder and its page can be written
        raise ValueError(f"name must have at most {LONGEST_TEXT} bytes")
    rows = [(row.protocol, row.feature) for row in record.metrics]
    for number, (row, key) in enumerate(zip(record.metrics, rows, strict=True)):
        ranks = [getattr(row, f"R{rank}") for rank in RANKS]
        fractions = [row.mAP, *ranks]
        if any((fraction is None) != (row.queries == 0) for fraction in fractions):
            raise ValueError(f"metrics.{number} must be null if no query has a match, and only then")
        if row.queries and ranks != sorted(ranks):
            raise ValueError(f"metrics.{number} must not fall from R{RANKS[0]} to R{RANKS[-1]}")
        if rows.index(key) < number:
            raise ValueError(f"metrics.{number} must not repeat protocol {row.protocol}, feature {row.feature}")
    return record


_RECORD = TypeAdapter(Annotated[Record, AfterValidator(_check_record)])
_EXPERIMENT = TypeAdapter(Annotated[Experiment, AfterValidator(_check_experiment)])


def parse_record(text: str | bytes, source: Path | str) -> Record:
    """The record in a JSON text.

    Args:
        source: where it was read, for messages.

    Raises:
        UserError: not a record, of another format, or a field with a wrong type or value; one line names source and field.
    """
    return parse(_RECORD, text, source)


def parse_experiment(values: Mapping[str, Any], source: Path | str) -> Experiment:
    """The experiment in a mapping, checked as a record's is; its digests may be empty.

    Raises:
        UserError: one line names source and field.
    """
    return parse(_EXPERIMENT, json.dumps(values), source)


def parse(adapter: TypeAdapter[Any], text: str | bytes, source: Path | str) -> Any:
    """The value of a JSON text as pydantic checks it.

    Raises:
        UserError: one line names source and field.
    """
    try:
        return adapter.validate_json(text, strict=True)
    except ValidationError as error:
        problems = error.errors(include_url=False, include_context=False)
    found = {".".join(map(str, problem["loc"])): problem for problem in reversed(problems)}
    if "format" in found and found["format"]["type"] != "missing":
        raise UserError(
            f"{source}: a record of format {found['format']['input']!r:.20}; this version of bench reads {FORMAT}"
        )
    field, problem = next(reversed(found.items()))
    message = problem["msg"].removeprefix("Value error, ").splitlines()[0]
    raise UserError(f"{source}: {f'{_printable(field)}: ' if field else ''}{_printable(message)}")


def _printable(text: str) -> str:
    """A text from a file that may be hostile, fit for one line on a screen."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)[: 2 * LONGEST_TEXT]


def to_json(value: Any) -> str:
    """Indented and sorted JSON.

    Raises:
        ValueError: a number that is not finite; JSON has none.
    """
    return json.dumps(value, indent=1, sort_keys=True, allow_nan=False, default=_time_to_json)


def _time_to_json(time: datetime) -> str:
    return time.isoformat(timespec="seconds")


def record_to_json(record: Record) -> str:
    """A record as the text that `parse_record` reads, without newer fields that say nothing."""
    values = asdict(record)
    for within, newer in (
        (values, ("data_notes", "left_out", "recognised")),
        (values["environment"], ("cpu_model", "instructions", "libraries")),
    ):
        for key in newer:
            if not within[key]:
                del within[key]
    return to_json(values)
