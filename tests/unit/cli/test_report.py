"""``report`` on files of records: which page it writes, where, and what is in it."""

from __future__ import annotations

import base64
import gzip
import io
import json
import re

import pytest
from fleet_files import write_fleet_files
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from records_of_runs import GOOD, LINES, as_lines

from ci_sessions.cli import report as command
from ci_sessions.cli.options import Context
from ci_sessions.cli.stdout import Stdout
from ci_sessions.errors import InputError, RecordError
from ci_sessions.job.environment import Environment
from ci_sessions.text import Redactor

RUNS = 1_500


def call(*args, program=("ci-sessions", "report")):
    out = io.StringIO()
    context = Context(
        program=program, summary="", out=Stdout(out), environment=Environment(), redact=Redactor({}),
    )  # fmt: skip
    assert command.main([str(arg) for arg in args], context) == 0
    return out.getvalue()


@pytest.fixture(scope="module")
def fleet(tmp_path_factory):
    """Return the records of a fleet."""
    return write_fleet_files(tmp_path_factory.mktemp("fleet") / "records", RUNS)


@pytest.fixture(scope="module")
def default_page(fleet, tmp_path_factory):
    """Return the page about the fleet."""
    out = tmp_path_factory.mktemp("page") / "page.html"
    call("--records", fleet, "--rollout", fleet.with_name("rollout.toml"), "--out", out)
    return out.read_text()


@pytest.fixture
def page(fleet, tmp_path):
    """Return a function that writes a page about the fleet and returns it."""

    def page(*more, **options):
        out = tmp_path / "page.html"
        call("--records", fleet, "--rollout", fleet.with_name("rollout.toml"), "--out", out, *more, **options)  # fmt: skip
        return out.read_text()

    return page


def packed(page, name):
    text = re.search(rf'id="{name}">([^<]*)<', page)[1]
    return json.loads(gzip.decompress(base64.b64decode(text)))


def test_the_page_of_a_fleet_has_each_configuration_and_all_runs(default_page):
    text = default_page
    assert "<h1>1,500 CI runs</h1>" in text
    for config in ("smoke", "inductor_cpp_wrapper"):
        assert f'id="config-{config}"' in text
        assert f'data-config="{config}"' in text
    data = packed(text, "data")
    assert len(data["started"]) == len(data["id"]) == RUNS
    assert data["phases"]["jit_legacy"] == "2B"
    red = [n for n, code in enumerate(data["codes"]["outcome"]) if data["texts"]["outcome"][code] == "failed"]  # fmt: skip
    details = packed(text, "details")
    assert red
    assert all("Repeat" in details[str(number)] for number in red)
    assert all(set(numbers) <= set(red) for _, numbers in data["cases"])


def test_cases_that_fail_together_are_one_row(tmp_path):
    folder = write_fleet_files(tmp_path / "records", 4_000, seed=2)
    call("--records", folder, "--out", tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text()
    assert text.count("TestCppWrapper.test_conv2d_unary_") == 1
    assert "and 5 more in the same runs" in text


def test_the_runs_behind_a_verdict_can_be_listed(default_page):
    data = packed(default_page, "data")
    configs = [data["texts"]["config"][code] for code in data["codes"]["config"]]
    assert data["verdicts"]["docs_test"]
    assert {configs[number] for number in data["verdicts"]["docs_test"]} == {"docs_test"}


def test_only_the_newest_runs_are_listed_but_all_are_counted(page):
    text = page("--last", 50)
    assert "The newest 50 of 1,500 runs" in text
    data = packed(text, "data")
    assert len(data["started"]) == 50
    assert "<h1>1,500 CI runs</h1>" in text


def test_next_commands_are_those_of_rollout_and_repeat_those_of_run(page):
    text = page(program=("python", "-m", "nox", "-s", "report", "--"))
    assert "python -m nox -s rollout -- " in text
    details = "".join(packed(text, "details").values())
    assert (
        "python -m nox -s &#39;ci(config=" in details
        or "python -m nox -s &#34;ci(config=" in details
    )
    assert "env TEST_CONFIG=" in details
    assert packed(text, "data")["command"].startswith("python -m nox -s report -- --records ")


def test_one_run_has_a_page_of_its_own(fleet, tmp_path):
    ids = re.findall(r'"run started", "format": 1, "id": "([^"]*)"', (fleet / "000.jsonl").read_text())  # fmt: skip
    out = tmp_path / "run.html"
    assert call("--records", fleet, "--run", ids[3], "--out", out).startswith(
        f"wrote {out}: run {ids[3]}, "
    )
    assert 'id="steps"' in out.read_text()
    call("--records", fleet, "--run", "last", "--out", out)
    call("--records", fleet / "000.jsonl", "--run", "000", "--out", out)
    with pytest.raises(InputError, match="--run is 'nope': no run has this ID"):
        call("--records", fleet, "--run", "nope", "--out", out)


def test_a_file_with_one_run_has_the_page_of_that_run(tmp_path):
    path = tmp_path / "one.jsonl"
    path.write_bytes(as_lines(GOOD))
    out = tmp_path / "page.html"
    assert "run good, " in call("--records", path, "--out", out)
    assert "smoke" in out.read_text()


def test_without_runs_the_error_says_where(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no file of records there"):
        call("--records", tmp_path / "empty", "--out", tmp_path / "x.html")


@pytest.mark.parametrize("name", ["", "missing/page.html"])
def test_a_page_that_cannot_be_written_is_an_error(fleet, tmp_path, name):
    with pytest.raises(InputError, match="--out is"):
        call("--records", fleet, "--out", f"{tmp_path}/{name}")
    assert list(tmp_path.iterdir()) == []


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(LINES, max_size=8))
def test_any_records_give_a_page_or_an_error(tmp_path, lines):
    path, out = tmp_path / "all.jsonl", tmp_path / "page.html"
    path.write_bytes(b"\n".join(lines))
    try:
        call("--records", path, "--out", out)
    except InputError as error:
        assert "no run in 1 file" in str(error)
    except RecordError as error:
        assert "cannot be read" in str(error)
    else:
        out.read_text()


def test_hostile_names_are_in_no_tag_of_the_page_or_its_details(tmp_path):
    bad = "'\"</script><img src=x onerror=alert(1)>"
    folder = write_fleet_files(tmp_path / "records", 200, suffix=bad)
    out = tmp_path / "page.html"
    call("--records", folder, "--out", out)
    text = out.read_text()
    fragments = "".join(packed(text, "details").values())
    assert "&lt;img src=x" in text + fragments
    assert "<img" not in text + fragments
    assert text.count("</script>") == 3


def test_a_fleet_of_odd_records_has_a_page_that_is_not_large(tmp_path):
    """Names that differ in each record, and are long, as a test could write them."""
    path, out = tmp_path / "odd.jsonl", tmp_path / "page.html"
    with path.open("w") as lines:
        for n in range(80):
            start = {
                **GOOD[0],
                "id": f"{n}" * 400,
                "job": {
                    "config": f"c{n}" * 100,
                    "id": f"j{n}" * 200,
                    "build_environment": f"b{n}" * 200,
                },
                "route": {"runner": "python", "reason": "flag-on", "commit": f"{n}" * 300},
            }
            cases = {
                "total": 500,
                "failures": 500,
                "failed": [
                    {"name": f"n{n}.{m}" * 20, "fault": "failure", "message": f"m{m}{n}" * 40}
                    for m in range(500)
                ],
            }
            step = {
                "event": "step ended",
                "id": "s",
                "test": f"t{n}" * 100,
                "number": 1,
                "kind": "test",
                "command": "x",
                "outcome": "failed",
                "cases": cases,
            }
            for event in (start, step, {**GOOD[1], "id": start["id"], "outcome": "failed"}):
                lines.write(json.dumps(event) + "\n")
    call("--records", path, "--out", out)
    assert out.stat().st_size < 2_000_000
