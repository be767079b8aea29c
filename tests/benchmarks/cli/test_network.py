"""Nothing is uploaded and there is no telemetry: the verbs work with the network cut off, and none of them tries to connect."""

import socket

import numpy as np
import pytest
import typer

from benchmarks.cli import app
from benchmarks.reporting.report import contents
from benchmarks.runs.store import load_records


@pytest.fixture
def attempts(monkeypatch):
    """The addresses to which something tried to connect, of which none answers. Sockets of this machine's files work."""
    found = []

    def refuse(method):
        def call(self, *given):
            if self.family == socket.AF_UNIX:
                return method(self, *given)
            found.append(given)
            raise OSError("the network is cut off")

        return call

    def find(*given, **options):
        found.append(given)
        raise socket.gaierror("the network is cut off")

    for name in ("connect", "connect_ex", "sendto", "sendmsg"):
        monkeypatch.setattr(socket.socket, name, refuse(getattr(socket.socket, name)))
    for name in ("getaddrinfo", "gethostbyname", "create_connection"):
        monkeypatch.setattr(socket, name, find)
    return found


VERBS = """
run --method mean --dataset walkers:tiny --epochs 0 --set test_frames=1 --workers 0
eval RUN --dataset walkers@2:tiny --workers 0
features RUN --to features --workers 0
export RUN --to model.pt --workers 0
gallery RUN --queries 1 --workers 0
score --query query.npz --gallery gallery.npz
show RUN
table
table table4 --dataset walkers:tiny --seeds 1
verdict
compare mean qan
records export runs.parquet
records merge runs.parquet
figure cmc --to cmc.svg
report --to site --from runs.parquet
list
suite list
suite show table4 --dataset walkers:tiny --seeds 1
suite run table4 --dataset mars --seeds 1
suite export table4 exported.parquet --dataset walkers:tiny --seeds 1
plan table4 --dataset walkers:tiny --seeds 1
submit table4 --dataset walkers:tiny --seeds 1 --dry-run --local
retry table4 --dataset walkers:tiny --seeds 1 --dry-run --local
status
logs nothing
cancel nothing
clean
doctor
speed
tune --method mean --dataset walkers:tiny --trials 1 --set epochs=1 --set clip_frames=1 --set test_frames=1 --workers 0
data stats walkers:tiny
data verify walkers:tiny
data pack walkers:tiny
data export walkers:tiny --layout mars --to exported
data import --name mine --images images --pattern (?P<pid>.)
"""


def test_no_verb_connects(bench, attempts, results, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(contents, "drawn_figures", lambda runs: [])  # `figure` draws one
    (tmp_path / "images").mkdir()
    columns = {"feature": np.eye(2), "pid": [1, 2], "tracklet": ["a", "b"]}
    np.savez(tmp_path / "query.npz", **columns, camid=[0, 0])
    np.savez(tmp_path / "gallery.npz", **columns, camid=[1, 1])
    run = ""
    for line in VERBS.strip().splitlines():
        answer = bench(*line.replace("RUN", run).split())
        # Where there is nothing to show or to do, the verb says so.
        assert answer.status in (0, 1, 2), (line, answer.err)
        assert "Traceback" not in answer.err
        assert "(an error in the program" not in answer.err, (line, answer.err)
        assert attempts == [], line
        run = run or load_records(results)[0].name


def test_list_has_every_verb():
    commands = typer.main.get_command(app).commands
    below = {(name, verb) for name in ("data", "records", "suite") for verb in commands[name].commands}
    verbs = below | {(name,) for name in commands.keys() - {"data", "records", "suite"}}
    lines = [line.split() for line in VERBS.strip().splitlines()]
    assert {tuple(words[: 1 if (words[0],) in verbs else 2]) for words in lines} == verbs


def test_the_network_is_cut_off(attempts):
    with pytest.raises(OSError, match="cut off"):
        socket.create_connection(("127.0.0.1", 9), timeout=1)
    with pytest.raises(OSError, match="cut off"), socket.socket() as opened:
        opened.connect(("127.0.0.1", 9))
    assert len(attempts) == 2
