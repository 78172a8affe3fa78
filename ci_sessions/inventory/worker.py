"""The process that asks run_test.py which tests it selects, in a sandbox that it can never leave.

It works in a small copy of the checkout: run_test.py, the tools that it imports, the timing files,
and an empty file for each test. Each line of standard input has questions that share an
environment, and its answers are a line of standard output. For each line it forks once, imports
run_test.py there, and forks again for each question, to call its ``main`` with ``--dry-run``.
"""

from __future__ import annotations

import functools
import importlib
import json
import os
import re
import resource
import signal
import sys
import traceback
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ci_sessions.inventory.standin import UnanswerableError, install, pretend
from ci_sessions.run.sandbox import confine

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import ModuleType

RUN_TEST = "test/run_test.py"
_CPU_SECONDS = 60  # for the questions of one line
_MAX_TEXT = 1 << 20  # characters of output that are kept
_IMPORT = re.compile(r"^\s*(?:from|import)\s+([\w.]+)", re.MULTILINE)
_NOT_IMPORTED = ("antigravity", "idlelib", "this", "tkinter", "turtle", "turtledemo")
_READERS = ("test/", "tools/stats/", "tools/testing/")


def main(args: Sequence[str]) -> int:
    """Enter the sandbox, then answer questions until standard input ends.

    ``args``: the folder, and the user's ID. The first line of input names the file with the copy of
    the checkout; the reply to it lists the parts of the sandbox.
    """
    base, user = Path(args[0]), int(args[1])
    stage = json.loads(Path(json.loads(sys.stdin.readline())["stage"]).read_bytes())
    _preload(stage)
    parts = confine(base, [Path(sys.executable).resolve()], user)
    root = base / "checkout"
    _write(stage, root)
    print(json.dumps({"sandbox": parts}), flush=True)
    sys.dont_write_bytecode = False  # what the forks compile is kept for the next ones
    for line in sys.stdin:
        print(json.dumps({"answers": _answers(json.loads(line), stage, root)}), flush=True)
    return 0


def _preload(stage: dict[str, Any]) -> None:
    """Import what the files import of Python itself: once, and while this user may read it."""
    texts = (text for name, text in stage["files"].items() if name.startswith(_READERS))
    names = {name for text in texts for name in _IMPORT.findall(text)}
    for name in sorted({*names, "multiprocessing.pool"}):
        top = name.partition(".")[0]
        if top in sys.stdlib_module_names and top not in _NOT_IMPORTED:
            with suppress(Exception):
                importlib.import_module(name)


def _write(stage: dict[str, Any], root: Path) -> None:
    for name, text in {**dict.fromkeys(stage["empty"], ""), **stage["files"]}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def _answers(request: dict[str, Any], stage: dict[str, Any], root: Path) -> list[dict[str, Any]]:
    """Answer all questions of a line.

    If run_test.py reads a variable that differs between them when it is imported, it is imported
    again for each.
    """
    questions, answers = request["questions"], root.parent / "answers"
    varying = {name for question in questions for name in question["env"]}
    found: list[dict[str, Any]] = []
    while len(found) < len(questions):
        rest = questions[len(found) :]
        answers.unlink(missing_ok=True)
        ask = functools.partial(_import_and_ask, request, rest, varying, stage, root, answers)
        _in_fork(ask)
        new = _read_lines(answers)[: len(rest)]
        found += new or [{"fault": "the process that asked it ended without an answer"}]
    return found


def _in_fork(act: Callable[[], None]) -> None:
    child = os.fork()
    if not child:
        try:
            act()
        finally:
            os._exit(0)
    with suppress(ChildProcessError):
        os.waitpid(child, 0)


def _read_lines(path: Path) -> list[dict[str, Any]]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines]
    except (OSError, ValueError):
        return []


def _import_and_ask(  # noqa: PLR0913, PLR0917 - the state of a fork
    request: dict[str, Any],
    questions: Sequence[dict[str, Any]],
    varying: set[str],
    stage: dict[str, Any],
    root: Path,
    answers: Path,
) -> None:
    """Import run_test.py in this process, and add its answers to a file, a line for each."""
    resource.setrlimit(resource.RLIMIT_CPU, (_CPU_SECONDS, _CPU_SECONDS + 1))
    output = _capture(root.parent / "output")
    reads = _Reads({**request["env"], **questions[0]["env"]})
    _set_environment(reads)
    _write_times(stage["times_of_build"], request["build"], root)
    os.chdir(root)
    install(request["facts"], root / "torch/testing/_internal/common_utils.py")
    pretend(request["facts"])
    failure, module = _import_run_test(root)
    is_shared = not reads.names & varying
    _set_environment(dict(reads))
    for question in questions if is_shared or failure else questions[:1]:

        def ask(question: dict[str, Any] = question) -> None:
            answer = failure or _ask(module, question, root, output)
            with answers.open("a", encoding="utf-8") as file:
                file.write(json.dumps(answer) + "\n")

        before = len(_read_lines(answers))
        _in_fork(ask)
        if len(_read_lines(answers)) == before:
            with answers.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"fault": "its process ended without an answer"}) + "\n")


def _write_times(times: dict[str, dict[str, str]], build: str, root: Path) -> None:
    """Write the timing file of a build, for the releases that read that of one build."""
    for name in {name for files in times.values() for name in files}:
        (root / name).unlink(missing_ok=True)
    for name, text in times.get(build, {}).items():
        (root / name).write_text(text, encoding="utf-8")


class _Reads(dict[bytes, bytes]):
    """The data of an environment, which notes the names that are read."""

    def __init__(self, variables: dict[str, str]) -> None:
        super().__init__({os.fsencode(k): os.fsencode(v) for k, v in variables.items()})
        self.names: set[str] = set()

    def __getitem__(self, key: bytes) -> bytes:
        self.names.add(os.fsdecode(key))
        return super().__getitem__(key)

    def __contains__(self, key: object) -> bool:
        if isinstance(key, bytes):
            self.names.add(os.fsdecode(key))
        return super().__contains__(key)


def _set_environment(data: dict[bytes, bytes]) -> None:
    os.environ._data = data  # type: ignore[attr-defined]  # noqa: SLF001 - of run_test.py


def _capture(path: Path) -> Path:
    """Redirect this process's output to a file, and its input from nothing."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
    empty = os.open(os.devnull, os.O_RDONLY)
    os.dup2(empty, 0)
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    return path


def _import_run_test(root: Path) -> tuple[dict[str, Any] | None, Any]:
    """Return what went wrong, or None, and the module."""
    sys.path.insert(0, str(root / "test"))
    sys.argv = [RUN_TEST]
    try:
        import run_test  # type: ignore[import-not-found]  # noqa: PLC0415 - the checkout's
    except BaseException as error:  # noqa: BLE001 - whatever it is, it is the answer
        return _fault(error), None
    return None, run_test


def _fault(error: BaseException) -> dict[str, Any]:
    if isinstance(error, UnanswerableError):
        return {"unanswerable": str(error)}
    text = "".join(traceback.format_exception_only(type(error), error)).strip()
    return {"fault": text[-2000:]}


def _ask(module: ModuleType, question: dict[str, Any], root: Path, output: Path) -> dict[str, Any]:
    os.environ.update(question["env"])
    os.chdir(root / question["cwd"])
    os.truncate(output, 0)
    found: dict[str, Any] = {}
    _record(module, found)
    sys.argv = question["argv"]
    signal.alarm(_CPU_SECONDS)
    code: Any = 0
    try:
        module.main()
    except SystemExit as error:
        code = error.code
    except BaseException as error:  # noqa: BLE001 - whatever it is, it is the answer
        found.update(_fault(error))
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    text = output.read_text(encoding="utf-8", errors="replace")[:_MAX_TEXT]
    code = code if isinstance(code, int) else int(code is not None)
    if hasattr(module, "must_serial"):
        found["serial"] = [name for name in found.get("selected", ()) if module.must_serial(name)]
    return {**found, "code": code, "text": text, "processes": _processes()}


def _processes() -> int:
    """Return with how many parallel files the division into shards calculates."""
    module = sys.modules.get("tools.testing.test_selections")
    count = getattr(module, "NUM_PROCS", 1)
    return int(getattr(module, "NUM_PROCS_FOR_SHARDING_CALC", count))


def _record(module: ModuleType, found: dict[str, Any]) -> None:
    """Note what run_test.py's own functions return: the selected files, and all shards."""
    if hasattr(module, "get_selected_tests"):
        select = module.get_selected_tests

        def get_selected_tests(*args: Any, **more: Any) -> Any:  # noqa: ANN401 - as it is
            selected = select(*args, **more)
            found["selected"] = [str(name) for name in selected]
            return selected

        module.get_selected_tests = get_selected_tests  # type: ignore[attr-defined]
    if hasattr(module, "calculate_shards"):
        divide = module.calculate_shards

        def calculate_shards(*args: Any, **more: Any) -> Any:  # noqa: ANN401 - as it is
            shards = divide(*args, **more)
            times = args[2] if len(args) > 2 else {}  # noqa: PLR2004 - (count, tests, times)
            found.setdefault("shards", [[t, [_part(one, times) for one in s]] for t, s in shards])
            return shards

        module.calculate_shards = calculate_shards  # type: ignore[attr-defined]


def _part(test: Any, times: Any) -> list[Any]:  # noqa: ANN401 - depends on the release
    """Return a part of a file as it is printed, and its seconds; older releases have no parts."""
    return [str(test), times.get(test) if isinstance(test, str) else test.time]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
