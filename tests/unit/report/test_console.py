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
    screen.tick(3.2)
    screen.end(step())
    assert "\r" not in out.getvalue()


def test_a_terminal_gets_colour_and_a_live_line():
    out = Terminal()
    screen = ConsoleScreen(Stdout(out))
    screen.begin(step(), 9)
    screen.tick(3.2)
    screen.tick(3.3)
    screen.write("half")
    screen.tick(4.0)
    screen.end(step(outcome=Outcome.FAILED, code=3, note="why"))
    text = out.getvalue()
    assert "\x1b[" in text
    assert text.count("3.0 s") == 1
    assert "4.0 s" not in text, "a live line must not break a half line of output"
    assert "half\n" in text
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
