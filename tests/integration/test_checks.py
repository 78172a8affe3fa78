"""Checks in one Python that imports a module once: each is as if it ran alone."""

from __future__ import annotations

import os
import sys
import time

import pytest
from integration.conftest import is_alive

from ci_sessions.run.checks import Checks
from ci_sessions.run.process import Reason
from ci_sessions.run.signals import Signals

MODULE = "import os\nwith open('imports', 'a') as file:\n    file.write('x')\nprint('imported')\n"


@pytest.fixture
def check(tmp_path):
    """Run checks of a module in ``tmp_path``; return the result, with the output."""
    (tmp_path / "checked.py").write_text(MODULE)
    checks = Checks()

    def run(code, *, timeout=30.0, python=sys.executable, **env):
        pieces = []
        result = checks.run(
            (python, "-c", f"import checked; {code}"), "checked", cwd=tmp_path,
            env={**os.environ, **env}, emit=pieces.append, timeout=timeout,
            on_tick=lambda _: None, is_ready=lambda: True, signals=Signals(),
        )  # fmt: skip
        return result, "".join(pieces)

    run.checks, run.folder = checks, tmp_path
    yield run
    checks.close()


def imports(check):
    return len((check.folder / "imports").read_text())


def test_the_module_is_imported_once(check):
    first, output = check("print(checked.os.getcwd(), __name__)")
    assert (first.code, output) == (0, f"imported\n{check.folder} __main__\n")
    assert check("import sys; print(sys.argv, sys.stdin.read())")[1] == "['-c'] \n"
    assert check("print('x' * 1_000_000)")[1] == "x" * 1_000_000 + "\n"
    assert imports(check) == 1


def test_a_check_that_changes_something_changes_nothing_for_the_next(check):
    assert check("checked.value = 1; print(hasattr(checked, 'value'))")[1].endswith("True\n")
    assert check("print(hasattr(checked, 'value'))")[1] == "False\n"


@pytest.mark.parametrize(
    ("code", "expected", "text"),
    [
        ("raise SystemExit(3)", 3, ""),
        ("raise SystemExit", 0, ""),
        ("raise SystemExit('no')", 1, "no\n"),
        ("1 / 0", 1, "ZeroDivisionError: division by zero\n"),
        ("nonsense(", 1, "SyntaxError: '(' was never closed\n"),
        ("import os; os.kill(os.getpid(), 11)", 139, ""),
        ("import os; os.abort()", 134, ""),
        ("import os; os._exit(7)", 7, ""),
    ],
)
def test_the_exit_code_is_that_of_the_check_alone(check, code, expected, text):
    check("pass")
    result, output = check(code)
    assert (result.code, result.reason) == (expected, Reason.EXIT)
    assert output.endswith(text)
    assert "<string>" in output or not text.count("Error")
    assert check("print('next')")[1] == "next\n"
    assert imports(check) == 1


def test_a_check_that_hangs_is_terminated_and_the_next_one_runs(check):
    check("pass")
    began = time.monotonic()
    result, _ = check("import time; time.sleep(60)", timeout=0.5)
    assert (result.code, result.reason) == (124, Reason.TIMEOUT)
    assert time.monotonic() - began < 20
    assert check("print('next')")[1] == "imported\nnext\n"


def test_a_check_cannot_answer_for_itself(check):
    forged = "import os\nfor n in range(3, 30):\n  try: os.write(n, b'[0, 0, 0]\\\\n')\n  except OSError: pass"
    result, _ = check(f"exec('''{forged}'''); raise SystemExit(5)")
    assert result.code == 5
    assert check("print('next')")[1] == "next\n"


def test_a_process_that_a_check_leaves_running_is_terminated(check):
    code = "import subprocess; print(subprocess.Popen(['sleep', '60'], stdout=-3).pid)"
    result, output = check(code)
    assert (result.code, result.left_behind) == (0, 1)
    assert not is_alive(int(output.split()[-1]))
    assert check("print('next')")[1].endswith("next\n")


def test_an_import_that_fails_is_the_error_of_each_check(check):
    (check.folder / "checked.py").write_text("raise ImportError('no library')\n")
    for _ in range(2):
        result, output = check("pass")
        assert result.code == 1
        assert output.endswith("ImportError: no library\n")


def test_an_import_that_crashes_is_the_crash_of_each_check(check):
    (check.folder / "checked.py").write_text("import os\nos.kill(os.getpid(), 11)\n")
    assert [check("pass")[0].code for _ in range(2)] == [139, 139]


def test_another_environment_is_another_process(check):
    code = "import os; print(os.environ['WHICH'])"
    assert check(code, WHICH="one")[1] == "imported\none\n"
    assert check(code, WHICH="two")[1] == "imported\ntwo\n"


def test_a_python_that_is_missing(check):
    result, output = check("pass", python="/nonexistent/python")
    assert (result.code, result.reason) == (127, Reason.NOT_FOUND)
    assert output == "/nonexistent/python: No such file or directory\n"


def test_time_and_memory_are_those_of_the_check(check):
    check("pass")
    idle, _ = check("pass")
    busy, _ = check("import time\nwhile time.process_time() < 0.5: pass")
    large, _ = check("b = bytearray(100_000_000)")
    assert idle.cpu < busy.cpu
    assert busy.cpu >= 0.4
    assert large.peak > idle.peak + 80_000_000


def test_nothing_is_left_after_the_end(check):
    check("pass")
    pid = int(check("import os; print(os.getppid())")[1])
    check.checks.close()
    assert not is_alive(pid)


def test_an_import_that_fails_once_is_not_tried_again(check):
    (check.folder / "checked.py").write_text(
        "import os\nif not os.path.exists('seen'):\n    open('seen', 'w').close()\n    1 / 0\n"
    )
    result, output = check("print('fine')")
    assert (result.code, "fine" in output) == (1, False)
    assert output.endswith("ZeroDivisionError: division by zero\n")


def test_a_python_that_may_not_be_executed(check):
    path = check.folder / "python"
    path.write_text("")
    result, _ = check("pass", python=str(path))
    assert (result.code, result.reason) == (126, Reason.NOT_FOUND)
