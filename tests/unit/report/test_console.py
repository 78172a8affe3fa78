from __future__ import annotations

import io

from unit.report.test_run import step

from ci_sessions.cli.stdout import Stdout
from ci_sessions.records.record import Outcome
from ci_sessions.report.console import ConsoleScreen


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_there_is_no_live_line_on_a_ci_that_gives_jobs_a_terminal():
    out = Terminal()
    screen = ConsoleScreen(Stdout(out), on_ci=True)
    screen.begin(step(), 9)
    screen.tick(3.2, str)
    screen.end(step())
    assert "\r" not in out.getvalue()


def test_a_terminal_gets_colour_and_a_live_line():
    out = Terminal()
    screen = ConsoleScreen(Stdout(out))
    screen.begin(step(), 9)
    screen.tick(3.2, str)
    screen.tick(3.3, str)
    screen.end(step(outcome=Outcome.FAILED, code=3, note="why"))
    text = out.getvalue()
    assert "\x1b[" in text
    assert text.count("3 s") == 1
    assert "✗ jit_legacy.test_jit_legacy.1 failed, exit 3 in 0.0 s · why" in text


def test_github_gets_groups_that_output_cannot_break_out_of():
    out = io.StringIO()
    screen = ConsoleScreen(Stdout(out, on_github=True), on_github=True)
    screen.begin(step(), 2)
    screen.write("::error::forged\n")
    screen.end(step())
    lines = out.getvalue().splitlines()
    assert lines[0] == "::group::[1/2] jit_legacy.test_jit_legacy.1 · python x"
    mark = lines[1].removeprefix("::stop-commands::")
    assert len(mark) == 32
    assert lines[2:] == [
        "::error::forged", f"::{mark}::", "::endgroup::",
        "✓ jit_legacy.test_jit_legacy.1 passed in 0.0 s",
    ]  # fmt: skip
    screen.end(step(outcome=Outcome.SKIPPED, note="no GPU"))
    assert out.getvalue().endswith("- jit_legacy.test_jit_legacy.1 skipped: no GPU\n")


def test_the_live_line_has_times_and_the_last_test():
    out = Terminal()
    screen = ConsoleScreen(Stdout(out), usual_times={"jit_legacy.test_jit_legacy.1": 150.0})
    screen.begin(step(), 9)
    screen.tick(72.0, lambda: "jit.T.test_a\x1b]0;forged\x07")
    line = out.getvalue().splitlines()[-1]
    assert line.startswith("[1/9] test_jit_legacy · 1 min 12 s, about 1 min left · ")
    assert "jit.T.test_a" in line
    screen.tick(152.0, str)
    assert out.getvalue().endswith("2 min 32 s, usually 2 min 30 s")
    assert "\x1b]0;" not in out.getvalue()


def test_below_half_a_line_of_output_the_live_line_leaves_it_intact():
    out = Terminal()
    screen = ConsoleScreen(Stdout(out), has_color=False)
    screen.begin(step(), 9)
    screen.write("test_a (m.T) ... ")
    screen.tick(4.0, str)
    screen.write("ok\n")
    shown = out.getvalue().partition("$ python x\n")[2]
    assert shown.startswith("test_a (m.T) ... \n[1/9]")
    assert shown.endswith("\r\x1b[K\x1b[A\x1b[18Gok\n"), "back to column 18, where the output ended"


def test_a_quiet_screen_shows_results_only():
    out = io.StringIO()
    screen = ConsoleScreen(Stdout(out), is_quiet=True)
    screen.begin(step(), 2)
    screen.write("noise\n")
    screen.end(step())
    assert "noise" not in out.getvalue()
    assert "✓ jit_legacy.test_jit_legacy.1 passed" in out.getvalue()
