"""A real Slurm of one node, for a test: everything in one folder, on the loopback interface alone.

The daemons end with this process, however it ends. What Slurm's clients insist on is the one thing
outside of the folder: a link at /etc/slurm/slurm.conf.
"""

import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

CONFIGURATION = Path("/etc/slurm/slurm.conf")
OWNER = "owner.pid"
PACKAGES = ["munge", "slurmctld", "slurmd", "slurm-client"]
PROGRAMS = ["munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scancel", "setpriv"]

# What a test needs. No accounting; without control groups, which take a machine set up for them, a
# job that takes more memory than it asked for is found within a second or two, and killed; two
# device files stand for GPUs, of which CUDA_VISIBLE_DEVICES gets the numbers.
SETTINGS = """
ClusterName=heirloom
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
SrunPortRange={ports[2]}-{ports[3]}
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
SlurmUser=root
SlurmdUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SwitchType=switch/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=1
JobAcctGatherParams=OverMemoryKill
AccountingStorageType=accounting_storage/none
ReturnToService=2
SlurmdParameters=config_overrides
MinJobAge=3600
KillWait=2
UnkillableStepTimeout=180
SchedulerParameters=batch_sched_delay=1,sched_interval=2,bf_interval=2
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
GresTypes=gpu
NodeName={host} NodeAddr=127.0.0.1 CPUs=2 RealMemory=64000 Gres=gpu:fake:2 State=UNKNOWN
"""
PARTITION = "PartitionName={name} Nodes={host} MaxTime={minutes} State=UP\n"
DEVICES = "".join(
    f"NodeName={{host}} Name=gpu Type=fake File=/dev/{name}\n" for name in ("null", "zero")
)


class Slurm:
    """Slurm as a context: up on entry, down on exit, jobs first."""

    def __init__(self, folder: Path, partitions: list[str], minutes: int) -> None:
        self.folder = folder
        self.partitions, self.minutes = partitions, minutes
        self.daemons: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Self:
        """Start the daemons; return once the node is idle."""
        host = socket.gethostname().split(".")[0]
        values = {"folder": self.folder, "host": host, "ports": _free_ports()}
        for name in ("state", "spool"):
            (self.folder / name).mkdir(parents=True)
        self.folder.chmod(0o755)
        partitions = [
            PARTITION.format(name=name, host=host, minutes=self.minutes) for name in self.partitions
        ]
        (self.folder / "slurm.conf").write_text(SETTINGS.format(**values) + "".join(partitions))
        (self.folder / "gres.conf").write_text(DEVICES.format(host=host))
        key = self.folder / "munge.key"
        key.touch(mode=0o600)
        key.write_bytes(os.urandom(1024))
        (self.folder / OWNER).write_text(str(os.getpid()))
        CONFIGURATION.parent.mkdir(parents=True, exist_ok=True)
        CONFIGURATION.symlink_to(self.folder / "slurm.conf")
        try:
            munge = [f"--{k}={self.folder}/munge.{k.removesuffix('-file')}" for k in _MUNGE_FILES]
            self.start("munged", "--foreground", "--force", *munge)
            self._wait_for("munge", "--no-input", f"--socket={self.folder}/munge.socket")
            self.start("slurmctld", "-D", "-c", "-f", f"{self.folder}/slurm.conf")
            self._wait_for("scontrol", "ping")
            self.start_slurmd()
            self._wait_for("sh", "-c", "sinfo --noheader --format=%T | grep -qx idle")
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop everything."""
        self.stop()

    def start(self, name: str, *options: str) -> None:
        """Start a daemon that ends with this process."""
        with (self.folder / f"{name}.out").open("ab") as output:
            self.daemons[name] = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", name, *options],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )

    def start_slurmd(self) -> None:
        """Start the daemon of the node."""
        self.start("slurmd", "-D", "-f", f"{self.folder}/slurm.conf")

    def jobs(self, *states: str) -> list[tuple[str, str]]:
        """Number and comment (Snakemake writes the rule into it) of the jobs in these states."""
        command = ["squeue", "--noheader", f"--states={','.join(states)}", "--format=%A %k"]
        printed = subprocess.run(command, capture_output=True, text=True, check=True, timeout=20)
        return [(line.split()[0], line.split()[1]) for line in printed.stdout.splitlines()]

    def cancel(self, number: str) -> None:
        """End a job."""
        subprocess.run(["scancel", number], check=True, timeout=20)

    def stop(self) -> None:
        """Cancel what is left, end each daemon by its process, and remove the link."""
        try:
            if "slurmctld" in self.daemons and self.daemons["slurmctld"].poll() is None:
                for number, _ in self.jobs("PD", "R", "CG"):
                    self.cancel(number)
                deadline = time.monotonic() + 20
                while self.jobs("PD", "R", "CG") and time.monotonic() < deadline:
                    time.sleep(0.2)
        finally:
            for daemon in reversed(self.daemons.values()):
                daemon.send_signal(signal.SIGTERM)
                try:
                    daemon.wait(15)
                except subprocess.TimeoutExpired:
                    daemon.kill()
                    daemon.wait()
            CONFIGURATION.unlink()

    def _wait_for(self, *command: str) -> None:
        deadline = time.monotonic() + 30
        while subprocess.run(command, capture_output=True, check=False, timeout=20).returncode:
            if time.monotonic() > deadline:
                logs = [f.read_text(errors="replace")[-1000:] for f in self.folder.glob("*.out")]
                raise AssertionError(f"{' '.join(command)} does not succeed: {logs}")
            time.sleep(0.2)


_MUNGE_FILES = ("key-file", "socket", "pid-file", "log-file", "seed-file")


def _free_ports() -> list[int]:
    """Two ports that nobody listens on, and both ends of a range."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return [*ports, 20100, 20199]


def require() -> None:
    """Skip the test, saying why, where Slurm cannot be had."""
    if os.geteuid() != 0:
        pytest.skip("Slurm's daemons need root")
    if _left_by_a_killed_test():
        CONFIGURATION.unlink()
    if CONFIGURATION.is_symlink() or CONFIGURATION.exists():
        pytest.skip(f"{CONFIGURATION} is there: this machine has a Slurm of its own")
    if any(shutil.which(program) is None for program in PROGRAMS):
        _install()


def _left_by_a_killed_test() -> bool:
    if not CONFIGURATION.is_symlink():
        return False
    owner = CONFIGURATION.readlink().with_name(OWNER)
    return owner.exists() and not Path("/proc", owner.read_text()).exists()


def _install() -> None:
    if shutil.which("apt-get") is None:
        pytest.skip("Slurm is not installed, and there is no apt-get")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    install = ["apt-get", "install", "--yes", "--no-install-recommends", *PACKAGES]
    for command in (["apt-get", "update"], install):
        try:
            done = subprocess.run(
                command, env=environment, capture_output=True, text=True, timeout=300, check=False
            )
        except subprocess.TimeoutExpired:
            pytest.skip(f"Slurm's packages cannot be had: {' '.join(command)} takes too long")
        if done.returncode:
            pytest.skip(f"Slurm's packages cannot be had: {done.stderr.strip()[-300:]}")
