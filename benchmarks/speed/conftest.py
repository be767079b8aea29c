"""Store the machine with each measurement."""

from typing import Any

from benchmarks.runs import environment


def pytest_benchmark_update_machine_info(config: object, machine_info: dict[str, Any]) -> None:  # noqa: ARG001
    machine_info["bench"] = environment.describe()
