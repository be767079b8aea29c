"""What code decides a run's numbers."""

import ast
import json
from pathlib import Path

from benchmarks.experiments import code_digest
from benchmarks.experiments.experiment import Experiment

MEAN = Experiment("mean", "mars", "mars", {}, 0, 0, "", "", "")
# Packages and modules of the harness that deciding code may import although the digest does not cover them: what a run is,
# what it leaves, its data (which has a digest of its own), and what computes nothing.
DECIDES_NOTHING = ("benchmarks.experiments", "benchmarks.runs", "benchmarks.data", "benchmarks.atomic", "benchmarks.launch",
                   "benchmarks.paths", "benchmarks.progress")  # fmt: skip


def forget():
    """What the functions keep of files that a test changes."""
    kept_results = (code_digest._digest, code_digest._own_code, code_digest._syntax, code_digest._tree)
    for kept in (*kept_results, code_digest.model_files):
        kept.cache_clear()


def deciding_files() -> list[Path]:
    return [file for part in code_digest.DECIDING for file in code_digest._python_files(code_digest.REPOSITORY / part)]


def test_digest_covers_deciding_files(tmp_path, monkeypatch):
    for file in deciding_files():
        copy = tmp_path / file.relative_to(code_digest.REPOSITORY)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(file.read_bytes())
    monkeypatch.setattr(code_digest, "REPOSITORY", tmp_path)

    def digest():
        forget()
        return code_digest.code_digest(MEAN)

    before, files = digest(), deciding_files()
    assert {"losses.py", "precision.py", "run.py", "seeds.py", "decode.py"} <= {file.name for file in files}
    for file in files:
        text = file.read_text()
        file.write_text(f"{text}\n# a comment\n")
        assert digest() == before, file
        file.write_text(f"{text}\nallow_tf32 = True\n")
        assert digest() != before, file
        file.write_text(text)


def test_deciding_code_is_self_contained():
    covered = [part.removesuffix(".py").replace("/", ".") for part in code_digest.DECIDING]
    for file in deciding_files():
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom) and node.level == 0 and str(node.module).startswith("benchmarks"):
                names = [f"{node.module}.{alias.name}." for alias in node.names]
                for name in names:
                    assert name.startswith(tuple(f"{each}." for each in (*covered, *DECIDES_NOTHING))), (file, name)


def test_digest_follows_imports(tmp_path, monkeypatch):
    folder = tmp_path / "baselines"
    folder.mkdir()
    (folder / "mine.py").write_text("from .parts import layer\nfrom baselines.interface.registry import register\n")
    (folder / "parts.py").write_text("from .deeper import width\n")
    (folder / "deeper.py").write_text("width = 1\n")
    (folder / "apart.py").write_text("width = 1\n")
    monkeypatch.setattr(code_digest, "REPOSITORY", tmp_path)
    monkeypatch.setattr(code_digest, "DECIDING", ())
    entry = type("Entry", (), {"file": folder / "mine.py"})
    monkeypatch.setitem(code_digest.BASELINES.entries, "mine", entry)
    run = Experiment("mine+afa", "mars", "mars", {}, 0, 0, "", "", "")

    def digest():
        forget()
        return code_digest.code_digest(run)

    before = digest()
    (folder / "apart.py").write_text("width = 2\n")
    (folder / "parts.py").write_text("# a comment decides nothing\nfrom .deeper import width\n")
    assert digest() == before
    (folder / "deeper.py").write_text("width = 2\n")
    assert digest() != before
    forget()


def test_digest_ignores_plugin_location(tmp_path, monkeypatch):
    (tmp_path / "m" / "baselines").mkdir(parents=True)
    (tmp_path / "m" / "baselines" / "mean.py").write_text("width = 1\n")
    monkeypatch.setattr(code_digest, "REPOSITORY", tmp_path / "m")
    monkeypatch.setattr(code_digest, "DECIDING", ())
    said = set()
    for place in ("a", "z"):  # before the project's folder, and behind it
        (tmp_path / place).mkdir()
        (tmp_path / place / "mine.py").write_text("from baselines.mean import width\n")
        entry = type("Entry", (), {"file": tmp_path / place / "mine.py"})
        monkeypatch.setitem(code_digest.BASELINES.entries, "mine", entry)
        forget()
        said.add(code_digest.code_digest(Experiment("mine", "mars", "mars", {}, 0, 0, "", "", "")))
    assert len(said) == 1


def test_digest_follows_the_matcher(tmp_path, monkeypatch):
    monkeypatch.setattr(code_digest, "DECIDING", ())
    file = tmp_path / "mine.py"
    file.write_text("k = 1\n")

    def digest(matcher):
        forget()
        return code_digest.code_digest(Experiment("mean", "mars", "mars", {"matcher": matcher}, 0, 0, "", "", ""))

    assert digest("mine") is None  # a plug-in that is not loaded
    monkeypatch.setitem(code_digest.MATCHERS.entries, "mine", type("Entry", (), {"file": file}))
    before = digest("mine")
    assert digest("own") == digest("none") != before
    file.write_text("k = 2\n")
    assert digest("mine") != before
    digest("own")


def test_a_new_model_or_layer_leaves_other_digests_alone():
    files = {file.name for file in code_digest.model_files(code_digest.BASELINES.entry("cnn3d").file)}
    assert files == {"cnn3d.py", "temporal_conv.py"}
    assert not {"temporal_conv.py", "cnn3d.py", "mobilenet.py"} & {file.name for file in deciding_files()}
    assert {"build.py", "weights.py", "backbone.py"} <= {file.name for file in deciding_files()}


def test_codes_with_equal_golden_runs_give_the_same_numbers(tmp_path, monkeypatch):
    golden, (old, new, other), own = tmp_path / "golden.json", ("a" * 32, "b" * 32, "c" * 32), "d" * 32
    golden.write_text(json.dumps({"shared_codes": [old, new]}))
    monkeypatch.setattr(code_digest, "GOLDEN", golden)
    code_digest.shared_codes.cache_clear()
    same = code_digest.same_numbers
    try:
        assert same(old + own) == same(new + own) == new + own
        assert same(other + own) == other + own
        assert same(old + own) != same(old + "e" * 32), "another model"
    finally:
        code_digest.shared_codes.cache_clear()
