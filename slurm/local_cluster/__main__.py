"""Start and stop a Slurm of several nodes on this machine, as root and without systemd. All its files are in one folder.

    python -m slurm.local_cluster up DIR      # then: source DIR/env.sh
    python -m slurm.local_cluster down DIR

Debian packages: slurm-wlm munge slurmdbd mariadb-server. Partition `high` preempts partition `main`. Each node has two fake
GPUs. Limits of memory and cores are not enforced.
"""

import argparse
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "slurmdbd", "mariadbd", "mariadb-install-db", "srun")
NODES = 3
os.environ["PATH"] += ":/usr/sbin:/sbin"

CONF = """
ClusterName=local
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={control}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket={root}/munge/socket,cred_expire=5
StateSaveLocation={root}/state
SlurmdSpoolDir={root}/spool/%n
SlurmctldPidFile={root}/state/slurmctld.pid
SlurmdPidFile={root}/state/slurmd-%n.pid
SlurmctldLogFile={root}/log/slurmctld.log
SlurmdLogFile={root}/log/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SlurmdParameters=config_overrides
SlurmctldParameters=preempt_send_user_signal
SchedulerParameters=sched_interval=2,bf_interval=2,batch_sched_delay=0
ReturnToService=2
JobRequeue=1
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SlurmctldTimeout=10
SlurmdTimeout=10
MessageTimeout=10
KillWait=5
InactiveLimit=0
GresTypes=gpu
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort={accounting}
AccountingStoragePass={root}/munge/socket
AccountingStorageTRES=gres/gpu
{nodes}
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE DefMemPerCPU=100 PriorityTier=1 PreemptMode=REQUEUE GraceTime=20
PartitionName=high Nodes=ALL MaxTime=INFINITE DefMemPerCPU=100 PriorityTier=10 PreemptMode=OFF
"""

ACCOUNTING = """
AuthType=auth/munge
AuthInfo=socket={root}/munge/socket
DbdHost={host}
DbdAddr=127.0.0.1
DbdPort={accounting}
SlurmUser=root
LogFile={root}/log/slurmdbd.log
PidFile={root}/state/slurmdbd.pid
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort={database}
StorageUser=slurm
StoragePass=slurm
StorageLoc=slurm_acct_db
"""

DATABASE = """
CREATE DATABASE IF NOT EXISTS slurm_acct_db;
CREATE USER IF NOT EXISTS 'slurm'@'127.0.0.1' IDENTIFIED BY 'slurm';
GRANT ALL ON slurm_acct_db.* TO 'slurm'@'127.0.0.1';
"""


def missing_programs() -> list[str]:
    """The programs that are not installed here."""
    return [name for name in PROGRAMS if shutil.which(name) is None]


def why_unavailable() -> str:
    """Why no cluster can be started here; "" if one can be."""
    if missing_programs():
        return f"not installed: {', '.join(missing_programs())}"
    return "" if os.geteuid() == 0 else "only root can start it"


def start(root: Path, name: str, *words: str) -> None:
    """Start a daemon, which outlives this process, and write down its process id."""
    conf = {**os.environ, "SLURM_CONF": str(root / "etc/slurm.conf")}
    with open(root / "log" / f"{name}.out", "a") as log:
        child = subprocess.Popen(
            words, env=conf, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
    (root / "pid" / name).write_text(str(child.pid))


def stop(root: Path, name: str, number: int = signal.SIGTERM) -> None:
    """Stop a daemon that `start` started, and no other process that has its id now."""
    file = root / "pid" / name
    pid = int(file.read_text())
    file.unlink()
    program = name.partition("-")[0]
    if program not in _command_line(pid):
        return
    os.kill(pid, number)
    for _ in range(100):
        if program not in _command_line(pid):
            return
        time.sleep(0.1)
    os.kill(pid, signal.SIGKILL)


def _command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def start_node(root: Path, number: int) -> None:
    """Start the daemon of node `n<number>`."""
    (root / "spool" / f"n{number}").mkdir(parents=True, exist_ok=True)
    start(root, f"slurmd-n{number}", "slurmd", "-D", "-f", str(root / "etc/slurm.conf"), "-N", f"n{number}")


def kill_node(root: Path, name: str) -> None:
    """Kill the daemon of a node and all processes that run on it, as a power cut would."""
    stop(root, f"slurmd-{name}", signal.SIGKILL)
    on_node = [pid for pid in processes(".") if f"SLURMD_NODENAME={name}" in _environment(pid)]
    parents = {int(subprocess.check_output(["ps", "-o", "ppid=", str(pid)])) for pid in on_node}
    for pid in [*parents.intersection(processes(r"slurmstepd: \[")), *on_node]:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def restart_killed_nodes(root: Path, nodes: int = NODES) -> None:
    """Start the daemons of the nodes that are not running."""
    for number in range(1, nodes + 1):
        if not (root / "pid" / f"slurmd-n{number}").exists():
            start_node(root, number)


def processes(pattern: str) -> list[int]:
    """The ids of the processes whose command line matches the pattern."""
    done = subprocess.run(["pgrep", "-f", pattern], capture_output=True, text=True)
    return [int(pid) for pid in done.stdout.split()]


def _environment(pid: int) -> list[str]:
    """The environment with which a process started; empty if it has ended."""
    try:
        return Path(f"/proc/{pid}/environ").read_text(errors="replace").split("\0")
    except OSError:
        return []


def start_accounting(root: Path) -> None:
    """Start slurmdbd, and wait until it answers: without it slurmctld would exit at once."""
    start(root, "slurmdbd", "slurmdbd", "-D")
    _wait(root, "slurmdbd", lambda: _output("sacctmgr", "-n", "list", "cluster") is not None)


def start_control(root: Path) -> None:
    """Start slurmctld, or restart it if it runs, and wait until it answers."""
    if (root / "pid/slurmctld").exists():
        stop(root, "slurmctld")
    start(root, "slurmctld", "slurmctld", "-D", "-i", "-f", str(root / "etc/slurm.conf"))
    _wait(root, "slurmctld", lambda: _output("scontrol", "ping") is not None)


def up(root: Path, nodes: int = NODES) -> dict[str, str]:
    """Start everything; returns the environment variables that Slurm's programs need.

    Raises:
        SystemExit: programs are not installed, or a daemon does not start.
    """
    if missing_programs():
        sys.exit(
            f"not installed: {', '.join(missing_programs())}; Debian: apt-get install slurm-wlm munge slurmdbd mariadb-server"
        )
    root = root.absolute()
    for name in ("pid", "log", "etc", "state", "dev", "munge", "spool"):
        (root / name).mkdir(parents=True, exist_ok=True)
    root.chmod(0o755)
    (root / "munge").chmod(0o755)
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(3 + nodes)]
    control, accounting, database, *ports = (each.getsockname()[1] for each in sockets)
    for each in sockets:
        each.close()
    names = {"root": root, "host": socket.gethostname().partition(".")[0], "control": control}
    names |= {"accounting": accounting, "database": database}
    names["nodes"] = "\n".join(
        f"NodeName=n{number} NodeHostname={names['host']} NodeAddr=127.0.0.1 Port={port} CPUs=8 RealMemory=8000 Gres=gpu:2"
        for number, port in enumerate(ports, 1)
    )
    (root / "etc/slurm.conf").write_text(CONF.format(**names))
    (root / "etc/gres.conf").write_text(f"NodeName=n[1-{nodes}] Name=gpu File={root}/dev/gpu[0-1]\n")
    (root / "etc/cgroup.conf").write_text("")
    _private(root / "etc/slurmdbd.conf", ACCOUNTING.format(**names).encode())
    (root / "etc/database.sql").write_text(DATABASE)
    for number in range(2):
        device = root / "dev" / f"gpu{number}"
        if not device.exists():
            os.mknod(device, 0o20666, os.makedev(1, 3))  # /dev/null by another name
    # Only Slurm knows the nodes' names; the processes of a job connect on this machine.
    environment = {"SLURM_CONF": str(root / "etc/slurm.conf"), "MASTER_ADDR": "127.0.0.1"}
    (root / "env.sh").write_text("".join(f"export {key}={value}\n" for key, value in environment.items()))
    os.environ |= environment

    _private(root / "munge/key", os.urandom(128))
    at = f"--socket={root}/munge/socket"
    files = (f"--key-file={root}/munge/key", f"--pid-file={root}/munge/pid", f"--log-file={root}/log/munged.log")
    start(root, "munged", "munged", "--foreground", at, *files, f"--seed-file={root}/munge/seed")
    _wait(root, "munged", lambda: _output("munge", "-S", f"{root}/munge/socket", "-n") is not None)
    if not (root / "db/mysql").exists():
        method = "--auth-root-authentication-method=normal"
        words = ["mariadb-install-db", "--no-defaults", "--user=root", f"--datadir={root}/db", "--skip-test-db", method]
        subprocess.run(words, check=True, capture_output=True)
    paths = (f"--datadir={root}/db", f"--socket={root}/db/socket", f"--pid-file={root}/db/pid")
    where = (
        "--bind-address=127.0.0.1",
        f"--port={database}",
        "--skip-name-resolve",
        f"--init-file={root}/etc/database.sql",
    )
    size = ("--innodb-buffer-pool-size=64M", "--innodb-lock-wait-timeout=900")
    start(root, "mariadbd", "mariadbd", "--no-defaults", "--user=root", *paths, *where, *size)
    login = ("mariadb", "--no-defaults", "-h127.0.0.1", f"-P{database}", "-uslurm", "-pslurm", "slurm_acct_db")
    _wait(root, "mariadbd", lambda: _output(*login, "-e", "select 1") is not None)
    start_accounting(root)
    if not _output("sacctmgr", "-nP", "list", "cluster", "local"):
        _output("sacctmgr", "-i", "add", "cluster", "local")
    start_control(root)
    for number in range(1, nodes + 1):
        start_node(root, number)
    idle = ("sinfo", "--noheader", "--Node", "--partition=main", "--states=idle", "--format=%N")
    _wait(root, "slurmd", lambda: len((_output(*idle) or "").split()) == nodes)
    return environment


def _private(file: Path, contents: bytes) -> None:
    if not file.exists() or file.suffix:
        file.touch(mode=0o600)
        file.write_bytes(contents)


def _output(*words: str) -> str | None:
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=20)
    except subprocess.TimeoutExpired:
        return None
    return done.stdout if done.returncode == 0 else None


def _wait(root: Path, name: str, is_up: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not is_up():
        if time.monotonic() > end:
            files = (root / "log").glob(f"{name}[.-]*out")
            words = " / ".join(line for file in files for line in file.read_text().splitlines()[-1:])
            down(root)
            sys.exit(f"{name} did not start within a minute; see {root}/log; its last output: {words}")
        time.sleep(0.2)


def down(root: Path) -> None:
    """Cancel all jobs, then stop every daemon that `up` started."""
    os.environ["SLURM_CONF"] = str(root.absolute() / "etc/slurm.conf")
    if (root / "pid/slurmctld").exists():
        _output("scancel", "--user", "root")
        time.sleep(1)
    names = [file.name for file in (root / "pid").glob("slurmd-*")]
    for name in (*names, "slurmctld", "slurmdbd", "mariadbd", "munged"):
        if (root / "pid" / name).exists():
            stop(root, name)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m slurm.local_cluster", description=__doc__.splitlines()[0])
    parser.add_argument("action", choices=("up", "down"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--nodes", type=int, default=NODES)
    options = parser.parse_args()
    if options.action == "down":
        down(options.folder)
    else:
        up(options.folder, options.nodes)
        print(f"{options.nodes} nodes; source {options.folder.absolute()}/env.sh")


if __name__ == "__main__":
    main()
