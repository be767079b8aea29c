"""What a record says of the machine that made it."""

import json
import platform

import torch

from benchmarks.maintenance import golden_runs
from benchmarks.reporting import show
from benchmarks.runs import environment
from benchmarks.runs.environment import describe
from benchmarks.runs.record import parse_record, record_to_json

CPUINFO = """processor\t: 0
vendor_id\t: GenuineIntel
cpu family\t: 6
model\t\t: {model}
model name\t: Intel(R) Xeon(R) Processor @ 2.80GHz
stepping\t: 6
power management:

processor\t: 1
model\t\t: 999
"""


def test_processors_of_one_name_differ(monkeypatch, tmp_path):
    """Ice Lake and Sapphire Rapids under the name that a hypervisor gives to both."""
    file = tmp_path / "cpuinfo"
    monkeypatch.setattr(environment, "CPUINFO", file)
    for model in (106, 143):
        file.write_text(CPUINFO.format(model=model))
        found = describe()
        assert found.cpu == "Intel(R) Xeon(R) Processor @ 2.80GHz"
        assert found.cpu_model == f"GenuineIntel family 6 model {model} stepping 6"


def test_a_system_without_cpuinfo(monkeypatch, tmp_path):
    monkeypatch.setattr(environment, "CPUINFO", tmp_path / "absent")
    found = describe()
    assert (found.cpu, found.cpu_model) == (platform.processor() or platform.machine(), None)


def test_libraries_are_torchs():
    """Against the text in which torch itself names them."""
    found, config = describe(), torch.__config__.show()
    assert found.instructions in config
    assert found.libraries
    for version in found.libraries.values():
        assert version in config


def test_records_from_before_are_readable(make_record):
    values = json.loads(record_to_json(make_record()))
    for key in ("cpu_model", "instructions", "libraries"):
        del values["environment"][key]
    old = parse_record(json.dumps(values), "old")
    assert old.environment.cpu_model is None
    assert json.loads(record_to_json(old)) == values  # and stay as they were
    assert old.environment.machine["cpu"] == "a processor"
    assert "None" not in next(line for line in show.describe(old, []).splitlines() if line.startswith("on:"))


def test_golden_bits_are_compared_on_their_machine_alone():
    here = golden_runs.machine()
    assert golden_runs.is_this_machine(here)
    assert golden_runs.is_this_machine({"cpu": here["cpu"], "torch": here["torch"]})  # a file from before
    assert not golden_runs.is_this_machine(here | {"instructions": "of another processor"})
