"""Settings that a baseline declares: their names, types, and places in recipes, records and hashes."""

import pytest

from baselines.interface.errors import UserError
from benchmarks.experiments.settings import from_dict, resolve
from benchmarks.runs.folder import RunFolder
from benchmarks.runs.store import load_records

PLUGIN = """
import torch

from afa import disentangle
from baselines.interface import Baseline, UserError, register


@register("deep")
class Deep(Baseline):
    '''Some linear layers.'''

    def __init__(self, backbone, *, depth: int = 2, scale=0.5, bias=True, mode="a"):
        super().__init__(backbone)
        if depth < 1:
            raise UserError(f"deep.depth must be at least 1, not {depth}")
        self.layers = torch.nn.Sequential(*(torch.nn.Linear(self.channels, self.channels, bias) for _ in range(depth)))

    def forward(self, clips):
        return disentangle(self.layers(self.embed(clips.frames)))
"""
RUN = ("run", "--method", "deep", "--dataset", "walkers:tiny", "--epochs", "0")


@pytest.fixture
def plugin(bench, tmp_path):
    file = tmp_path / "deep.py"
    file.write_text(PLUGIN)
    assert "deep.depth" in bench("list", "--plugin", file).out
    return file


@pytest.mark.usefixtures("plugin")
def test_values_are_checked_and_typed():
    own = {"deep.depth": 2, "deep.scale": 0.5, "deep.bias": True, "deep.mode": "a"}
    assert resolve("small", "deep+afa").own == own
    changes = ("deep.depth=3", "deep.scale=2", "deep.bias=false", "deep.mode=7")
    assert resolve("small", "deep", changes).own == {
        "deep.depth": 3,
        "deep.scale": 2.0,
        "deep.bias": False,
        "deep.mode": "7",
    }
    assert resolve("small", "mean").own == {}


@pytest.mark.parametrize(
    ("method", "change", "message"),
    [
        ("deep", "deep.depth=1.5", "deep.depth takes a whole number, not 1.5"),
        ("deep", "deep.depth=true", "deep.depth takes a whole number, not True"),
        ("deep", "deep.bias=1", "deep.bias takes true or false, not 1"),
        ("deep", "deep.scale=inf", "deep.scale takes a finite number, not inf"),
        ("deep", "deep.dept=3", "unknown setting 'deep.dept'; did you mean 'deep.depth'?"),
        ("deep", "depth=3", "unknown setting 'depth'; did you mean 'deep.depth'?"),
        ("deep", "depe.depth=3", "no baseline 'depe'; did you mean 'deep'?"),
        ("mean", "deep.depth=3", "deep.depth is a setting of another baseline"),
    ],
)
@pytest.mark.usefixtures("plugin")
def test_wrong_values(method, change, message):
    with pytest.raises(UserError, match=r"^setting ") as error:
        resolve("small", method, [change])
    assert message in str(error.value)


@pytest.mark.usefixtures("plugin")
def test_a_recipe_has_a_table_for_each_baseline(tmp_path):
    recipe = tmp_path / "mine.toml"
    recipe.write_text('extends = "small"\n[deep]\ndepth = 5\n')
    assert resolve(str(recipe), "deep").own["deep.depth"] == 5
    assert resolve(str(recipe), "mean").own == {}
    recipe.write_text('extends = "small"\n[deep]\ndepht = 5\n')
    with pytest.raises(UserError, match=r"recipe .*mine.toml: unknown setting 'deep.depht'"):
        resolve(str(recipe), "mean")


def test_runs_record_them_and_differ_by_them(bench, plugin, results, tmp_path):
    for depth in (1, 4):
        assert bench(*RUN, "--plugin", plugin, "--set", f"deep.depth={depth}").status == 0
    records = {record.experiment.settings["deep.depth"]: record for record in load_records(results)}
    assert records[4].cost.parameters > records[1].cost.parameters
    assert len({record.experiment.run_hash for record in records.values()}) == 2
    assert from_dict(records[4].experiment.settings).recorded() == records[4].experiment.settings
    assert RunFolder(results / records[4].name).weights.exists()
    table = bench("table", "--plugin", plugin).out
    assert "deep.depth=1" in table
    assert "deep.depth=4" in table
    assert bench("report", "--plugin", plugin, "--to", tmp_path / "site").status == 0
    pages = [file.read_text() for file in (tmp_path / "site" / "runs").glob("*.html")]
    changed = [depth for depth in (1, 4) if any(f"<b>{depth} (changed from the recipe)</b>" in page for page in pages)]
    assert changed == [1, 4]  # the processes that write these pages know the plug-in
    features = bench("features", records[4].name, "--plugin", plugin, "--to", tmp_path / "features")
    assert features.status == 0, features.err  # builds the model with 4 layers


def test_a_value_that_the_baseline_refuses_is_a_line(bench, plugin):
    answer = bench(*RUN, "--plugin", plugin, "--set", "deep.depth=0")
    assert answer.status == 2
    assert answer.err.splitlines()[-1].endswith("deep.depth must be at least 1, not 0")


def test_a_default_that_has_no_type(bench, tmp_path):
    (tmp_path / "deep.py").write_text(PLUGIN.replace("scale=0.5", "scale=None"))
    answer = bench(*RUN, "--plugin", tmp_path / "deep.py")
    assert answer.status == 2
    assert "class Deep: the setting scale needs a default" in answer.err.splitlines()[-1]
