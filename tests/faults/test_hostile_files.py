"""Files that a test leaves behind change no verdict, of this run or of a later one."""

from __future__ import annotations

import time

import pytest

from ci_sessions.run import case_scanner
from ci_sessions.run.case_scanner import CaseScanner
from ci_sessions.run.cases import read_cases
from ci_sessions.run.reports import Limits, find_reports

REPORTS = "os.makedirs('test/test-reports', exist_ok=True)\n"
GOOD = '<testsuite><testcase classname="a" name="b"/></testsuite>'
BOMB = (
    '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">'
    '<!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;">]><testsuite><testcase name="&c;"/></testsuite>'
)
LEFT = {
    "a dangling link": "os.symlink('/nowhere', 'test/test-reports/a.xml')",
    "a link to a device": "os.symlink('/dev/zero', 'test/test-reports/a.xml')",
    "a link out of the tree": "os.symlink('/etc/passwd', 'test/test-reports/a.xml')",
    "a link to itself": "os.symlink('a.xml', 'test/test-reports/a.xml')",
    "a folder that links to the root": "os.symlink('/', 'test/test-reports/root')",
    "a FIFO": "os.mkfifo('test/test-reports/a.xml')",
    "a folder": "os.makedirs('test/test-reports/a.xml')",
    "no permission": "open('test/test-reports/a.xml', 'w').close(); os.chmod('test/test-reports/a.xml', 0)",
    "large": f"open('test/test-reports/a.xml', 'w').write({GOOD!r} + ' ' * 80_000_000)",
    "an unknown encoding": "open('test/test-reports/a.xml', 'w').write('<?xml version=\"1.0\" encoding=\"bogus\"?><a/>')",
    "a multi-byte encoding": "open('test/test-reports/a.xml', 'w').write('<?xml version=\"1.0\" encoding=\"euc-jp\"?><a/>')",
    "not UTF-8": r"open('test/test-reports/a.xml', 'wb').write(b'<a>\xff</a>')",
    "an entity bomb": f"open('test/test-reports/a.xml', 'w').write({BOMB!r})",
    "many entries": "[open(f'test/test-reports/{n}.xml', 'w').close() for n in range(30_000)]",
    "deep folders": "os.chdir('test/test-reports')\nfor n in range(900): os.mkdir('d'); os.chdir('d')\nos.chdir('/')",
    "deep elements": "open('test/test-reports/a.xml', 'w').write('<a>' * 500_000)",
    "one long attribute": "open('test/test-reports/a.xml', 'w').write('<testcase name=\"' + 'x' * 40_000_000)",
    "a name that is not UTF-8": r"open(b'test/test-reports/\xff.xml', 'w').write('x')",
    "a new line in the name": r"open('test/test-reports/a\n::error::x.xml', 'w').write('x')",
    "the folder is a link": "os.rmdir('test/test-reports'); os.symlink('/', 'test/test-reports')",
    "the folder is a file": "os.rmdir('test/test-reports'); open('test/test-reports', 'w').close()",
}  # fmt: skip


@pytest.mark.parametrize("left", LEFT)
@pytest.mark.parametrize("flag", ["0", "1"])
def test_what_is_left_in_the_reports_changes_no_result(tree, left, flag):
    code = REPORTS + LEFT[left] + "\nsys.exit(int(os.environ.get('CODE', '0')))"
    tree.tests(code).script(f"python3 - <<'E'\nimport os, sys\n{code}\nE")
    began = time.monotonic()
    assert tree.dispatch(flag=flag, CODE="0").returncode == 0
    (tree.root / "ran").unlink()
    tree.tests("sys.exit(int(os.environ['CODE']))").script("exit $CODE")
    assert tree.dispatch(flag=flag, CODE="0").returncode == 0, "a later run"
    assert tree.dispatch(flag=flag, CODE="5").returncode == 5, "a later run"
    assert time.monotonic() - began < 60


def test_a_report_that_grows_while_it_is_read_ends(tmp_path):
    path = tmp_path / "test" / "test-reports" / "a.xml"
    path.parent.mkdir(parents=True)
    path.write_text(GOOD)
    assert read_cases(tmp_path, {}).total == 1


def test_reports_are_read_within_their_limits(tmp_path):
    folder = tmp_path / "test" / "test-reports"
    folder.mkdir(parents=True)
    (folder / "a.xml").write_text(
        "<t>" + "".join(f'<testcase name="n{n}"/>' for n in range(100)) + "</t>"
    )
    (folder / "b.xml").write_text(GOOD)
    assert read_cases(tmp_path, {}, Limits(cases=50)).total == 1
    assert read_cases(tmp_path, {}, Limits(file_bytes=100)).total == 1
    assert read_cases(tmp_path, {}, Limits(all_bytes=10)) is None
    assert len(find_reports(tmp_path, Limits(entries=1))) == 1
    assert read_cases(tmp_path, {}, Limits(seconds=-1)) is None


@pytest.mark.parametrize(
    "line", ["FAILED {}", "ERROR {}", "FAIL: {} (x)", "FAILED {} - {}", "ERROR: {} ({})"]
)
@pytest.mark.parametrize("fill", [":", "::", "a::", "(", " ", "x - ", "\u2003"])
def test_time_grows_with_a_line_and_no_faster(line, fill):
    """Ten times the text takes about ten times as long, not a hundred times."""

    def seconds(size):
        text = line.format(fill * size, fill * size) + "\n"
        best = []
        for _ in range(3):
            scanner, began = CaseScanner(), time.perf_counter()
            scanner.feed(text)
            best.append(time.perf_counter() - began)
        return min(best)

    assert seconds(300_000) < 0.5
    assert case_scanner._MAX_LINE <= 10_000


def test_a_hostile_line_does_not_outlive_the_limit_of_its_step(tree):
    tree.tests("print('FAILED ' + ':' * 300_000, flush=True); time.sleep(60)")
    began = time.monotonic()
    done = tree.dispatch("--step-timeout", "2", flag="1")
    assert done.returncode == 124
    assert time.monotonic() - began < 20


def test_other_runs_do_not_claim_the_cases(tree):
    """A run in Python and one of the script, which do not wait for each other.

    Neither takes the other's reports for its own.
    """
    report = f"open('test/test-reports/' + os.environ['N'] + '.xml', 'w').write({GOOD!r})"
    tree.tests(REPORTS + report + "\ntime.sleep(4); sys.exit(0)")
    tree.script("python3 test/run_test.py")
    first = tree.start(flag="1", N="1")
    time.sleep(2)
    second = tree.start(flag="0", N="2")
    outputs = [process.communicate(timeout=60)[0] for process in (first, second)]
    assert [process.returncode for process in (first, second)] == [0, 0]
    assert any("another run is active here" in output for output in outputs)


def test_a_later_run_reads_reports_again(tree):
    tree.tests(REPORTS + f"open('test/test-reports/a.xml', 'w').write({GOOD!r})")
    assert "1 case" in tree.dispatch(flag="1").stdout
    assert not list((tree.root / ".ci-sessions" / "active").iterdir())
