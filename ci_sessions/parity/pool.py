"""Trace a checkout's own script for many jobs, in a pool of sandboxed processes with a cache.

The calling process reads the checkout and manages the cache. It runs nothing of the script.
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
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, Any

from ci_sessions import clock
from ci_sessions.errors import InternalError, MissingToolError
from ci_sessions.log import logger
from ci_sessions.parity.recording import Fault, FaultKind, Recording, from_dict
from ci_sessions.parity.sharing import group_jobs, has_read, unmentioned, watching
from ci_sessions.parity.staging import places_below
from ci_sessions.parity.tracer import RECORDER
from ci_sessions.records.folder import create_folder
from ci_sessions.run.process import LineProcess
from ci_sessions.run.scratch import assign_user, remove
from ci_sessions.run.temporary import make_temporary_folder

if TYPE_CHECKING:
    from ci_sessions.parity.profile import Profile
    from ci_sessions.parity.staging import Stage

__all__ = ["Cache", "trace_jobs"]

Variables = Mapping[str, str]
Request = dict[str, Any]
LIMIT = 20.0
"""Time limit for one job, in seconds; a real job takes a tenth of a second."""
_GRACE = 20.0  # seconds after the limit in which a worker must report that it was reached
_CACHE_SECONDS = 30 * 24 * 3600.0  # unused recordings are removed after this time


@dataclass(slots=True)
class Cache:
    """Recordings in a folder, by the hash of script, job and answers. None disables the cache.

    Recordings that contain secrets, which ``redact`` would change, are not stored.
    """

    folder: Path | None
    redact: Callable[[str], str] = str
    hits: int = 0

    def get(self, key: str) -> Recording | None:
        """Return a cached recording, or None if there is none that can be read."""
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
        """Store a recording atomically. Write errors, such as a full disk, are ignored."""
        if self.folder is None:
            return
        text = json.dumps(recording.to_dict())
        if self.redact(text) != text:
            return
        with suppress(OSError):
            create_folder(self.folder.parent)
            self.folder.mkdir(exist_ok=True, mode=0o700)
            partial = self.folder / f"{key}.{os.getpid()}.partial"
            handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
            with os.fdopen(handle, "wb") as file:
                file.write(gzip.compress(text.encode(), compresslevel=3))
            partial.replace(self.folder / f"{key}.json.gz")

    def prune(self) -> None:
        """Remove recordings that have not been used for a month."""
        if self.folder is None or not self.folder.is_dir():
            return
        oldest = clock.now().timestamp() - _CACHE_SECONDS
        for path in self.folder.iterdir():
            with suppress(OSError):
                if path.stat().st_mtime < oldest:
                    path.unlink()


def trace_jobs(  # noqa: PLR0913 - all are options of the caller
    jobs: Sequence[Variables],
    stage: Stage,
    profile: Profile,
    *,
    cache: Cache | None = None,
    workers: int = 0,
    limit: float = LIMIT,
    unknown: Sequence[Sequence[str]] = (),
) -> Iterator[Recording]:
    """Trace the stage's script for each job's variables; yield recordings in the jobs' order.

    ``workers`` is the number of processes; 0 means one per CPU. ``limit`` is in seconds per job.
    Jobs that differ only in what the script never reads are traced once. ``unknown`` has, for each
    job, the names of variables whose values are known only at run time (see ``Tracer.trace``).
    """
    cache = cache or Cache(None)
    bash, tools = _programs()
    requests = [
        {"variables": dict(job), "unknown": list(names)}
        for job, names in zip(jobs, unknown or [()] * len(jobs), strict=True)
    ]
    keys = _keys(requests, stage, profile, bash)
    known = {key: found for key in dict.fromkeys(keys) if (found := cache.get(key))}
    missing = {key: job for key, job in zip(keys, requests, strict=True) if key not in known}
    if not missing:
        yield from (known[key] for key in keys)
        return
    count = min(workers or os.cpu_count() or 1, len(missing))
    with _pool(stage, profile, (bash, tools), count, limit) as pool:
        unread = _unread(missing, stage, profile) if len(missing) > 1 else frozenset()
        futures = pool.trace_all(missing, unread, count)
        for key in keys:
            if key not in known:
                known[key] = futures[key].result()
                if known[key].is_repeatable:
                    cache.put(key, known[key])
            yield known[key]
    cache.prune()


def _unread(jobs: Mapping[str, Request], stage: Stage, profile: Profile) -> frozenset[str]:
    """Return the variables of the jobs that nothing mentions that takes part in a trace."""
    answers = profile.to_bash(places_below(Path("/"))).encode()
    texts = (answers, RECORDER.read_bytes(), *stage.files.values())
    return unmentioned(jobs.values(), texts)


def _keys(jobs: Sequence[Request], stage: Stage, profile: Profile, bash: Path) -> list[str]:
    """Hash everything that a recording depends on: script, profile, job, this code, and bash."""
    common = hashlib.sha256()
    for code in (*sorted(Path(__file__).parent.glob("*.py")), RECORDER):
        common.update(code.read_bytes() + b"\0")
    status = bash.stat()
    for text in (profile.digest, stage.digest, f"{bash} {status.st_size} {status.st_mtime_ns}"):
        common.update(text.encode() + b"\0")
    keys = []
    for job in jobs:
        key = common.copy()
        key.update(json.dumps(job, sort_keys=True).encode())
        keys.append(key.hexdigest())
    return keys


@dataclass(slots=True)
class _Pool:
    """Idle workers, and how to start one. A worker that dies is replaced."""

    base: Path
    args: tuple[str, ...]
    limit: float
    idle: SimpleQueue[_Worker | None] = field(default_factory=SimpleQueue)
    started: list[_Worker] = field(default_factory=list)
    is_ended: bool = False
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def start(self) -> _Worker:
        worker = _Worker(self.base / f"worker{next(self._numbers)}", self.args, self.limit)
        self.started.append(worker)
        return worker

    def end(self) -> None:
        """End all workers immediately, including those that are tracing."""
        self.is_ended = True
        for worker in self.started:
            worker.process.terminate()

    def trace_all(
        self, jobs: Mapping[str, Request], unread: frozenset[str], threads: int
    ) -> dict[str, Future[Recording]]:
        """Start tracing jobs, in this many threads; return a future for each.

        ``unread`` are variables that the script hardly reads: jobs that differ only in these are
        traced once, if it does not. The threads are daemons, so they do not delay the exit of this
        process after a signal.
        """
        futures: dict[str, Future[Recording]] = {key: Future() for key in jobs}
        pending: SimpleQueue[list[str]] = SimpleQueue()
        for group in group_jobs(jobs, unread):
            pending.put(group)

        def work() -> None:
            while True:
                try:
                    group = pending.get_nowait()
                except Empty:
                    return
                self.trace_group({key: jobs[key] for key in group}, unread, futures)

        for _ in range(threads):
            Thread(target=work, daemon=True).start()
        return futures

    def trace_group(
        self,
        jobs: Mapping[str, Request],
        unread: frozenset[str],
        futures: Mapping[str, Future[Recording]],
    ) -> None:
        """Trace jobs that differ only in these variables: once, if the script reads none."""
        shared = None
        for number, (key, job) in enumerate(jobs.items()):
            try:
                if len(jobs) > 1 and not number:
                    shared = self.trace_for_all(job, unread)
                futures[key].set_result(shared or self.trace(job))
            except Exception as error:  # noqa: BLE001 - raised where the result is used
                futures[key].set_exception(error)

    def trace_for_all(self, job: Request, unread: frozenset[str]) -> Recording | None:
        """Return a recording that does not depend on these variables, or None."""
        recording = self.trace(watching(job, unread))
        return None if has_read(recording, unread) else recording

    def trace(self, job: Request) -> Recording:
        worker = self.idle.get()
        if worker is None:
            worker = self.replacement()
        if worker is None:
            return _lost("no tracing process can be started")
        reply = worker.ask(job, self.limit + _GRACE)
        if reply is None:
            worker.process.terminate()
            self.idle.put(None)
            return _lost(f"the tracing process died: {worker.last_error()}")
        self.idle.put(worker)
        return from_dict(json.loads(reply))

    def replacement(self) -> _Worker | None:
        """Start a worker in place of one that died; None, and nobody waits, if that fails."""
        try:
            if not self.is_ended:
                return self.start()
        except (InternalError, OSError) as error:
            logger.warning("%s", error)
        self.idle.put(None)
        return None


def _lost(text: str) -> Recording:
    return Recording(0, (), fault=Fault(FaultKind.LOST, text))


class _Worker:
    """One sandboxed process and its temporary folder."""

    def __init__(self, base: Path, args: tuple[str, ...], limit: float) -> None:
        base.mkdir()
        self.errors = base.with_suffix(".log")
        own_args = (str(base), str(limit), str(assign_user(base)))
        argv = (sys.executable, "-m", "ci_sessions.parity.tracer", *own_args, *args)
        package = str(Path(__file__).resolve().parents[2])
        env = {"PYTHONPATH": package, "PYTHONDONTWRITEBYTECODE": "1", "LC_ALL": "C.UTF-8"}
        self.process = LineProcess(argv, env=env, stderr=self.errors)
        reply = self.ask({"stage": str(base.parent / "stage")}, _GRACE)
        if reply is None:
            self.process.terminate()
            raise InternalError(f"the tracing process did not start: {self.last_error()}")
        _log_sandbox(json.loads(reply)["sandbox"])

    def ask(self, request: Mapping[str, object], limit: float) -> str | None:
        return self.process.ask(json.dumps(request), limit)

    def last_error(self) -> str:
        text = self.errors.read_text(errors="replace").strip()
        return text.splitlines()[-1] if text else "no error output"


def _log_sandbox(parts: Sequence[str]) -> None:
    """Log the parts of the sandbox. Without Landlock, warn that bash itself is not confined."""
    logger.debug("tracing in a sandbox with: %s", ", ".join(parts) or "nothing")
    if not any(part.startswith("landlock") for part in parts):
        logger.warning(
            "this system has no Landlock: the traced script cannot run programs, but it can "
            "redirect output to files outside its temporary folder"
        )


@contextmanager
def _pool(
    stage: Stage, profile: Profile, programs: tuple[Path, Path], count: int, limit: float
) -> Iterator[_Pool]:
    """Start workers in a temporary folder; always end them and remove it."""
    base = make_temporary_folder()
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
    """Return the path of bash, and the folder of the real tools that traces may use."""
    bash, sed = shutil.which("bash"), shutil.which("sed")
    if bash is None or sed is None:
        raise MissingToolError("tracing needs bash and sed on the PATH: install what is missing.")
    return Path(bash), Path(sed).parent
