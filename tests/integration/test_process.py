from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path

import pytest
from integration.conftest import is_alive, wait_for

from ci_sessions.run import process, termination
from ci_sessions.run.descendants import adopt_orphans, descendants, terminate_descendants
from ci_sessions.run.process import Reason, capture, stream
from ci_sessions.run.signals import Interrupted, raise_on_signals


def run(tmp_path, *argv, **more):
    pieces = []
    ended = stream(argv, cwd=tmp_path, env=dict(os.environ), emit=pieces.append, **more)
    return ended, pieces


def python(code):
    return (sys.executable, "-u", "-c", code)


def test_output_and_exit_code_arrive(tmp_path):
    ended, pieces = run(tmp_path, "bash", "-c", "echo out; echo err >&2; exit 7")
    assert (ended.code, ended.reason) == (7, Reason.EXIT)
    assert "".join(pieces) == "out\nerr\n"


def test_lines_arrive_while_the_child_runs(tmp_path):
    """The first line arrives while the child is still waiting for a reply."""
    seen = tmp_path / "seen"
    code = f"import os,time\nprint('one')\nwhile not os.path.exists({str(seen)!r}): time.sleep(.01)\nprint('two')"
    pieces = []

    def emit(text):
        pieces.append(text)
        seen.touch()

    stream(python(code), cwd=tmp_path, env=dict(os.environ), emit=emit, timeout=20)
    assert pieces == ["one\n", "two\n"]


def test_half_a_line_is_passed_on_when_the_child_pauses(tmp_path):
    code = "import sys,time\nsys.stdout.write('half'); sys.stdout.flush(); time.sleep(1); print(' whole')"
    _, pieces = run(tmp_path, *python(code))
    assert pieces == ["half", " whole\n"]


def test_bytes_that_are_not_text_pass_through_as_they_are(tmp_path):
    _, pieces = run(tmp_path, "printf", r"a\xffb\xc3\xa9\n")
    assert "".join(pieces).encode("utf-8", "surrogateescape") == b"a\xffb\xc3\xa9\n"


def test_a_character_may_be_split_over_two_writes(tmp_path):
    code = "import os,time\nos.write(1, b'\\xc3'); time.sleep(.5); os.write(1, b'\\xa9\\n')"
    _, pieces = run(tmp_path, *python(code))
    assert "".join(pieces) == "é\n"


def test_time_and_memory_are_the_systems_accounting(tmp_path):
    code = "x = bytearray(200_000_000)\nfor i in range(3_000_000): pass"
    ended, _ = run(tmp_path, *python(code))
    assert ended.peak > 200_000_000
    assert ended.cpu > 0
    assert ended.wall > 0


@pytest.mark.parametrize(("argv", "code"), [(("no-such-program",), 127), (("/etc/passwd",), 126)])
def test_a_program_that_cannot_start_is_reported(tmp_path, argv, code):
    ended, pieces = run(tmp_path, *argv)
    assert (ended.code, ended.reason) == (code, Reason.NOT_FOUND)
    assert argv[0] in pieces[0]


def test_a_signal_gives_the_exit_code_of_a_shell(tmp_path):
    assert run(tmp_path, "bash", "-c", "kill -9 $$")[0].code == 137


def test_a_time_limit_ends_the_whole_group(tmp_path):
    ended, _ = run(tmp_path, "bash", "-c", "sleep 100 & echo $! > pid; wait", timeout=0.5)
    assert (ended.code, ended.reason) == (124, Reason.TIMEOUT)
    assert not is_alive(int((tmp_path / "pid").read_text()))


def test_a_child_that_ignores_being_asked_is_killed(tmp_path, monkeypatch):
    monkeypatch.setattr(termination, "GRACE", 0.3)
    ended, _ = run(
        tmp_path, "bash", "-c", "trap '' TERM; echo go; while :; do sleep 0.1; done", timeout=0.5
    )
    assert ended.code == 124
    assert ended.wall < 10


def test_processes_left_behind_are_counted_and_ended(tmp_path):
    ended, _ = run(tmp_path, "bash", "-c", "sleep 100 & echo $! > pid")
    assert ended.code == 0
    assert ended.left_behind == 1
    assert not is_alive(int((tmp_path / "pid").read_text()))


def test_an_interrupt_terminates_the_group_and_propagates(tmp_path):
    pid_file = tmp_path / "pid"

    def interrupt():
        wait_for(lambda: pid_file.exists() and pid_file.read_text().strip())
        os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with raise_on_signals(), pytest.raises(Interrupted) as caught:
        run(tmp_path, "bash", "-c", "sleep 100 & echo $! > pid; wait")
    thread.join()
    assert caught.value.exit_code == 143
    assert not is_alive(int(pid_file.read_text()))


def test_signals_are_as_before_afterwards():
    before = signal.getsignal(signal.SIGTERM)
    with raise_on_signals():
        assert signal.getsignal(signal.SIGTERM) != before
    assert signal.getsignal(signal.SIGTERM) == before


def test_in_another_thread_signals_are_left_alone():
    seen = []

    def body():
        with raise_on_signals():
            seen.append(signal.getsignal(signal.SIGTERM))

    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    assert seen == [before]


def test_a_daemon_that_left_the_group_is_found(tmp_path):
    before = descendants()
    adopt_orphans()
    ended, _ = run(
        tmp_path,
        "bash",
        "-c",
        "setsid bash -c 'echo $$ > pid; exec sleep 100' >/dev/null 2>&1 & sleep 0.5",
    )
    pid = int((tmp_path / "pid").read_text())
    assert ended.code == 0
    assert is_alive(pid)
    assert terminate_descendants(before) == 1
    assert not is_alive(pid)


def test_short_questions(tmp_path):
    env = dict(os.environ)
    assert capture("echo a; exit 3", cwd=tmp_path, env=env) == process.ShellOutput(3, "a")
    assert capture("sleep 9", cwd=tmp_path, env=env, timeout=0.2).code == 124
    assert capture("echo", cwd=tmp_path, env={"PATH": str(Path("/none"))}).code in (0, 127)


def test_a_line_that_grows_slowly_is_seen_as_it_grows(tmp_path):
    code = "import sys,time\nfor _ in range(12): sys.stdout.write('.'); sys.stdout.flush(); time.sleep(.1)"
    _, pieces = run(tmp_path, *python(code))
    assert len(pieces) >= 3
    assert "".join(pieces) == "." * 12


def test_a_helper_that_ends_just_after_the_command_is_not_left_behind(tmp_path):
    ended, _ = run(tmp_path, "bash", "-c", "sleep 0.2 >/dev/null 2>&1 &")
    assert (ended.code, ended.left_behind) == (0, 0)
    ended, _ = run(tmp_path, "bash", "-c", "sleep 60 >/dev/null 2>&1 &")
    assert (ended.code, ended.left_behind) == (0, 1)
