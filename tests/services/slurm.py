"""A real Slurm on this machine: its own munge key, a controller and one node of some CPUs, in a folder of its own."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.services.daemon import Daemon, ServiceError, environment, free_ports, need, run, wait_until

PACKAGES = "munge slurmctld slurmd slurm-client"
PROGRAMS = ("munged", "munge", "unmunge", "slurmctld", "slurmd", "sbatch", "squeue", "scontrol", "scancel", "sacct")

#: Proctrack/linuxproc and task/none need neither cgroups nor systemd. `config_overrides`: else a node that declares
#: more CPUs than the machine has is invalid. `batch_sched_delay=0` and the short intervals: jobs start at once.
CONFIGURATION = """\
ClusterName=test
SlurmctldHost=localhost(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={socket}
CredType=cred/munge
SlurmctldPort={controller_port}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
MailProg=/bin/true
PropagateResourceLimits=NONE
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
DefMemPerCPU=100
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
AccountingStorageType=accounting_storage/none
JobCompType={completion}
JobCompLoc={folder}/jobcomp.txt
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_interval=2,sched_min_interval=0,bf_interval=2
MinJobAge={remembered}
MaxArraySize=10001
MaxJobCount=20000
ReturnToService=2
SlurmdTimeout=20
SlurmctldTimeout=20
MessageTimeout=10
KillWait=2
InactiveLimit=0
NodeName={node} NodeHostname=localhost NodeAddr=127.0.0.1 Port={node_port} CPUs={cpus} RealMemory=4000 State=UNKNOWN
PartitionName=debug Nodes=ALL Default=YES MaxTime=INFINITE DefaultTime=60 State=UP
"""

NODE = "n1"

#: States that a job does not leave; Slurm may add `+` or ` by <uid>` to them in some listings.
OVER = frozenset({"COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY", "BOOT_FAIL", "DEADLINE"})


@dataclass(frozen=True, kw_only=True)
class Completed:
    """One line that the job completion plugin wrote."""

    job: str
    name: str
    state: str
    #: As Slurm writes it: exit status, colon, signal.
    exit_code: str


class Slurm:
    """A running cluster."""

    def __init__(self, folder: Path, *, accounting: bool = True, remembered: int = 300, cpus: int = 4) -> None:
        """Prepare a cluster; `remembered` is for how many seconds the controller knows a job after its end."""
        self.folder = folder
        #: The environment that every Slurm command needs; nothing else is in it but a plain PATH, HOME, LANG and USER.
        self.env: Mapping[str, str] = environment(
            SLURM_CONF=str(folder / "slurm.conf"), USER=pwd.getpwuid(os.getuid()).pw_name, HOME=str(folder / "home")
        )
        self._configure(accounting=accounting, remembered=remembered, cpus=cpus)
        munge = folder / "munge"
        self._munge = ["--socket", str(munge / "munge.sock")]
        files = {"key-file": "munge.key", "pid-file": "munged.pid", "seed-file": "munged.seed"}
        options = [f"--{option}={munge / file}" for option, file in files.items()]
        self._munged = Daemon(
            ["munged", "--foreground", "--num-threads=2", *self._munge, *options], log=folder / "munged.log"
        )
        #: The controller and the one node's daemon.
        self.controller = Daemon(["slurmctld", "-D", "-i"], log=folder / "slurmctld.out", env=self.env)
        self.node = Daemon(["slurmd", "-D", "-N", NODE], log=folder / "slurmd.out", env=self.env)

    def _configure(self, *, accounting: bool, remembered: int, cpus: int) -> None:
        for name, mode in {"munge": 0o755, "state": 0o700, "spool": 0o755, "home": 0o1777}.items():
            (self.folder / name).mkdir()
            (self.folder / name).chmod(mode)
        key = self.folder / "munge" / "munge.key"
        key.touch(mode=0o600)
        key.write_bytes(os.urandom(1024))
        controller_port, node_port = free_ports(2)
        # Named, because else slurmd looks for a mounted cgroup filesystem, which plain containers lack, and gives up.
        (self.folder / "cgroup.conf").write_text("CgroupPlugin=cgroup/v1\n")
        (self.folder / "slurm.conf").touch()
        for name in ("cgroup.conf", "slurm.conf"):  # every user's commands read them, whatever the umask
            (self.folder / name).chmod(0o644)
        (self.folder / "slurm.conf").write_text(
            CONFIGURATION.format(
                user=pwd.getpwuid(os.getuid()).pw_name,
                socket=self.folder / "munge" / "munge.sock",
                folder=self.folder,
                controller_port=controller_port,
                node_port=node_port,
                node=NODE,
                completion="jobcomp/filetxt" if accounting else "jobcomp/none",
                remembered=remembered,
                cpus=cpus,
            )
        )

    def start(self) -> None:
        """Start all daemons and wait until the node takes jobs."""
        self._munged.start()
        self._munged.wait_for(self._munge_answers)
        self.start_controller()
        self.start_node()

    def _munge_answers(self) -> bool:
        with contextlib.suppress(ServiceError):
            credential = run(["munge", *self._munge, "--no-input"], env=self.env)
            run(["unmunge", *self._munge], env=self.env, stdin=credential)
            return True
        return False

    def start_controller(self) -> None:
        """Start the controller, also after its end, and wait until it answers."""
        self.controller.start()
        self.controller.wait_for(lambda: "is UP" in self.scontrol("ping", check=False))

    def start_node(self) -> None:
        """Start the node's daemon, also after its end, and wait until the node takes jobs."""
        self.node.start()
        self.node.wait_for(lambda: self.node_state() in {"idle", "mixed", "allocated", "completing"})

    def node_state(self) -> str:
        """Give the node's state in the long form of `sinfo`, without its flags."""
        return run(["sinfo", "--noheader", "--Node", "--format=%T"], env=self.env).strip().rstrip("*~#!%$@^-")

    def command(self, *argv: str, user: str | None = None) -> str:
        """Run one of Slurm's commands on this cluster, as another `user` if root wants."""
        return run(list(argv), env=self.env, user=user)

    def scontrol(self, *argv: str, check: bool = True) -> str:
        """Run `scontrol`; without `check` a failure is an answer too."""
        try:
            return self.command("scontrol", *argv)
        except ServiceError as error:
            if check:
                raise
            return str(error)

    def sbatch(self, script: str, *options: str, user: str | None = None) -> str:
        """Submit a job whose script is given as text (`#!/bin/sh` is put before it); give its id."""
        usual = ["--parsable", f"--chdir={self.folder / 'home'}", "--job-name=test", "--output=%x-%j.out"]
        argv = ["sbatch", *usual, *options]
        return run(argv, env=self.env, stdin=f"#!/bin/sh\n{script}\n", user=user).strip()

    def state(self, job: str) -> str:
        """Give the job's state as `squeue` says it, "" when the controller does not know it (any more)."""
        with contextlib.suppress(ServiceError):
            return self.command("squeue", "--noheader", "--states=all", "--jobs", job, "--format=%T").strip()
        return ""

    def wait(self, job: str, *, states: frozenset[str] = OVER, seconds: float = 30) -> str:
        """Wait until each task of the job is in one of the `states`; give the last one's."""

        def there() -> bool:
            now = set(self.state(job).split())
            return bool(now) and now <= states

        wait_until(there, seconds=seconds, what=f"job {job} in one of the states {', '.join(sorted(states))}")
        return self.state(job).split()[-1]

    def completions(self) -> list[Completed]:
        """Give what the completion plugin wrote, oldest first."""
        columns = "--format=jobid,jobname,state,exitcode"
        lines = self.command("sacct", "--completion", "--noheader", "--parsable2", columns).splitlines()
        entries = [line.split("|") for line in lines]
        return [Completed(job=job, name=name, state=state, exit_code=code) for job, name, state, code in entries]

    def close(self) -> None:
        """End all daemons and all jobs."""
        for daemon in (self.node, self.controller, self._munged):
            daemon.close()


@contextlib.contextmanager
def cluster(*, accounting: bool = True, remembered: int = 300, cpus: int = 4) -> Iterator[Slurm]:
    """Run a cluster in a folder of its own, which every user of this machine can reach, as munge's socket must be."""
    need(*PROGRAMS, package=PACKAGES)
    folder = Path(tempfile.mkdtemp(prefix="heartbrain-slurm-"))
    folder.chmod(0o755)
    slurm = Slurm(folder, accounting=accounting, remembered=remembered, cpus=cpus)
    try:
        slurm.start()
        yield slurm
    finally:
        slurm.close()
        shutil.rmtree(folder)
