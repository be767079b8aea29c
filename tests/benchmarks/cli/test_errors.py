"""Each error that a user can make is reported in one line."""

import errno

import pytest

from benchmarks.cli import _status_and_message

IMPORT = ("data", "import", "--video", "gone.avi", "--tracks", "gone.txt", "--identities", "gone.csv", "--name")


@pytest.mark.parametrize("place", ["/proc", "/proc/below/it", "file", "file/below"])
def test_doctor_unwritable_folder(bench, tmp_path, monkeypatch, place):
    (tmp_path / "file").touch()
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / place))
    answer = bench("doctor")
    assert answer.status == 1
    (line,) = [line for line in answer.out.splitlines() if line.startswith("FAIL")]
    assert "BENCH_CACHE" in line


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("run", "--method", "mean", "--dataset", "walkers:smal"), "known: tiny, demo, cues, mars"),
        (("run", "--method", "mean", "--dataset", "walkers:"), "no size ''"),
        (("run", "--method", "mean", "--dataset", "walkers:tiny", "--set", "weights="), "weights is empty"),
        (("run", "--method", "maen", "--dataset", "walkers:tiny"), "did you mean 'mean'"),
        (("run", "--method", "mean+aff", "--dataset", "walkers:tiny"), "method 'mean+aff'"),
        (
            ("run", "--method", "mean", "--dataset", "wakers"),
            "did you mean 'walkers'? (add one with `bench data import` or",
        ),
        (("run", "--method", "mean+AFA", "--dataset", "walkers:tiny"), "did you mean 'mean+afa'"),
        (("run", "--method", "mean-afa", "--dataset", "walkers:tiny"), "did you mean 'mean+afa'"),
        (("run", "--method", "mean_AFA_motion", "--dataset", "walkers:tiny"), "did you mean 'mean+afa-motion'"),
        (("submit", "--method", "mean-afa", "--dataset", "walkers:tiny", "--local"), "did you mean 'mean+afa'"),
        (("tune", "--method", "mean-afa", "--dataset", "walkers:tiny", "--trials", "1"), "did you mean 'mean+afa'"),
        (("run", "--method", "mean", "--dataset", "walkers:tiny", "--set", "learning_rate=1"), "here it is lr"),
        (
            ("run", "--method", "mean", "--dataset", "walkers:tiny", "--set", "batch-size=8"),
            "here it is identities x clips",
        ),
        (("run", "--method", "mean", "--dataset", "walkers:tiny", "--set", "clip-frames=8"), "here it is clip_frames"),
        (("table", "mean"), "give it as --method mean"),
        (("table", "table4", "--method", "mean"), "--method"),
        (("compare", "mean", "qan"), "no finished runs"),
        (("run", "--method", "mean", "--dataset", "walkers:tyni"), "tiny"),
        (("run", "--method", "mean", "--dataset", "mars"), "set BENCH_DATA"),
        (("run", "--method", "mean", "--dataset", "mars", "--root", "/nowhere"), "/nowhere is not a folder"),
        (("run", "--method", "mean", "--dataset", "walkers:tiny", "--set", "epoch=1"), "did you mean 'epochs'"),
        (("run", "--method", "mean", "--dataset", "walkers:tiny", "--split", "3"), "--split 3"),
        (("run", "--method", "mean", "--dataset", "walkers:tiny", "--recipe", "smal"), "did you mean 'small'"),
        (("run", "--method", "mean", "--dataset", "walkers:tiny", "--weights", "gone.pth"), "gone.pth"),
        (("run", "--method", "mean", "--dataset", "walkers:tiny", "--backbone", "resnet5"), "resnet50"),
        (("run", "--metod", "mean"), "no option '--metod'; did you mean '--method'?"),
        (("run", "--method", "mean", "--seeds", "0,1"), "no option '--seeds'; did you mean '--seed'?"),
        (
            ("run", "--batch-size", "32"),
            "no option '--batch-size'; settings use --set NAME=VALUE; this one is identities x clips",
        ),
        (("run", "--learning_rate", "1"), "no option '--learning_rate'; settings use --set NAME=VALUE; this one is lr"),
        (("show", "--learning_rate", "1"), "no option '--learning_rate'; `bench show --help` lists the options"),
        (("run", "--zzz"), "no option '--zzz'; `bench run --help` lists the options"),
        (("run", "--method", "mean"), "--dataset'; see `bench run --help`"),
        (("run", "--method"), "--method"),
        (("suite", "zzz"), "'zzz'; see `bench suite --help`"),
        (("run", "--method", "mean", "--dataset", "walkers", "--seed", "x"), "--seed"),
        (("rum",), "run"),
        (("run", "--method", "mean", "--dataset", "walkers:tiny", "--seed", "-1"), "--seed"),
        (("run", "--method", "mean", "--dataset", "walkers:tiny", "--weights", "imagenet"), "--weights none"),
        (
            ("run", "--method", "mean", "--dataset", "walkers:tiny", "--backbone", "resnet5", "--weights", "imagenet"),
            "resnet50",
        ),
        (("run", "--method", "mean", "--dataset", "walkers:tiny", "--workers", "-1"), "--workers"),
        (
            ("run", "--method", "mean", "--dataset", "walkers:tiny", "--precision", "fp16"),
            "bench: setting precision=fp16: precision must be one of float32, bf16",
        ),
        (
            ("run", "--method", "mean", "--dataset", "walkers:tiny", "--set", "matcher=hausdorff"),
            "known: own, none, cssa, nearest-frames (add one with --plugin FILE.py)",
        ),
        (
            ("run", "--method", "mean", "--dataset", "walkers:tiny", "--root", "/tmp"),
            "--root /tmp: walkers:tiny is drawn",
        ),
        (("show", "nothing"), "no finished run 'nothing'"),
        (("table", "--from", "gone.parquet"), "gone.parquet: no such file"),
        (("score", "--query", "gone.npz", "--gallery", "gone.npz"), "gone.npz: no such file"),
        (("table",), "no finished runs in "),
        (("table", "--method", "qan"), "; set BENCH_RESULTS if they are in another folder"),
        (("show", "qan"), "there are no runs yet; set BENCH_RESULTS if they are in another folder"),
        (("table", "--root", "/tmp"), "--root: selects experiments of a suite"),
        (("run", "--method", "mean", "--dataset", "walkers:tiny", "--test", "wakers"), "did you mean 'walkers'"),
        (("run", "--method", "mean", "--dataset", "walkers:tiny", "--set", "height=100000"), "height"),
        (("list", "--plugin", "gone.py"), "gone.py"),
        ((*IMPORT, "mars"), "--name mars: already taken"),
        ((*IMPORT, "walkers@2"), "--name walkers@2: already taken, or has other characters"),
        ((*IMPORT, "mars2"), "gone.txt"),
        (("data", "import", "--name", "mine"), "give either --video FILE or --images DIR"),
        (("data", "import", "--name", "mine", "--video", "gone.avi"), "--tracks: 0 given for 1 --video"),
        ((*IMPORT, "mine", "--seed", "1"), "--seed: applies to --images only; omit it"),
        (("data", "import", "--name", "mine", "--images", ".", "--tracks", "x"), "--tracks: applies to --video only"),
        (("data", "import", "--name", "mine", "--images", "gone", "--pattern", "x"), "--images gone: not a folder"),
    ],
)
def test_user_errors_are_one_line(bench, words, message):
    answer = bench(*words)
    assert answer.status == 2
    line = answer.err.splitlines()[-1]
    assert line.startswith("bench: ")
    assert message in line
    assert "Traceback" not in answer.err


@pytest.mark.parametrize("text", ["epochs=1\nlr=2", "epochs=1\r", "epochs"])
def test_setting_of_two_lines(bench, text):
    answer = bench("run", "--method", "mean", "--dataset", "walkers:tiny", "--set", text)
    assert answer.status == 2
    assert answer.err.splitlines()[-1] == f"bench: setting {text!r}: write key=value on one line"


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("9" * 5000, "epochs takes a whole number, not '999"),
        ("9" * 4000, "epochs has too many digits; give a number of at most 64 bits"),
        ("0x" + "f" * 5000, "epochs has too many digits"),
        ("[" * 10**5, "epochs takes a whole number, not '[[["),
        ("[[1]]", "epochs takes one value, not a list"),
    ],
)
def test_hostile_value_of_a_setting(bench, value, message):
    answer = bench("run", "--method", "mean", "--dataset", "walkers:tiny", "--set", f"epochs={value}")
    assert answer.status == 2
    assert message in answer.err.splitlines()[-1]
    assert len(answer.err.splitlines()[-1]) < 400


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = " + "[" * 10**5, "not TOML that can be read: nested too deeply"),
        ("a." * 50_000 + "b = 1", "not TOML that can be read: a line with more than 1,000 dots"),
        ("epochs = " + "9" * 5000, "not TOML: Exceeds the limit"),
        ('extends = "small"\nlr = ' + "9" * 4000, "lr has too many digits"),
        ('extends = "small"\nlr = 0x' + "f" * 5000, "lr has too many digits"),
        ("extends = [[1]]", "extends takes a recipe's name or a TOML file in quotes, not a list"),
        ("ordered = 0x" + "f" * 5000, "[ordered] with settings below it, not a int"),
    ],
)
def test_hostile_recipe(bench, tmp_path, text, message):
    (tmp_path / "mine.toml").write_text(text)
    answer = bench("run", "--method", "mean", "--dataset", "walkers:tiny", "--recipe", tmp_path / "mine.toml")
    assert answer.status == 2
    line = answer.err.splitlines()[-1]
    assert str(tmp_path / "mine.toml") in line
    assert message in line
    assert len(line) < 400


def test_seed_that_no_record_holds(bench):
    answer = bench("run", "--method", "mean", "--dataset", "walkers:tiny", "--seed", 2**63)
    assert answer.status == 2
    assert "--seed" in answer.err.splitlines()[-1]


def test_full_disk_of_a_copy():
    """As `shutil.copyfile` reports it."""
    error = OSError(errno.ENOSPC, "No space left on device", "/code/afa/losses.py", None, "/full/losses.py")
    advice = "No space left on device; free some space, or use a folder on another disk"
    assert _status_and_message(error) == (2, f"/full/losses.py: {advice}")


def test_debug_shows_traceback(bench):
    answer = bench("show", "nothing", "--debug")
    assert answer.status == 2
    assert "Traceback" in answer.err
    assert answer.err.splitlines()[-1].startswith("bench: no finished run 'nothing'")


@pytest.mark.parametrize("variable", ["BENCH_RESULTS", "BENCH_CACHE"])
def test_bad_folder_names_its_variable(bench, tmp_path, monkeypatch, variable):
    (tmp_path / "file").touch()
    monkeypatch.setenv(variable, str(tmp_path / "file"))
    answer = bench("run", "--method", "mean", "--dataset", "walkers:tiny", "--epochs", "0")
    assert answer.status == 2
    last = answer.err.splitlines()[-1]
    assert last.startswith(f"bench: {tmp_path / 'file'}")
    assert variable in last


def test_dropped_values_are_named(bench):
    words = ("submit", "--method", "qan", "--method", "mean", "--dataset", "walkers:tiny", "--local", "--dry-run")
    answer = bench(*words, "--seeds", 1, "--set", "lr=1", "--set", "epochs=1")
    assert (answer.status, answer.err.splitlines()) == (
        0,
        ["bench: --method takes one value; only the last one counts"],
    )
    assert answer.out.startswith("walkers:tiny: mean, seed 0\n")
    assert "only the last" not in bench("table", "--method", "qan", "--method", "mean").err
