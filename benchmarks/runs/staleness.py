"""Whether a record is stale: other code made it, or the data has changed since."""

from collections.abc import Iterable, Mapping

from baselines.interface.errors import UserError
from benchmarks.data.find import find_known
from benchmarks.data.leaving_out import digest_without, excluded_people
from benchmarks.data.loading import LoadedDataset, known_digests
from benchmarks.experiments.code_digest import code_digest, same_numbers

from .record import Record


def refuse_other_data(record: Record, data: LoadedDataset) -> None:
    """Refuse data that differs from the test data of a run.

    Raises:
        UserError: it does.
    """
    if data.digest != record.experiment.test_data:
        raise UserError(
            f"data set {data.name}: {record.name} was evaluated on other data; evaluate it again with --fresh"
        )


def shows_excluded(record: Record) -> str:
    """The data set of which a run used people who must not be used now, or may have, as its data is not here; empty if none."""
    for name, split, digest in record.experiment.data_read:
        if find_known(name) is None or not excluded_people(name):
            continue
        if digest not in _as_read(record, f"{name}/{split}", known_digests(name, split)):
            return name
    return ""


def _as_read(record: Record, data: str, digests: Iterable[str]) -> set[str]:
    """Digests of "DATASET/SPLIT" without the frames that the run left out."""
    return {digest_without(each, record.left_out.get(data, {})) for each in digests}


def stale_reasons(record: Record, digests: Mapping[str, set[str]]) -> list[str]:
    """Why a record is not current; empty if it is.

    Args:
        digests: of the data on this machine, by "DATASET/SPLIT". Data that is not named there is not compared.
    """
    experiment = record.experiment
    code = code_digest(experiment)
    reasons = ["made by other code"] if code is not None and same_numbers(record.code) != same_numbers(code) else []
    if experiment.external:
        return reasons  # it was made from files of features, not from the data set that it names
    for name, split, digest in experiment.data_read:
        here = digests.get(f"{name}/{split}")
        changed = here is not None and digest not in _as_read(record, f"{name}/{split}", here)
        if changed and f"other data: {name}" not in reasons:
            reasons.append(f"other data: {name}")
    return reasons
