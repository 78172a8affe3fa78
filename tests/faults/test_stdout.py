"""Standard output in trouble: a green run stays green, a red one red, and limits still work."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest
from faults.conftest import DISPATCH_SH, is_alive, wait_for

pytestmark = pytest.mark.measures


def start(tree, *args, stdout, flag="1", **more):
    return subprocess.Popen(
        [sys.executable, "-m", "ci_sessions", "dispatch", *args],
        cwd=tree.root,
        env=tree.environment(flag, **more),
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("flag", ["0", "1"])
@pytest.mark.parametrize("code", [0, 5])
@pytest.mark.parametrize(
    "reader", ["| head -1", "| true", "> /dev/full", "| sleep 1", "| (sleep 1; cat) >/dev/null"]
)
def test_the_result_is_that_of_the_tests(tree, flag, code, reader):
    tree.tests("print('x' * 300_000); sys.exit(int(os.environ['CODE']))")
    tree.script("head -c 300000 /dev/zero | tr '\\0' x; exit $CODE")
    line = (
        f"set -o pipefail; {{ {sys.executable} -m ci_sessions dispatch; echo $? > code; }} {reader}"
    )
    tree.call("bash", "-c", line, flag=flag, CODE=str(code))
    assert (tree.root / "code").read_text().strip() == str(code)
    (record,) = tree.records()
    assert record["outcome"] == ("failed" if code else "passed")


@pytest.mark.parametrize("flag", ["0", "1"])
@pytest.mark.parametrize("code", [0, 5])
@pytest.mark.parametrize("reader", ["| head -1", "> /dev/full"])
@pytest.mark.parametrize("runner", ["module", "sh"])
def test_both_streams_may_lose_their_reader(tree, flag, code, reader, runner):
    """Python exits with 120 if it cannot write what is left in a stream."""
    tree.tests("print('x' * 300_000); sys.exit(int(os.environ['CODE']))")
    tree.script("head -c 300000 /dev/zero | tr '\\0' x; exit $CODE")
    module = f"{sys.executable} -m ci_sessions dispatch"
    command = module if runner == "module" else f"sh {DISPATCH_SH}"
    line = f"{{ {command}; echo $? > code; }} 2>&1 {reader}"
    env = {"NOX": f"{sys.executable} -m nox", "PYTHONUNBUFFERED": None}
    tree.call("bash", "-c", line, flag=flag, CODE=str(code), **env)
    expected = code if runner == "module" else bool(code)
    assert (tree.root / "code").read_text().strip() == str(int(expected))


def test_a_stalled_reader_stops_neither_the_time_limit_nor_the_record(tree):
    read, write = os.pipe()
    tree.tests("open('pids', 'w').write(str(os.getpid()))\nwhile True: print('x' * 10_000)")
    process = start(tree, "--timeout", "3", stdout=write)
    os.close(write)
    wait_for(lambda: any(record["outcome"] == "failed" for record in tree.records()))
    assert not is_alive(int((tree.root / "pids").read_text()))
    os.close(read)
    process.communicate(timeout=20)
    assert process.returncode == 124


def test_a_stalled_reader_stops_no_signal(tree):
    read, write = os.pipe()
    tree.tests("open('pids', 'w').write(str(os.getpid()))\nwhile True: print('x' * 10_000)")
    process = start(tree, stdout=write)
    os.close(write)
    wait_for((tree.root / "pids").exists)
    time.sleep(2)
    process.terminate()
    wait_for(lambda: [record["outcome"] for record in tree.records()] == ["interrupted"])
    assert not is_alive(int((tree.root / "pids").read_text()))
    process.terminate()  # what is left to print is given up
    process.communicate(timeout=20)
    os.close(read)
    assert process.returncode == 143


def test_a_slow_reader_gets_everything(tree):
    tree.tests("[print(n, 'x' * 1000) for n in range(3000)]")
    process = start(tree, stdout=subprocess.PIPE)
    pieces = []
    while piece := process.stdout.read(100_000):
        pieces.append(piece)
        time.sleep(0.02)
    process.communicate(timeout=60)
    text = "".join(pieces)
    assert [line.split()[0] for line in text.splitlines() if line.endswith("x" * 1000)] == [
        str(n) for n in range(3000)
    ]
    assert process.returncode == 0


def test_an_output_that_does_not_block_gets_everything(tree):
    """Another process may have made the shared pipe non-blocking."""
    tree.tests("[print(n, 'x' * 1000) for n in range(3000)]")
    code = (
        "import os, subprocess, sys; read, write = os.pipe(); os.set_blocking(write, False)\n"
        "child = subprocess.Popen([sys.executable, '-m', 'ci_sessions', 'dispatch'], stdout=write)\n"
        "os.close(write); import time; time.sleep(3); text = b''\n"
        "while piece := os.read(read, 65536): text += piece\n"
        "found = child.wait(), text.count(b'x' * 1000)\n"
        "sys.exit(0 if found == (0, 3000) else str(found))"
    )
    done = tree.call(sys.executable, "-c", code, flag="1")
    assert done.returncode == 0, done.stderr


def test_bytes_pass_through_unchanged(tree):
    tree.tests(r"sys.stdout.buffer.write(b'a\xff\xfe\xc3\xa9\n')")
    assert b"a\xff\xfe\xc3\xa9\n" in tree.dispatch(flag="1", text=False).stdout
    done = tree.dispatch(flag="1", text=False, PYTHONIOENCODING="latin-1")
    assert b"a\xff\xfe\xc3\xa9\n" in done.stdout
