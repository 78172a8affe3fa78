"""What the checkout of a soak round runs instead of tests: it does the harm that the round drew.

``payload.py ROUTE`` notes in the run's folder that it starts and with which code it ends, so that
the soak knows what really ran. The folder, with ``spec.json``, is named by the variable SOAK_RUN.
"""

from __future__ import annotations

import json
import os
import random
import resource
import shlex
import shutil
import signal
import stat
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

RUN = Path(os.environ["SOAK_RUN"])
SPEC = json.loads((RUN / "spec.json").read_text())
RECORDS = Path(".ci-sessions")
REPORTS = Path("test/test-reports")
FORGED = (
    "::add-mask::x", "  ::error::forged", "##[error]forged", "a ##[add-mask]forged", "::stop-commands::evil", "\u2003::warning::forged",
    "\r::error::forged", "x\r\n::debug::forged", "::set-output name=a::forged", "::endgroup::", "::group::forged", "\x1b[2K::error::forged",
)  # fmt: skip
BOMB = (
    '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">'
    '<!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;">]><testsuite><testcase name="&c;"/></testsuite>'
)
SLEEP = "import time; time.sleep(300)"
STUBBORN = "import signal, time; [signal.signal(s, signal.SIG_IGN) for s in (1, 2, 3, 15)]; "


def note(*words):
    """Append a line to the run's log, also if a limit on the size of files applies."""
    with suppress(ValueError, OSError):
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        if soft != hard:
            resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    with (RUN / "log").open("a") as log:
        log.write(" ".join(map(str, words)) + "\n")


def out(data: bytes):
    """Write to standard output, which an action may have closed."""
    view = memoryview(data)
    with suppress(OSError):
        while view:
            view = view[os.write(1, view) :]


# --- processes


def start(code, *, quiet=True, session=True, **more):
    stream = subprocess.DEVNULL if quiet else None
    argv = [sys.executable, "-S", "-c", code]
    child = subprocess.Popen(
        argv, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream,
        start_new_session=session, **more,
    )  # fmt: skip
    child.returncode = 0  # with PYTHONWARNINGS=error, Python complains that it is still running
    time.sleep(0.1)


def fork_twice():
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            null = os.open(os.devnull, os.O_RDWR)
            for number in (0, 1, 2):
                os.dup2(null, number)
            time.sleep(300)
        os._exit(0)


def ignore_term():
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)


# --- output


def random_bytes():
    out(random.Random(SPEC["seed"]).randbytes(3000))


def forged_commands():
    for text in FORGED:
        out(f"{text}\n".encode())
    out(b"no end of line: ::error::forged")


def huge_line():
    out(b"FAILED " + b":" * 5_000_000)


def many_lines():
    line = b"x" * 199 + b"\n"
    for _ in range(100):
        out(line * 300)


def secrets():
    secret = os.environ["SOAK_TOKEN"]
    for text in (secret, repr(secret), json.dumps(secret), shlex.quote(secret), f"{[secret]}"):
        out(f"{text}\n".encode())
    middle = len(secret) // 2
    out(secret[:middle].encode())
    time.sleep(0.5)
    out(f"{secret[middle:]}\n".encode())
    REPORTS.mkdir(parents=True, exist_ok=True)
    (REPORTS / "secret.xml").write_text(
        f'<t><testcase name="a"><failure message="{secret.replace(chr(39), "&apos;")}"/></testcase></t>'
    )


def close_output():
    os.close(1)
    os.close(2)


# --- files


def report(make):
    def act():
        REPORTS.mkdir(parents=True, exist_ok=True)
        make(REPORTS / f"soak-{time.monotonic_ns()}.xml")

    return act


def make_deep(path):
    here = Path.cwd()
    try:
        os.chdir(REPORTS)
        for _ in range(300):
            Path("d").mkdir()
            os.chdir("d")
    except FileExistsError:
        pass
    finally:
        os.chdir(here)


def own_record(spoil):
    """Spoil the newest record, which is this run's if no other one runs."""

    def act():
        found = sorted((RECORDS / "runs").glob("*.jsonl"), key=lambda path: path.lstat().st_mtime)
        for path in found[-1:]:
            if stat.S_ISREG(path.lstat().st_mode):  # an earlier action may have replaced it
                spoil(path)

    return act


def replaced(make):
    def spoil(path):
        path.unlink()
        make(path)

    return spoil


def forge(path):
    with path.open("a") as file:
        file.write('{"event": "run ended", "outcome": "passed", "exit_code": 0}\n')


def delete_gitignore():
    with suppress(NotADirectoryError):
        (RECORDS / ".gitignore").unlink(missing_ok=True)


def delete_temporary():
    for path in Path(os.environ["TMPDIR"]).iterdir():
        shutil.rmtree(path, ignore_errors=True)


def spoil_summary():
    path = Path(os.environ["GITHUB_STEP_SUMMARY"])
    with suppress(FileNotFoundError):
        path.unlink(missing_ok=True)
        os.mkfifo(path)


ACTIONS = {
    "ignores TERM": ignore_term,
    "daemon (setsid)": lambda: start(SLEEP),
    "daemon (double fork)": fork_twice,
    "daemon that ignores TERM": lambda: start(STUBBORN + "time.sleep(300)"),
    "daemon without environment": lambda: start(SLEEP, env={}),
    "child in the group": lambda: start(SLEEP, session=False),
    "daemon holds the output": lambda: start(SLEEP, quiet=False),
    "random bytes": random_bytes,
    "forged commands": forged_commands,
    "huge line": huge_line,
    "many MB": many_lines,
    "secrets": secrets,
    "closed output": close_output,
    "report: FIFO": report(os.mkfifo),
    "report: dangling link": report(lambda path: path.symlink_to("/nowhere")),
    "report: XML bomb": report(lambda path: path.write_text(BOMB)),
    "report: folder": report(lambda path: path.mkdir()),
    "report: link to /": report(lambda path: path.with_suffix("").symlink_to("/")),
    "report: deep folders": report(make_deep),
    "record: deleted": own_record(lambda path: path.unlink()),
    "record: cut": own_record(lambda path: os.truncate(path, 10)),
    "record: forged end": own_record(forge),
    "record: FIFO": own_record(replaced(os.mkfifo)),
    "record: folder": own_record(replaced(lambda path: path.mkdir())),
    "record: dangling link": own_record(replaced(lambda path: path.symlink_to("/nowhere/x"))),
    "record: folder deleted": lambda: shutil.rmtree(RECORDS, ignore_errors=True),
    "record: .gitignore deleted": delete_gitignore,
    "record: locks deleted": lambda: shutil.rmtree(RECORDS / "active", ignore_errors=True),
    "temporary files deleted": delete_temporary,
    "summary: FIFO": spoil_summary,
}


def end(route, number, wanted):
    """End as the round drew: an exit code, a signal, never, or with the whole process group."""
    kind, value = wanted
    if kind == "hang":
        if value:
            os.kill(os.getpid(), signal.SIGSTOP)
        time.sleep(300)
    code = {"exit": value, "signal": 128 + value, "group": 137}[kind]
    note("end", route, number, code)
    if kind == "group":
        os.killpg(0, signal.SIGKILL)
    if kind == "signal":
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        with suppress(OSError):
            signal.signal(value, signal.SIG_DFL)
        os.kill(os.getpid(), value)
    os._exit(code)


def main():
    route = sys.argv[1]
    log = RUN / "log"
    lines = log.read_text().splitlines() if log.exists() else []
    number = 1 + sum(line.startswith(f"start {route} ") for line in lines)
    note("start", route, number)
    out(f"{route} {number}\n".encode())
    if number != (SPEC["at"] if route == "python" else 1):
        end(route, number, ("exit", 0))
    for name in SPEC["actions"]:
        try:
            ACTIONS[name]()
        except OSError as error:
            note("problem", name, repr(error))
    time.sleep(SPEC["seconds"])
    end(route, number, SPEC["end"])


if __name__ == "__main__":
    main()
