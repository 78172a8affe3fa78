"""Runs random jobs with random faults for some minutes, and checks what is promised of each run.

    python tests/soak/soak.py --minutes 10 [--seed 1] [--round 17]

A round has its own checkout, home and TMPDIR. From the seed and its number it draws a job, a flag,
``python -m ci_sessions dispatch`` or ``dispatch.sh``, and up to three faults; some rounds have two
runs at once. Instead of tests the checkout runs ``payload.py``, which does the harm and notes what
really ran. From that, and not from the code under test, follows what each run has to answer:

- Exit code: that of the test that failed, as the caller sees it (nox makes 0 or 1 of it); after a
  signal, 128 + N or that code. Green only if all tests of the job ran and ended with 0.
- Nothing runs twice.
- Record: one, with the outcome, the runner and the reason. It may be missing or cut if the disk is
  full, if it could not be created, or if a signal came before the first test; after SIGKILL it has
  no end.
- No process is left. This process is a subreaper, so it finds all. After SIGKILL nobody can end the
  tests, so only processes of the runner itself count, after a grace period. A probe of dispatch.sh
  that lost its caller may finish.
- TMPDIR is empty, and no lock is left. After SIGKILL the next run has to remove the lock.
- On GitHub the log has no commands but the runner's own; there is no traceback of the package
  (except for why it could not run, on a full disk), and no secret in the log or in the records.
- A later run in the same checkout without faults is green, and the records can be read.

If nox is missing, the script runs without this package: then its output and processes are its own.
"""

from __future__ import annotations

import argparse
import ctypes
import hashlib
import json
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
ROOT = TESTS.parent
sys.path.insert(0, str(TESTS))

from faults.github import Reader  # noqa: E402 - needs the path

PAYLOAD = Path(__file__).with_name("payload.py")
DISPATCH_SH = ROOT / "ci_sessions" / "resources" / "dispatch.sh"
SAMPLE = ROOT / "examples" / "checkout"
LABEL = "linux-jammy-py3.10-gcc11"
SALT = "soak"
# How often a job calls run_test.py or docs-test.sh in Python, by configuration and shard.
CALLS = {
    ("jit_legacy", "1/1"): 1, ("jit_legacy", "2/2"): 1, ("docs_test", "1/1"): 1, ("smoke", "1/1"): 4,
    ("python", "1/1"): 1, ("python", "1/2"): 1, ("distributed", "1/2"): 2, ("distributed", "2/2"): 1,
}  # fmt: skip
ONLY_SHELL = [("multigpu", "1/1"), ("no_such", "1/1"), ("smoke", "1/2")]  # whatever the flag is
FLAGS = ("0", "1", "1", "1", "shadow", "rollout", None)
ROLLOUT = """format = 1
salt = "soak"
steps = [0, 50, 100]
[targets]
fallback = 0.05
errors = 0.01
time = 0.1
[phases]
1 = { open = true }
[configurations]
jit_legacy = { phase = "1", share = 50 }
python = { phase = "1", share = 100 }
docs_test = { phase = "1", share = 0 }
"""
REASONS = {
    "0": {"flag-off"}, None: {"flag-unset"}, "1": {"flag-on"}, "shadow": {"shadow"},
    "rollout": {"split-in", "split-out", "not-in-rollout"},
}  # fmt: skip
ENVIRONMENTS = [
    {"LANG": "C", "LC_ALL": "C", "PYTHONUTF8": "0"}, {"LC_ALL": "no_SUCH"}, {"PYTHONIOENCODING": "ascii"}, {"PYTHONIOENCODING": "latin-1"},
    {"SHA1": os.fsdecode(b"a\xff")}, {"TESTS_TO_INCLUDE": os.fsdecode(b"\xff")}, {"HOME": "/nonexistent"}, {"COLUMNS": "x", "LINES": "-1"},
    {"PYTHONOPTIMIZE": "2"}, {"PYTHONWARNINGS": "error"}, {"PYTHONDEVMODE": "1"}, {"CI": "true", "CONTINUE_THROUGH_ERROR": "1"},
    {"GITHUB_STEP_SUMMARY": "/nonexistent/x"}, {"SHARD_NUMBER": "7", "NUM_TEST_SHARDS": "5"}, {"SHARD_NUMBER": "²"}, {"PATH_ADDITION": "x" * 100_000},
]  # fmt: skip
OUTPUT_FAULTS = ["random bytes", "forged commands", "huge line", "many MB", "secrets", "closed output"]  # fmt: skip
PROCESS_FAULTS = [
    "ignores TERM", "daemon (setsid)", "daemon (double fork)", "daemon that ignores TERM", "daemon without environment",
    "child in the group", "daemon holds the output",
]  # fmt: skip
REPORT_FAULTS = [
    "report: FIFO", "report: dangling link", "report: XML bomb", "report: folder", "report: link to /", "report: deep folders",
]  # fmt: skip
RECORD_FAULTS = [
    "record: deleted", "record: cut", "record: forged end", "record: FIFO", "record: folder", "record: dangling link",
    "record: folder deleted", "record: .gitignore deleted", "record: locks deleted",
]  # fmt: skip
FILE_FAULTS = ["temporary files deleted", "summary: FIFO"]
ACTIONS = [*OUTPUT_FAULTS, *PROCESS_FAULTS, *REPORT_FAULTS, *RECORD_FAULTS, *FILE_FAULTS]
BROKEN_RECORDS = {
    "records: a file": lambda path: path.touch(),
    "records: a dangling link": lambda path: path.symlink_to("/nonexistent/x"),
    "records: a device": lambda path: path.symlink_to("/dev/full"),
}
ENDS = {"hang": ("hang", 0), "stops itself": ("hang", 1), "kills its group": ("group", 0)}
SIGNALS = ("TERM", "INT", "HUP", "QUIT", "KILL")
AROUND = [
    *(f"SIG{name}" for name in SIGNALS), *(f"SIG{name}" for name in SIGNALS), "two signals", "reader goes away", "stalled reader", "closed streams",
    "file size limit", "odd environment", "odd environment", "nox is missing", *BROKEN_RECORDS,
]  # fmt: skip
DEADLY = ("ABRT", "ALRM", "BUS", "FPE", "HUP", "ILL", "INT", "KILL", "PIPE", "QUIT", "SEGV", "TERM", "USR1", "XCPU")  # fmt: skip
LIMITED = """
import os, resource, sys
hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), hard))
os.execvp(sys.argv[2], sys.argv[2:])
"""
LIMIT = 120.0  # seconds for one run
DEFECTS = (
    "survivors", "temporary files", "locks", "wrong exit codes", "tests run again", "wrong records", "forged commands",
    "tracebacks", "secrets", "hangs", "later runs", "readers stopped", "faults of the soak",
)  # fmt: skip


# --- what is drawn


@dataclass
class Run:
    """One call of dispatch, as drawn, and what was seen of it."""

    config: str
    shard: str
    flag: str | None
    entry: str
    end: tuple[str, int]
    faults: list[str] = field(default_factory=list)
    at: int = 1
    seconds: float = 0.0
    on_github: bool = False
    signals: list[tuple[str, float, bool]] = field(default_factory=list)
    odd: dict[str, str] = field(default_factory=dict)
    limit: int | None = None
    closed: str = ""
    folder: Path = Path()
    code: int | None = None
    output: bytes = b""
    is_hung: bool = False

    @property
    def calls(self):
        return CALLS.get((self.config, self.shard), 1)

    @property
    def is_killed(self):
        return any(name == "KILL" for name, _, _ in self.signals)

    @property
    def has_nox(self):
        return "nox is missing" not in self.faults

    @property
    def log(self):
        """What the payload noted: (``start`` or ``end``, route, number, code)."""
        path = self.folder / "log"
        return [line.split() for line in path.read_text().splitlines()] if path.exists() else []

    @property
    def route(self):
        """What ran tests: ``python``, ``script`` or ``multigpu``; None if nothing did."""
        return next((line[1] for line in self.log if line[0] == "start"), None)

    def has(self, *names):
        return any(fault.startswith(names) for fault in self.faults)

    def describe(self):
        shown = f"{self.config} {self.shard} flag={self.flag} {self.entry} end={self.end}@{self.at}"
        extra = f" +{self.seconds:.1f}s github={self.on_github} signals={self.signals}"
        return f"{shown}{extra} odd={list(self.odd)} limit={self.limit} faults={self.faults}"


def draw(rng, *, is_alone=True, is_plain=False):
    """Draw a run; ``is_plain``: without faults, and green."""
    config, shard = rng.choice([*CALLS, *CALLS, *ONLY_SHELL])
    entry = rng.choice(["module", "module", "sh", "bash"])
    run = Run(config, shard, rng.choice(FLAGS), entry, ("exit", 0), on_github=rng.random() < 0.5)
    if is_plain:
        return run
    run.at = rng.randint(1, run.calls)
    kind = rng.random()
    if 0.45 < kind < 0.8:
        run.end = ("exit", rng.choice([1, 2, 3, 70, 124, 126, 127, 128, 130, 143, 255, rng.randint(1, 255)]))  # fmt: skip
    elif kind >= 0.8:
        run.end = ("signal", getattr(signal, f"SIG{rng.choice(DEADLY)}"))
    names = rng.sample([*ACTIONS, *AROUND, *ENDS], rng.randint(0, 3))  # fmt: skip
    for name in names:
        add_fault(run, name, rng, is_alone=is_alone)
    return run


def add_fault(run, name, rng, *, is_alone):
    """Add a fault, unless it makes no sense beside the others."""
    if not is_possible(run, name, is_alone=is_alone):
        return
    if name in ENDS:
        run.end = ENDS[name]
    elif name == "two signals":
        first, gap = rng.uniform(0.3, 2.5), rng.choice([0.0, 0.05, 0.3, 1.0])
        pair = rng.choices(SIGNALS[:4], k=2)
        run.signals = [(pair[0], first, False), (pair[1], first + gap, False)]
        run.seconds = rng.uniform(0.5, 2.5)
    elif name.startswith("SIG"):
        run.signals = [(name[3:], rng.uniform(0.0, 3.0), rng.random() < 0.3)]
        run.seconds = rng.uniform(0.0, 2.5)
    elif name == "closed streams":
        run.closed = rng.choice(["0<&-", "1>&-", "2>&-", "0<&- 1>&- 2>&-"])
    elif name == "file size limit":
        run.limit = rng.choice([0, 100, 700, 3000])
    elif name == "odd environment":
        run.odd = rng.choice(ENVIRONMENTS)
    run.on_github |= name == "summary: FIFO"
    run.faults.append(name)


def is_possible(run, name, *, is_alone):
    """Return whether a fault can be added to those that a run has."""
    if name in RECORD_FAULTS or name == "temporary files deleted" or name in BROKEN_RECORDS:
        return is_alone  # a test can reach the files of the other run
    if name == "two signals" or name.startswith("SIG"):
        return not run.signals and run.has_nox
    if name in ENDS or name.startswith(("reader", "stalled")):
        return run.has_nox
    if name == "nox is missing":
        is_calm = not run.signals and run.end[0] == "exit" and not run.has("reader", "stalled")
        return run.entry != "module" and is_calm
    return True


# --- the checkout


def write(path, text, mode=0o755):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)


def make_template(folder):
    """Make the checkout that each round copies; git need not refresh its index in the copies."""
    shutil.copytree(SAMPLE, folder, ignore=shutil.ignore_patterns("test-reports", "__pycache__", ".ci-sessions"))  # fmt: skip
    call = f'"{sys.executable}" "{PAYLOAD}"'
    for name, route in (("pytorch/test.sh", "script"), ("pytorch/multigpu-test.sh", "multigpu")):
        write(folder / ".ci" / name, f"#!/bin/bash\n{call} {route}\nexit $?\n")
    write(folder / ".ci" / "pytorch" / "docs-test.sh", f"#!/bin/bash\nexec {call} python\n")
    run_test = f"import os, sys\nos.execv(sys.executable, [sys.executable, {str(PAYLOAD)!r}, 'python'])\n"  # fmt: skip
    write(folder / "test" / "run_test.py", run_test, 0o644)
    write(folder / "noxfile.py", "import ci_sessions.sessions\n", 0o644)
    write(folder / ".gitignore", "test/test-reports\n__pycache__\n.nox\n", 0o644)
    git = ("git", "-c", "user.name=t", "-c", "user.email=t@example.invalid")
    for args in (
        ["init", "-q"], ["config", "core.trustctime", "false"], ["config", "core.checkStat", "minimal"],
        ["add", "-A", "-f"], ["commit", "-qm", "x"],
    ):  # fmt: skip
        subprocess.run([*git, *args], cwd=folder, check=True)
    time.sleep(1.1)
    for path in folder.rglob("*"):
        if ".git" not in path.parts and path.is_file():
            os.utime(path, (1_000_000_000, 1_000_000_000))
    subprocess.run(["git", "status"], cwd=folder, check=True, stdout=subprocess.DEVNULL)


# --- processes


def become_subreaper():
    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)


def processes():
    """Return {pid: (parent, command)} of what is running; zombies are not."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, ValueError, IndexError):
            state, parent, *_ = (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()  # fmt: skip
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            if state not in "ZX":
                found[int(entry.name)] = (int(parent), command)
    return found


def survivors(mark):
    """Return the running descendants of this process, and whatever has the round's variable."""
    found, below = processes(), set()
    new = {os.getpid()}
    while new:
        new = {pid for pid, (parent, _) in found.items() if parent in new and pid not in below}
        below |= new
    for pid in found:
        with suppress(OSError):
            if mark.encode() in Path(f"/proc/{pid}/environ").read_bytes():
                below.add(pid)
    return {pid: found[pid][1] for pid in below if pid != os.getpid()}


def end_all(pids):
    for pid in pids:
        with suppress(OSError):
            os.kill(pid, signal.SIGKILL)
    time.sleep(0.02)
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


# --- one round


@dataclass
class Round:
    """One round: its folder, its runs, and what was found wrong."""

    seed: int
    number: int
    folder: Path
    runs: list[Run]
    secret: str
    later: Run | None = None
    defects: list[tuple[str, str]] = field(default_factory=list)
    records: int = 0

    @property
    def checkout(self):
        return self.folder / "py torch"

    @property
    def temporary(self):
        return self.folder / "tmp"

    def bad(self, kind, text, run=None):
        self.defects.append((kind, f"{text}{f' [{run.describe()}]' if run else ''}"))


def make_round(seed, number, base):
    rng = random.Random(f"{seed}:{number}")
    is_alone = rng.random() < 0.85
    runs = [draw(rng, is_alone=is_alone) for _ in range(1 if is_alone else 2)]
    secret = f'it\'s ${rng.getrandbits(64):016x} "quoted"'
    made = Round(seed, number, base / f"round-{number}", runs, secret)
    if any(run.is_killed for run in runs) or rng.random() < 0.3:
        made.later = draw(rng, is_plain=True)
    return made


def environment(at, run):
    """Return the environment of a run: that of this process, without CI's, with the job's."""
    left_out = ("CI", "GITHUB_", "TEST_CONFIG", "BUILD_ENV", "SHARD", "NUM_TEST", "SOAK", "COVERAGE", "NOX", "PYTHON", "SHA1", "LC_", "LANG")  # fmt: skip
    env = {name: value for name, value in os.environ.items() if not name.startswith(left_out)}
    number, total = run.shard.split("/")
    env |= {
        "PATH": f"{Path(sys.executable).parent}:{env['PATH']}", "TMPDIR": str(at.temporary), "HOME": str(at.folder / "home"),
        "XDG_CACHE_HOME": str(at.folder / "cache"), "SOAK_RUN": str(run.folder), "SOAK_TOKEN": at.secret,
        "TEST_CONFIG": run.config, "BUILD_ENVIRONMENT": LABEL, "SHARD_NUMBER": number, "NUM_TEST_SHARDS": total,
        "NOX": f"{sys.executable} -m nox" if run.has_nox else "/nonexistent/nox", "LANG": "C.UTF-8",
        "PYTHONPYCACHEPREFIX": str(at.folder.parent / "pycache"),
    }  # fmt: skip
    if run.limit is not None:  # otherwise modules are written in part, for all later rounds
        env["PYTHONDONTWRITEBYTECODE"] = "1"
    if run.flag is not None:
        env["USE_PYTHON_TEST_RUNNER"] = run.flag
    if run.on_github:
        summary = str(run.folder / "summary.md")
        env |= {"GITHUB_ACTIONS": "true", "CI": "true", "GITHUB_STEP_SUMMARY": summary}
    return env | run.odd


def command(at, run):
    args = ["--rollout", str(at.folder / "rollout.toml")]
    if run.end[0] == "hang":
        args += ["--timeout", "4"]
    if run.entry == "module":
        argv = [sys.executable, "-m", "ci_sessions", "dispatch", *args]
    else:
        argv = [run.entry, str(DISPATCH_SH), *args]
    if run.closed:
        argv = ["bash", "-c", f'exec "$@" {run.closed}', "bash", *argv]
    if run.limit is not None:
        argv = [sys.executable, "-S", "-c", LIMITED, str(run.limit), *argv]
    return argv


def conduct(at, run):
    """Start a run, read its output and send its signals as drawn, and wait for its end."""

    read, write_end = os.pipe()
    child = subprocess.Popen(
        command(at, run), cwd=at.checkout, env=environment(at, run), stdin=subprocess.DEVNULL,
        stdout=write_end, stderr=subprocess.STDOUT, start_new_session=True,
    )  # fmt: skip
    os.close(write_end)
    reader = threading.Thread(target=read_output, args=(run, read))
    reader.start()
    began = time.monotonic()
    for name, delay, to_group in run.signals:
        with suppress(subprocess.TimeoutExpired):
            child.wait(max(0.0, began + delay - time.monotonic()))
            break
        with suppress(ProcessLookupError):
            send = os.killpg if to_group else os.kill
            send(child.pid, getattr(signal, f"SIG{name}"))
    try:
        code = child.wait(LIMIT)
    except subprocess.TimeoutExpired:
        run.is_hung = True
        os.killpg(child.pid, signal.SIGKILL)
        code = child.wait()
    run.code = 128 - code if code < 0 else code
    reader.join(3)  # after SIGKILL, a test may hold the output open


def read_output(run, handle):
    if run.has("stalled reader"):
        time.sleep(3)
    pieces = []
    with suppress(OSError):
        while piece := os.read(handle, 1 << 20):
            pieces.append(piece)
            run.output = b"".join(pieces) if len(pieces) < 64 else run.output + piece
            if run.has("reader goes away") and b"\n" in piece:
                break
    os.close(handle)


def run_round(at, template):
    """Run a round and note everything that is wrong."""
    shutil.copytree(template, at.checkout, symlinks=True)
    for name in ("home", "cache", "tmp"):
        (at.folder / name).mkdir(parents=True)
    at.folder.chmod(0o755)
    (at.folder / "rollout.toml").write_text(ROLLOUT)
    for run in at.runs:
        for name, spoil in BROKEN_RECORDS.items():
            if name in run.faults:
                shutil.rmtree(at.checkout / ".ci-sessions", ignore_errors=True)
                (at.checkout / ".ci-sessions").unlink(missing_ok=True)
                spoil(at.checkout / ".ci-sessions")
                with (at.checkout / ".git" / "info" / "exclude").open("a") as ignored:
                    ignored.write(".ci-sessions\n")  # it is there before the run
    perform(at, at.runs)
    check_round(at)
    if at.later is not None:
        at.temporary.mkdir(exist_ok=True)
        perform(at, [at.later])
        check_later(at)


def perform(at, runs):
    """Do these runs at once, and end what they leave behind."""
    for number, run in enumerate(runs):
        run.folder = at.folder / f"run-{number}{'' if run in at.runs else '-later'}"
        run.folder.mkdir()
        spec = {"at": run.at, "end": run.end, "seconds": run.seconds, "seed": at.number}
        spec["actions"] = [name for name in run.faults if name in ACTIONS]
        (run.folder / "spec.json").write_text(json.dumps(spec))
    threads = [threading.Thread(target=conduct, args=(at, run)) for run in runs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    check_survivors(at, runs)


def check_survivors(at, runs):
    mark = f"SOAK_RUN={at.folder}/"
    is_killed = any(run.is_killed or run.is_hung for run in runs)
    grace = 25.0 if is_killed or any(run.signals for run in runs) else 1.0
    until = time.monotonic() + grace
    while True:
        left = survivors(mark)
        counted = {pid: text for pid, text in left.items() if not is_killed or is_runner(text)}
        if not counted or time.monotonic() > until:
            break
        is_probing = is_killed or any("--probe" in text for text in counted.values())
        until = until if is_probing else min(until, time.monotonic() + 1.0)
        time.sleep(0.05)
    if all(run.has_nox for run in runs):
        for pid, text in counted.items():
            at.bad("survivors", f"{pid} {text[:200]}")
    end_all(left)
    end_all(survivors(mark))


def is_runner(text):
    """Whether a command line is one of the package itself: not a test, nor what a test started."""
    return "ci_sessions" in text or "recorder.bash" in text or "-m nox" in text


# --- checks


def check_round(at):
    for run in at.runs:
        check_exit(at, run)
        check_output(at, run)
    check_records(at)
    check_files(at)


def natural(run):
    """Return the code with which the drawn test ends the job, if no signal stops it."""
    kind, value = run.end
    return {"exit": value, "signal": 128 + value, "group": 137, "hang": 124}[kind]


def as_seen(run, code):
    """Return an exit code as the caller sees it: through nox it is 0, 1, or that of a signal."""
    if run.entry == "module" or not run.has_nox:
        return code
    return code if code == 0 or code > 128 else 1


def check_exit(at, run):
    for line in run.log:
        if line[0] == "problem":
            at.bad("faults of the soak", " ".join(line), run)
    if run.is_hung:
        at.bad("hangs", f"killed after {LIMIT:g} s", run)
        return
    starts = [line for line in run.log if line[0] == "start"]
    ends = [int(line[3]) for line in run.log if line[0] == "end"]
    check_order(at, run, starts)
    allowed = {as_seen(run, natural(run))}
    if run.limit is not None and not starts:  # the set-up may need space, too
        allowed |= {run.code} - {0}
    for name, _, _ in run.signals:
        allowed.add(128 + getattr(signal, f"SIG{name}"))
    if run.code not in allowed:
        at.bad("wrong exit codes", f"exit {run.code}, not {sorted(allowed)}", run)
    elif run.code == 0 and (ends != [0] * len(starts) or len(ends) != wanted_calls(run)):
        at.bad("wrong exit codes", f"green, but the tests ended with {ends}", run)


def wanted_calls(run):
    return run.calls if run.route == "python" else 1


def check_order(at, run, starts):
    """Check that the right one ran the tests, each once."""
    routes = {line[1] for line in starts}
    most = run.at if natural(run) and not run.odd else run.calls
    if len(routes) > 1 or len(starts) > (most if routes == {"python"} else 1):
        at.bad("tests run again", f"{[' '.join(line) for line in run.log]}", run)
    if not routes <= expected_routes(run):
        at.bad("wrong exit codes", f"{routes} ran, not {expected_routes(run)}", run)
    needs_space = run.limit is not None and "python" in expected_routes(run)
    if not starts and not run.signals and not needs_space:
        at.bad("wrong exit codes", "nothing ran", run)


def expected_routes(run):
    """Return what may run a job's tests."""
    if run.config == "multigpu":
        return {"multigpu"}
    if not run.has_nox or (run.config, run.shard) in ONLY_SHELL:
        return {"script"}
    is_certain = not run.odd and run.limit is None  # no TMPDIR: Python cannot run the job
    python = {"python"} if is_certain else {"python", "script"}
    if run.flag != "rollout":
        return python if run.flag == "1" else {"script"}
    share = {"jit_legacy": 50, "python": 100}.get(run.config, 0)
    number, total = run.shard.split("/")
    identifier = f"{re.sub(r'[^A-Za-z0-9_+-]', '-', LABEL)}.{run.config}.{number}of{total}"
    digest = hashlib.sha256(f"{SALT}:{identifier}".encode()).digest()
    is_in = int.from_bytes(digest[:8], "big") % 100 < share
    return (python if is_in else {"script"}) if not run.odd else {"python", "script"}


def check_output(at, run):
    if not run.has_nox:
        return
    secret = re.search(r"[0-9a-f]{16}", at.secret)[0]
    if secret.encode() in run.output:
        at.bad("secrets", "in the log", run)
    text = run.output.decode(errors="replace")
    if "Exception ignored" in text or "Fatal Python error" in text:
        at.bad("tracebacks", re.search(r"(Exception ignored|Fatal).*", text)[0], run)
    elif (
        run.limit is None
        and "Traceback (most recent" in text
        and f'File "{ROOT}/ci_sessions/' in text
    ):
        at.bad("tracebacks", text[text.index("Traceback (most") :][-600:], run)
    if run.on_github:
        check_commands(at, run, text)


def check_commands(at, run, text):
    reader = Reader().feed(text).close()
    ours = {"group", "endgroup", "stop-commands", "error", "warning"}
    for found in reader.commands:
        is_odd = found.name == "stop-commands" and not re.fullmatch(r"[0-9a-f]{32}", found.data)
        if found.name not in ours or "forged" in found.properties or is_odd:
            at.bad("forged commands", f"{found}", run)
    is_cut = run.is_killed or run.closed or run.is_hung or run.has("reader goes away")
    if reader.token is not None and not is_cut:
        at.bad("forged commands", "commands are left stopped", run)


def read_records(folder):
    """Return the events of each record file; None for one that is not a regular JSON Lines file."""
    found = {}
    for path in sorted((folder / "runs").glob("*")):
        found[path.name] = None
        if path.is_symlink() or not path.is_file():
            continue
        with suppress(ValueError, KeyError):
            events = [json.loads(line) for line in path.read_text().splitlines()]
            found[path.name] = [event for event in events if event["event"]]
    return found


def check_records(at):
    """Match the records with the runs; the job's shard or its result tells two of them apart."""
    left = read_records(at.checkout / ".ci-sessions")
    at.records += len(left)
    for run in at.runs:
        if may_lack_record(run):
            left = {name: events for name, events in left.items() if len(at.runs) > 1}
            continue
        problems = {name: record_problem(run, events) for name, events in left.items()}
        right = [name for name, problem in problems.items() if problem is None]
        if right:
            del left[right[0]]
        elif run.route is not None or not run.signals:
            at.bad("wrong records", f"{problems or 'no record'}", run)
            left.clear()
        if run.has("record: folder"):  # the test's own folder stays
            left = {name: events for name, events in left.items() if events is not None}
    may_be_more = any(may_lack_record(run) for run in at.runs)
    if left and not may_be_more:
        at.bad("wrong records", f"more than one for each run: {sorted(left)}", at.runs[0])


def may_lack_record(run):
    """Whether nobody can keep the record: no space, no folder, or nobody to mend what a test does."""
    is_unmended = run.has("record:") and (not run.has_nox or run.has("SIGKILL"))
    return run.has("records:") or run.limit is not None or run.is_hung or is_unmended


def record_problem(run, events):
    """Return why these events are not the right record of the run; None if they are."""
    if not events or events[0]["event"] != "run started":
        return "not a readable record" if events is None else f"it starts with {events[:1]}"
    first, last = events[0], events[-1]
    reasons = {"multigpu"} if run.config == "multigpu" else REASONS[run.flag]
    reasons = reasons if run.has_nox else {*reasons, "undecided"}
    seen = {"python": {"python"}, None: {"python", "shell"}}.get(run.route, {"shell"})
    for what, value, allowed in (
        ("configuration", first.get("job", {}).get("config"), {run.config}),
        ("runner", first.get("runner"), seen),
        ("reason", first.get("route", {}).get("reason"), reasons),
    ):
        if value not in allowed:
            return f"the {what} is {value}"
    if last["event"] != "run ended":
        return None if run.is_killed else "it has no end"
    return outcome_problem(run, last.get("outcome"), last.get("exit_code"))


def outcome_problem(run, outcome, code):
    if not run.has_nox:
        return None if outcome == "unknown" else f"the outcome is {outcome}"
    allowed = {("failed" if natural(run) else "passed", natural(run))}
    allowed |= {("interrupted", 128 + getattr(signal, f"SIG{name}")) for name, _, _ in run.signals}
    if (outcome, code) not in allowed:
        return f"the outcome is {outcome}, exit {code}"
    if outcome == "passed" and run.code and not run.signals:
        return "it says passed, but the run is red"
    return "it says interrupted, but the run is green" if outcome == "interrupted" and not run.code else None  # fmt: skip


def check_files(at):
    """Check what is left in TMPDIR and beside the records, and that no file has a secret."""
    is_killed = any(run.is_killed or run.is_hung for run in at.runs)
    if not is_killed:
        for path in at.temporary.iterdir() if at.temporary.is_dir() else ():
            at.bad("temporary files", path.name, at.runs[0])
        check_locks(at)
    secret = re.search(r"[0-9a-f]{16}", at.secret)[0].encode()
    kept = [at.checkout / ".ci-sessions", at.folder / "cache", *(r.folder for r in at.runs)]
    for folder in kept:
        for path in folder.rglob("*") if not folder.is_symlink() else ():
            if path.is_file() and not path.is_symlink() and secret in path.read_bytes():
                at.bad("secrets", f"in {path.name}", at.runs[0])


def check_locks(at):
    folder = at.checkout / ".ci-sessions"
    left = [*(folder / "active").glob("*"), *(folder / "runs").glob(".*")]
    for path in left if not folder.is_symlink() else ():
        at.bad("locks", path.name, at.runs[0])


def check_later(at):
    """Check the run without faults in the same checkout, and that a reader is not stopped."""
    run = at.later
    before = len(at.defects)
    check_exit(at, run)
    check_output(at, run)
    found = read_records(at.checkout / ".ci-sessions")
    at.records += 1
    can_record = not any(one.has("records:") for one in at.runs)
    problems = [record_problem(run, events) for events in found.values()]
    if can_record and None not in problems:
        at.bad("later runs", f"no right record: {problems}", run)
    if can_record:
        check_locks(at)
    done = subprocess.run(
        [sys.executable, "-m", "ci_sessions", "rollout", "--json"], cwd=at.checkout,
        env=environment(at, run), capture_output=True, text=True, check=False, timeout=LIMIT,
    )  # fmt: skip
    if done.returncode and can_record:
        at.bad("readers stopped", f"exit {done.returncode}: {done.stderr[-300:]}", run)
    for kind, text in at.defects[before:]:
        if kind not in ("later runs", "readers stopped"):
            at.bad("later runs", f"{kind}: {text}")


# --- all rounds


@dataclass
class Totals:
    """What all rounds together did and found."""

    flags: Counter = field(default_factory=Counter)
    faults: Counter = field(default_factory=Counter)
    ends: Counter = field(default_factory=Counter)
    defects: Counter = field(default_factory=Counter)
    rounds: int = 0
    runs: int = 0
    records: int = 0

    def add(self, at):
        self.rounds += 1
        self.records += at.records
        for run in [*at.runs, *([at.later] if at.later else [])]:
            self.runs += 1
            self.flags[run.flag or "unset"] += 1
            self.faults.update(run.faults or ["none"])
            is_signalled = run.signals and run.code == 128 + getattr(signal, f"SIG{run.signals[0][0]}")  # fmt: skip
            self.ends["green" if run.code == 0 else "stopped by a signal" if is_signalled else "red"] += 1  # fmt: skip
        self.faults["two runs at once"] += len(at.runs) > 1
        self.defects.update(kind for kind, _ in at.defects)

    def show(self):
        def row(name, text):
            print(f"{name:18} {text}")

        def joined(counts):
            return ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))

        row("rounds", f"{self.rounds}, runs {self.runs}, records {self.records}")
        row("by flag", joined(self.flags))
        row("by result", joined(self.ends))
        row("by fault", joined(self.faults))
        for kind in DEFECTS:
            row(kind, self.defects[kind])


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=10.0, help="how long (default: 10)")
    parser.add_argument("--seed", type=int, help="the seed (default: from the clock)")
    parser.add_argument("--round", type=int, help="repeat only this round, and show its output")
    options = parser.parse_args()
    seed = int(time.time()) % 100_000 if options.seed is None else options.seed
    become_subreaper()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    totals, until = Totals(), time.monotonic() + 60 * options.minutes
    print(f"seed {seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        base = Path(folder)
        base.chmod(0o755)
        make_template(base / "template")
        number = options.round or 0
        while options.round is not None or time.monotonic() < until:
            at = make_round(seed, number, base)
            run_round(at, base / "template")
            totals.add(at)
            for kind, text in at.defects:
                print(f"--seed {seed} --round {number}: {kind}: {text}", flush=True)
            if options.round is not None:
                show_round(at)
                break
            shutil.rmtree(at.folder, ignore_errors=True)
            number += 1
    totals.show()
    return 1 if totals.defects.total() else 0


def show_round(at):
    for run in [*at.runs, *([at.later] if at.later else [])]:
        print(f"== {run.describe()}: exit {run.code}\n{run.log}")
        print(run.output[-6000:].decode(errors="replace"))
    for path in sorted((at.checkout / ".ci-sessions").rglob("*.jsonl")):
        print(f"== {path.name}")
        if path.is_file() and not path.is_symlink():
            print(path.read_text(errors="replace")[-4000:])


if __name__ == "__main__":
    sys.exit(main())
