"""Store the machine with each measurement."""

from dataclasses import asdict
from typing import Any

from benchmarks.runs import environment


def pytest_benchmark_update_machine_info(config: object, machine_info: dict[str, Any]) -> None:  # noqa: ARG001
    machine_info["bench"] = asdict(environment.describe())  # plain, because it is written as JSON
