from __future__ import annotations

from unit.report.test_run import attempt, run, step

from ci_sessions.github.output import annotate, step_summary
from ci_sessions.records.record import Case, Cases, Outcome
from ci_sessions.records.route import Shadow
from ci_sessions.records.verdict import JobVerdict
from ci_sessions.report.run import describe_run

FAILED = Cases(total=10, errors=1, failed=(Case("jit.T.test_a", "error", "a < b | `c`\nd"),))


def test_a_summary_has_a_row_a_test_with_time_and_share():
    good = step(test="test_jit", wall=78.0)
    bad = step(outcome=Outcome.FAILED, code=1, wall=234.0, cases=FAILED)
    skipped = step(test="test_x", outcome=Outcome.SKIPPED, note="no GPU")
    route = attempt("split-in", detail="bucket 17 of phase 2A at 25 %")
    text = step_summary(run(good, bad, skipped, route=route), {"this step": ["nox -s x"]})
    for line in (
        "### ❌ jit_legacy on linux-jammy-py3.10-gcc11, shard 1 of 1",
        "Run by **python**: `split-in` (bucket 17 of phase 2A at 25 %)",
        "| test_jit | ✅ passed | 1 min 18 s | 25 % |  |",
        "| test_jit_legacy | ❌ failed, exit 1 | 3 min 54 s | 75 % | 10 |",
        "| test_x | ⏭️ skipped | 0.0 s | 0 % |  |",
        r"- <code>jit.T.test\_a</code> a &lt; b \| \`c\` d",
        "nox -s x",
    ):
        assert line in text.splitlines()
    assert "or without" not in text


def test_a_green_summary_has_no_failures():
    text = step_summary(run(step(wall=1.0), outcome=Outcome.PASSED), {})
    assert text.startswith("### ✅")
    assert "Failures" not in text


def test_a_summary_has_the_reason_for_the_fallback_and_the_last_lines_of_a_step():
    route = attempt("flag-on", runner="shell", fallback="bug", error="KeyError: <x>")
    bad = step(outcome=Outcome.FAILED, code=1, tail=("last", "words"), note="left dirty:\n?? new")
    text = step_summary(run(bad, route=route, runner="shell"), {})
    assert "⚠️ Python could not run it: `bug` KeyError: &lt;x&gt;" in text
    assert "```\nlast\nwords\n```" in text
    assert "> ?? new" in text
    many = Cases(failed=tuple(Case(f"t{n}", "error") for n in range(60)))
    assert "… and 10 more" in step_summary(
        run(step(outcome=Outcome.FAILED, code=1, cases=many)), {}
    )


def test_each_failed_case_is_an_annotation_that_cannot_break_out():
    bad = step(outcome=Outcome.FAILED, code=1, cases=FAILED)
    assert annotate(run(bad)) == ["::error title=test_jit_legacy%3A jit.T.test_a::a < b | `c`%0Ad"]
    bare = step(2, outcome=Outcome.FAILED, code=3)
    assert annotate(run(bare)) == ["::error title=test_jit_legacy%2C step 2::python x: exit 3"]
    assert annotate(run(step())) == []


def test_cases_with_one_message_are_one_annotation_at_their_line():
    failed = tuple(Case(f"t{n}", "error", "OSError: x", "test/a.py", 7) for n in range(29))
    bad = step(outcome=Outcome.FAILED, code=1, cases=Cases(errors=29, failed=failed))
    title = "title=test_jit_legacy%3A t0 and 28 more"
    assert annotate(run(bad)) == [f"::error file=test/a.py,line=7,{title}::OSError: x"]
    text = step_summary(run(bad), {})
    assert "OSError: x, and 28 more with this message" in text


def test_the_signal_that_ended_a_step_is_named():
    killed = step(outcome=Outcome.FAILED, code=139)
    assert annotate(run(killed))[0].endswith("::python x: exit 139 (SIGSEGV)")
    assert "failed, exit 139 (SIGSEGV)" in step_summary(run(killed), {})


def test_the_verdict_of_the_shadow_is_shown():
    shadow = Shadow(verdict=JobVerdict.DIFFERENT, detail="test.sh:7: argv")
    routed = run(step(), route=attempt("shadow", runner="shell", shadow=shadow))
    assert "Plan and script compared: different: test.sh:7: argv" in step_summary(routed, {})
    text = describe_run(routed, {}, "r")
    assert "shadow: plan and script compared: different: test.sh:7: argv" in text
