"""Trace a checkout's own script for many jobs: sandboxed processes, and a cache of recordings.

The caller's process reads the checkout and keeps the cache; nothing of the script runs in it.
"""

from __future__ import annotations

import gzip
import hashlib
import itertools
import json
import os
import pickle
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING

from ci_sessions import clock
from ci_sessions.errors import InternalError, MissingToolError
from ci_sessions.log import logger
from ci_sessions.parity.recording import Fault, FaultKind, Recording, from_dict
from ci_sessions.parity.staging import remove
from ci_sessions.parity.tracer import RECORDER
from ci_sessions.run.process import LineProcess
from ci_sessions.run.sandbox import NOBODY

if TYPE_CHECKING:
    from ci_sessions.parity.profile import Profile
    from ci_sessions.parity.staging import Stage

__all__ = ["Cache", "trace_jobs"]

Variables = Mapping[str, str]
LIMIT = 20.0
"""Seconds that one job may take; a real one takes a tenth of a second."""
_USERS = itertools.count(0x4000_0000 + 64 * os.getpid())  # beyond those of people and services
_SLACK = 20.0  # seconds over the limit in which a worker must say that it was reached
_KEPT = 30 * 24 * 3600.0  # seconds after which an unused recording is dropped


@dataclass(slots=True)
class Cache:
    """Recordings in a folder, by the hash of script, job and answers; None keeps none."""

    folder: Path | None
    hits: int = 0

    def get(self, key: str) -> Recording | None:
        """Return what was recorded before; a file that cannot be read is as none."""
        if self.folder is None:
            return None
        path = self.folder / f"{key}.json.gz"
        try:
            with gzip.open(path, "rt", encoding="utf-8") as file:
                found = from_dict(json.load(file))
            os.utime(path)
        except (OSError, ValueError, KeyError, EOFError):
            return None
        self.hits += 1
        return found

    def put(self, key: str, recording: Recording) -> None:
        """Keep a recording, whole or not at all. A full disk costs only the next run's time."""
        if self.folder is None:
            return
        with suppress(OSError):
            self.folder.mkdir(parents=True, exist_ok=True)
            ignore = self.folder.parent / ".gitignore"
            if not ignore.exists():
                ignore.write_text("*\n", encoding="utf-8")
            partial = self.folder / f"{key}.{os.getpid()}.partial"
            with gzip.open(partial, "wt", encoding="utf-8", compresslevel=3) as file:
                json.dump(recording.to_dict(), file)
            partial.replace(self.folder / f"{key}.json.gz")

    def prune(self) -> None:
        """Drop what was not used for a month."""
        if self.folder is None or not self.folder.is_dir():
            return
        oldest = clock.now().timestamp() - _KEPT
        for path in self.folder.iterdir():
            with suppress(OSError):
                if path.stat().st_mtime < oldest:
                    path.unlink()


def trace_jobs(  # noqa: PLR0913 - each is a choice of the caller's
    jobs: Sequence[Variables],
    stage: Stage,
    profile: Profile,
    *,
    cache: Cache | None = None,
    workers: int = 0,
    limit: float = LIMIT,
) -> Iterator[Recording]:
    """Trace the stage's script for each job's variables; give the recordings in the jobs' order.

    ``workers`` is how many run at once; 0 is one a processor. ``limit`` is in seconds, for a job.
    Jobs that differ in nothing are traced once.
    """
    cache = cache or Cache(None)
    bash, tools = _programs()
    keys = _keys(jobs, stage, profile, bash)
    known = {key: found for key in dict.fromkeys(keys) if (found := cache.get(key))}
    missing = {key: job for key, job in zip(keys, jobs, strict=True) if key not in known}
    if not missing:
        yield from (known[key] for key in keys)
        return
    count = min(workers or os.cpu_count() or 1, len(missing))
    with _pool(stage, profile, (bash, tools), count, limit) as pool:
        futures = pool.trace_all(missing, count)
        for key in keys:
            if key not in known:
                known[key] = futures[key].result()
                if known[key].is_repeatable:
                    cache.put(key, known[key])
            yield known[key]
    cache.prune()


def _keys(jobs: Sequence[Variables], stage: Stage, profile: Profile, bash: Path) -> list[str]:
    """Hash all that a recording depends on: script, profile, job, our own code, and bash."""
    common = hashlib.sha256()
    for code in (*sorted(Path(__file__).parent.glob("*.py")), RECORDER):
        common.update(code.read_bytes() + b"\0")
    seen = bash.stat()
    for text in (profile.digest, stage.digest, f"{bash} {seen.st_size} {seen.st_mtime_ns}"):
        common.update(text.encode() + b"\0")
    keys = []
    for job in jobs:
        own = common.copy()
        own.update(json.dumps(dict(job), sort_keys=True).encode())
        keys.append(own.hexdigest())
    return keys


@dataclass(slots=True)
class _Pool:
    """Idle workers, and how to start one; a worker that was lost is replaced."""

    base: Path
    words: tuple[str, ...]
    limit: float
    idle: SimpleQueue[_Worker] = field(default_factory=SimpleQueue)
    started: list[_Worker] = field(default_factory=list)
    is_ended: bool = False

    def start(self) -> _Worker:
        worker = _Worker(self.base / f"worker{len(self.started)}", self.words, self.limit)
        self.started.append(worker)
        return worker

    def end(self) -> None:
        """End all workers, now; what they were tracing is lost."""
        self.is_ended = True
        for worker in self.started:
            worker.process.end()

    def trace_all(
        self, jobs: Mapping[str, Variables], threads: int
    ) -> dict[str, Future[Recording]]:
        """Begin to trace jobs, so many at once; return what will come of each.

        The threads are daemons: a signal that cuts this process off, wherever it is, leaves none
        that its end would wait for.
        """
        futures: dict[str, Future[Recording]] = {key: Future() for key in jobs}
        todo: SimpleQueue[str] = SimpleQueue()
        for key in jobs:
            todo.put(key)

        def serve() -> None:
            while True:
                try:
                    key = todo.get_nowait()
                except Empty:
                    return
                try:
                    futures[key].set_result(self.trace(jobs[key]))
                except Exception as error:  # noqa: BLE001 - whoever waits for the result gets it
                    futures[key].set_exception(error)

        for _ in range(threads):
            Thread(target=serve, daemon=True).start()
        return futures

    def trace(self, job: Variables) -> Recording:
        worker = self.idle.get()
        answer = worker.ask({"variables": dict(job)}, self.limit + _SLACK)
        if answer is None:
            worker.process.end()
            if not self.is_ended:
                self.idle.put(self.start())
            text = f"the tracing process was lost: {worker.last_words()}"
            return Recording(0, (), fault=Fault(FaultKind.LOST, text))
        self.idle.put(worker)
        return from_dict(json.loads(answer))


class _Worker:
    """One confined process and its throwaway folder."""

    def __init__(self, base: Path, words: tuple[str, ...], limit: float) -> None:
        base.mkdir()
        self.errors = base.with_suffix(".log")
        own = (str(base), str(limit), str(_give_away(base)))
        argv = (sys.executable, "-m", "ci_sessions.parity.tracer", *own, *words)
        package = str(Path(__file__).resolve().parents[2])
        env = {"PYTHONPATH": package, "PYTHONDONTWRITEBYTECODE": "1", "LC_ALL": "C.UTF-8"}
        self.process = LineProcess(argv, env=env, errors=self.errors)
        hello = self.ask({"stage": str(base.parent / "stage")}, _SLACK)
        if hello is None:
            self.process.end()
            raise InternalError(f"the tracing process did not start: {self.last_words()}")
        _log_sandbox(json.loads(hello)["sandbox"])

    def ask(self, request: Mapping[str, object], limit: float) -> str | None:
        return self.process.ask(json.dumps(request), limit)

    def last_words(self) -> str:
        text = self.errors.read_text(errors="replace").strip()
        return text.splitlines()[-1] if text else "it said nothing"


def _give_away(folder: Path) -> int:
    """Give root's folder to a user that has nothing else, and return who that is.

    Each worker has a user of its own: limits of processes count all that a user has, so one
    script's fork bomb would starve the others.
    """
    if os.geteuid() == 0:
        for user in (next(_USERS), NOBODY):
            with suppress(OSError):  # a container may not have that user, or keep root from it
                os.chown(folder, user, user)
                return user
    return NOBODY


def _log_sandbox(parts: Sequence[str]) -> None:
    """Log what keeps a script in; without Landlock, warn of what bash could do by itself."""
    logger.debug("tracing in a sandbox of: %s", ", ".join(parts) or "nothing")
    if not any(part.startswith("landlock") for part in parts):
        logger.warning(
            "this system has no Landlock: programs are kept from running, but a redirection of "
            "the traced script to a file elsewhere would be obeyed"
        )


@contextmanager
def _pool(
    stage: Stage, profile: Profile, programs: tuple[Path, Path], count: int, limit: float
) -> Iterator[_Pool]:
    """Start workers in a throwaway folder; end them and remove it, whatever happens."""
    base = _throwaway()
    pool = _Pool(base, tuple(map(str, programs)), limit)
    try:
        (base / "stage").write_bytes(pickle.dumps((stage, profile)))
        for _ in range(count):
            pool.idle.put(pool.start())
        yield pool
    finally:
        pool.end()
        remove(base)


def _programs() -> tuple[Path, Path]:
    """Return bash, and the folder of the tools that may answer."""
    bash, sed = shutil.which("bash"), shutil.which("sed")
    if bash is None or sed is None:
        raise MissingToolError("tracing needs bash and sed on the PATH: install them.")
    return Path(bash), Path(sed).parent


def _throwaway() -> Path:
    """Make a folder whose path a script can name without quotes, and anyone can reach."""
    for parent in (Path(tempfile.gettempdir()).resolve(), Path("/var/tmp"), Path("/tmp")):  # noqa: S108 - mkdtemp makes it safe
        is_plain = all(char.isalnum() or char in "/._-" for char in str(parent))
        is_open = all(path.stat().st_mode & 0o001 for path in (parent, *parent.parents))
        if is_plain and is_open and os.access(parent, os.W_OK):
            base = Path(tempfile.mkdtemp(prefix="ci-sessions-", dir=parent))
            base.chmod(0o711)
            return base
    raise InternalError("there is no folder for temporary files: set TMPDIR to one without spaces.")
