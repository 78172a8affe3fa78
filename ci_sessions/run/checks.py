"""Checks of an installed package, in one Python that imports it once.

The script starts a Python for each check, and each imports torch, which takes seconds. Here one
process imports it, and forks for each check: a check may crash, and leaves nothing to the next one.
What a check prints, its exit code, its time and its memory are its own, and the first one's time
contains the import. If that fails, so does each check. What Python does at its end is left out. A
check that hangs is terminated with the process, and the next one starts another.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess  # noqa: TID251 - constants only
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from ci_sessions import clock
from ci_sessions.run import process
from ci_sessions.run.descendants import left_in_group
from ci_sessions.run.pipe import PipeReader
from ci_sessions.run.process import ProcessResult, Reason
from ci_sessions.run.termination import reap, shell_code, terminate_group

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from ci_sessions.run.signals import Signals

__all__ = ["Checks"]

_TICK = 0.02  # seconds between checks of the process and the time limit
_CHUNK = 4096
# Reads a line of JSON for each check from standard input. After it, writes a line with its wait
# status, its CPU time (seconds, with that of this process since the last one) and its peak (KiB).
_SERVER = """\
import os, sys
control, module = int(sys.argv.pop()), sys.argv.pop()
os.set_inheritable(control, False)
failure = None
try:
    __import__(module)
except BaseException as error:
    failure = error
import json, resource, traceback, warnings
warnings.filterwarnings("ignore", ".*multi-threaded, use of fork.*", DeprecationWarning)
flush = lambda: (sys.stdout.flush(), sys.stderr.flush())
spent = 0.0
for line in sys.stdin.buffer:
    flush()
    child = os.fork()
    if not child:
        os.close(control)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        code = 0
        try:
            if failure is not None:
                raise failure  # not imported again: it might work then
            exec(compile(json.loads(line), "<string>", "exec"), {"__name__": "__main__"})
        except SystemExit as error:
            code = error.code if isinstance(error.code, int) else int(error.code is not None)
            if error.code is not None and error.code is not code:
                print(error.code, file=sys.stderr)
        except BaseException as error:
            frames = error.__traceback__ if error is failure else error.__traceback__.tb_next
            traceback.print_exception(type(error), error, frames)
            code = 1
        flush()
        os._exit(code & 0xFF)
    _, status, used = os.wait4(child, 0)
    own = sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
    cpu = used.ru_utime + used.ru_stime + own - spent
    spent = own
    os.write(control, json.dumps([status, cpu, used.ru_maxrss]).encode() + b"\\n")
"""


class Checks:
    """Runs ``python -c CODE`` as ``process.stream`` does, with a module that is imported once."""

    def __init__(self) -> None:
        self._server: _Server | None = None

    def run(  # noqa: PLR0913 - a process has this many settings
        self,
        argv: Sequence[str],
        module: str,
        *,
        cwd: Path,
        env: Mapping[str, str],
        emit: Callable[[str], None],
        timeout: float | None,
        on_tick: Callable[[float], None],
        is_ready: Callable[[], bool],
        signals: Signals,
    ) -> ProcessResult:
        """Run a check and return how it ended; see ``process.stream``."""
        python, _, code = argv
        settings = (python, module, cwd, dict(env))
        start = clock.monotonic()
        if self._server is None or self._server.settings != settings:
            self.close()
            try:
                self._server = _Server(*settings)
            except OSError as error:
                return process.not_started(error, python, emit, clock.monotonic() - start)
        server = self._server
        try:
            result = server.run(code, start, emit, timeout, on_tick, is_ready, signals)
        except BaseException:
            self.close()
            raise
        if not server.is_running:
            self.close()
        return result

    def close(self) -> None:
        """Kill the process, if there is one."""
        server, self._server = self._server, None
        if server is not None:
            server.close()


class _Server:
    """The process that has imported the module."""

    def __init__(self, python: str, module: str, cwd: Path, env: dict[str, str]) -> None:
        self.settings = (python, module, cwd, env)
        self._answers, control = os.pipe()
        os.set_blocking(self._answers, False)
        self._rest = b""
        try:
            self._child = process.start(
                [python, "-c", _SERVER, module, str(control)],
                cwd=cwd,
                env=env,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                pass_fds=(control,),
            )
        except BaseException:
            os.close(self._answers)
            raise
        finally:
            os.close(control)

    @property
    def is_running(self) -> bool:
        return self._child.returncode is None

    def run(  # noqa: PLR0913, PLR0917 - the arguments of ``Checks.run``
        self,
        code: str,
        start: float,
        emit: Callable[[str], None],
        timeout: float | None,
        on_tick: Callable[[float], None],
        is_ready: Callable[[], bool],
        signals: Signals,
    ) -> ProcessResult:
        output = PipeReader(self._stdout, emit)
        self._ask(code)
        while True:
            elapsed = clock.monotonic() - start
            result = self._result(elapsed, timeout, signals)
            if result is not None:
                break
            output.read(_TICK) if is_ready() else output.wait(_TICK)
            on_tick(elapsed)
        output.drain()
        output.finish()
        return result

    @property
    def _stdout(self) -> Any:  # noqa: ANN401 - a pipe, since Popen was given one
        return self._child.stdout

    def _ask(self, code: str) -> None:
        stdin = self._child.stdin
        if stdin is not None:
            with suppress(BrokenPipeError):  # it has ended, which is noticed below
                stdin.write(json.dumps(code).encode() + b"\n")
                stdin.flush()

    def _result(
        self, elapsed: float, timeout: float | None, signals: Signals
    ) -> ProcessResult | None:
        """Return how the check ended, or None while it runs."""
        answer = self._answer()
        if answer is not None:
            status, cpu, peak = answer
            left = left_in_group(self._child.pid, leaders=1)
            if left:
                terminate_group(self._child, signal.SIGTERM, signals)
            code = shell_code(os.waitstatus_to_exitcode(int(status)))
            return ProcessResult(code, elapsed, cpu, int(peak) * 1024, left_behind=left)
        usage = reap(self._child)
        reason, code = Reason.EXIT, shell_code(self._child.returncode or 0)
        if usage is None:
            signum = signals.noted()
            if not signum and (timeout is None or elapsed <= timeout):
                return None
            reason = Reason.SIGNAL if signum else Reason.TIMEOUT
            code = process.SIGNALLED + signum if signum else process.TIMED_OUT
            first = signal.SIGINT if signum == signal.SIGINT else signal.SIGTERM
            usage = terminate_group(self._child, first, signals)
        cpu, peak = (usage.ru_utime + usage.ru_stime, usage.ru_maxrss) if usage else (0.0, 0)
        # A process that ends by itself before it answers has crashed, even if it ended with 0.
        return ProcessResult(code or 1, elapsed, cpu, peak * 1024, reason)

    def _answer(self) -> list[float] | None:
        with suppress(BlockingIOError):
            self._rest += os.read(self._answers, _CHUNK)
        line, newline, rest = self._rest.partition(b"\n")
        if not newline:
            return None
        self._rest = rest
        return list(json.loads(line))

    def close(self) -> None:
        if self.is_running:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._child.pid, signal.SIGKILL)
            reap(self._child, wait=True)
        os.close(self._answers)
        for pipe in (self._child.stdin, self._child.stdout):
            if pipe is not None:
                with suppress(BrokenPipeError):
                    pipe.close()
