"""What code decides a run's numbers."""

from benchmarks import experiment
from benchmarks.experiment import Experiment, code_digest


def test_the_digest_follows_what_a_baselines_file_imports(tmp_path, monkeypatch):
    folder = tmp_path / "baselines"
    folder.mkdir()
    (folder / "mine.py").write_text("from .parts import layer\nfrom baselines.registry import register\n")
    (folder / "parts.py").write_text("from .deeper import width\n")
    (folder / "deeper.py").write_text("width = 1\n")
    (folder / "apart.py").write_text("width = 1\n")
    monkeypatch.setattr(experiment, "HOUSE", tmp_path)
    monkeypatch.setattr(experiment, "DECISIVE", ())
    entry = type("Entry", (), {"file": folder / "mine.py"})
    monkeypatch.setitem(experiment.BASELINES.entries, "mine", entry)
    run = Experiment("mine+afa", "mars", "mars", {}, 0, 0, "", "", "")

    def digest():
        experiment._digest.cache_clear()
        experiment._with_imports.cache_clear()
        return code_digest(run)

    before = digest()
    (folder / "apart.py").write_text("width = 2\n")
    (folder / "parts.py").write_text("# a comment decides nothing\nfrom .deeper import width\n")
    assert digest() == before
    (folder / "deeper.py").write_text("width = 2\n")
    assert digest() != before
    experiment._digest.cache_clear()
    experiment._with_imports.cache_clear()
