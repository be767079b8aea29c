"""Every change of the code that no test notices has a reason."""

from benchmarks.reliability.mutants import STATES, UNNOTICED, add_states, read_states, survivors


def test_every_unnoticed_change_has_a_reason():
    states = read_states(STATES.read_text().splitlines())
    unnoticed = [name for name, state in states.items() if state in UNNOTICED]
    listed = survivors()
    assert sorted(each["mutant"] for each in listed) == sorted(unnoticed)
    assert all(each["change"] and each["reason"] for each in listed)


def test_states_of_an_earlier_run_are_kept():
    before = {"a": "killed", "b": "survived", "gone": "killed"}
    run = read_states(["    a: not checked\n", "    b: killed\n", "    new: not checked\n"])
    assert add_states(before, run) == {"a": "killed", "b": "killed", "new": "not checked"}
