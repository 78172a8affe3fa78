"""``rollout`` on files of records: the screen, JSON, the plan, and changes of the file."""

from __future__ import annotations

import io
import json
import re
import shlex

import pytest
from conftest import ROOT
from fleets import Fleet

from ci_sessions.cli import rollout as command
from ci_sessions.cli.options import Context
from ci_sessions.cli.stdout import Stdout
from ci_sessions.errors import InputError, RolloutError
from ci_sessions.gate.rollout import read_rollout
from ci_sessions.job.environment import Environment
from ci_sessions.records.details import RunDetails, read_details
from ci_sessions.records.query import read_summaries
from ci_sessions.text import Redactor


def call(*args):
    out = io.StringIO()
    context = Context(
        program=("x", "rollout"), summary="", out=Stdout(out), environment=Environment(), redact=Redactor({}),
    )  # fmt: skip
    code = command.main(args, context)
    return code, out.getvalue()


def own_file(tmp_path, share=25, more=""):
    text = read_rollout().source.replace('"2A", share = 0 }', f'"2A", share = {share} }}', 1)
    path = tmp_path / "rollout.toml"
    path.write_text(text.replace('"low", open = false', '"low", open = true') + more)
    return str(path)


def write_fleet(folder, fleet):
    """Write the runs of a fleet, one file for all, each with one step."""
    folder.mkdir()
    with (folder / "all.jsonl").open("w") as out:
        for run in fleet.records:
            details = fleet.details[run.id]
            route = {"commit": run.commit, "reason": str(run.reason), "fallback": run.fallback}
            route |= {"shadow": str(run.shadow)} if run.shadow else {}
            job = {
                "config": run.config,
                "id": run.job,
                "build_environment": "linux-x",
                "shard": 1,
                "num_shards": 2,
            }
            cases = {
                "total": details.total, "failures": len(details.failed), "errors": 0, "skipped": 0,
                "failed": [{"name": name, "fault": "failure"} for name in sorted(details.failed)],
            }  # fmt: skip
            events = (
                {"event": "run started", "format": 1, "id": run.id, "job": job, "started": run.started, "runner": str(run.runner), "route": route},
                {"event": "step ended", "id": "s", "test": "t", "outcome": str(run.outcome), "cpu": details.cpu, "peak": details.peak, "cases": cases},
                {"event": "run ended", "id": run.id, "outcome": str(run.outcome), "wall": run.wall},
            )  # fmt: skip
            out.writelines(json.dumps(event) + "\n" for event in events)
    return str(folder)


def a_fleet(days=12, **more):
    fleet = Fleet(1, **more)
    for _ in range(days):
        fleet.run_one_day()
    return fleet


def test_the_details_of_runs_are_read_back(tmp_path):
    fleet = a_fleet(3, share=25, red=0.2)
    folder = write_fleet(tmp_path / "records", fleet)
    runs = list(read_summaries([tmp_path / "records" / "all.jsonl"]))
    assert read_details(runs) == fleet.details
    assert read_details(runs[:1]) == {runs[0].id: fleet.details[runs[0].id]}
    assert read_details([]) == {}
    assert folder


def test_details_of_changed_records_are_read_or_left_out(tmp_path):
    path = tmp_path / "a.jsonl"
    start = {"event": "run started", "format": 1, "id": "a", "job": {"config": "c"}}
    steps = [
        {"cases": "x", "cpu": "x", "peak": None}, {"cases": {"total": True, "failed": 5}, "cpu": -1, "peak": 1e300},
        {"cases": {"total": 7, "failures": 2, "failed": [{"name": 5}, {}, 3, {"name": "t"}]}, "cpu": 2, "peak": 9},
    ]  # fmt: skip
    lines = [start, *({"event": "step ended", "id": "s", **step} for step in steps)]
    path.write_text("\n".join(map(json.dumps, lines)))
    (run,) = read_summaries([path])
    found = read_details([run])["a"]
    assert found == RunDetails(total=7, failed=frozenset("t"), is_complete=False, cpu=2.0, peak=9)
    assert not found.has_cases


def test_the_screen_fits_100_columns_and_has_every_rate(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT / "examples" / "checkout")  # elsewhere, commands have its path
    folder = write_fleet(tmp_path / "records", a_fleet(share=25))
    _, text = call("--rollout", own_file(tmp_path), "--records", folder)
    block = text[text.index("  docs_test ") :].split("  python ")[0]
    assert "      verdict hold at 25 %: errors: " in block.replace("    verdict", "      verdict")
    for label in ("runs", "next", "pairs"):
        assert f"\n    {label:8}" in block
    assert re.search(r"pairs   24, 0 differ · time .* · CPU .* · memory \+0\.0 %", block)
    row = block.splitlines()[0]
    assert len(re.findall(r"\(\d+(?:\.\d)?–\d+(?:\.\d)?\)", row)) == 4
    long = [line for line in text.splitlines() if len(line) > 100 and str(tmp_path) not in line]
    assert long == []


def test_json_has_all_runs_and_the_next_command(tmp_path):
    fleet = a_fleet(share=25)
    folder = write_fleet(tmp_path / "records", fleet)
    _, text = call("--rollout", own_file(tmp_path), "--records", folder, "--json")
    data = json.loads(text)
    for entry in data.values():
        assert entry["reasons"]
        assert entry["next"]
        assert isinstance(entry["runs"], list)
    python = [run.id for run in fleet.records if run.runner == "python"]
    assert data["docs_test"]["runs"] == python
    assert data["docs_test"]["more"]["cpu"]["pairs"] == len(fleet.evidence().ratios("CPU"))


def test_every_verdict_names_the_next_command(tmp_path):
    folder = write_fleet(tmp_path / "records", a_fleet(share=25))
    _, text = call("--rollout", own_file(tmp_path), "--records", folder, "--json")
    (command,) = json.loads(text)["docs_test"]["next"]
    assert command == f"x rollout --rollout {tmp_path}/rollout.toml --records {folder} --plan"
    assert call(*shlex.split(command)[2:])[0] == 0


@pytest.mark.parametrize("is_in_checkout", [True, False])
def test_a_pair_is_made_with_the_newest_job(tmp_path, monkeypatch, is_in_checkout):
    """Outside of a checkout, dispatch has to be told one."""
    sample = ROOT / "examples" / "checkout"
    monkeypatch.chdir(sample if is_in_checkout else tmp_path)
    option = "" if is_in_checkout else f" --checkout {sample}"
    folder = write_fleet(tmp_path / "records", a_fleet(share=25, pairs=0))
    _, text = call("--rollout", own_file(tmp_path), "--records", folder, "--json")
    assert json.loads(text)["docs_test"]["next"] == [
        f"env USE_PYTHON_TEST_RUNNER={flag} TEST_CONFIG=docs_test BUILD_ENVIRONMENT=linux-x SHARD_NUMBER=1 "
        f'NUM_TEST_SHARDS=2 SHA1="$(git rev-parse HEAD)" x dispatch{option}'
        for flag in "01"
    ]


def test_differing_shadows_lead_to_parity_and_flaky_cases_to_the_records(tmp_path):
    folder = write_fleet(tmp_path / "records", a_fleet(1, runs=6, pairs=0, differing_shadows=1.0))
    _, text = call("--rollout", own_file(tmp_path, 0), "--records", folder)
    assert "6 of 6 shadow comparisons did not match the script" in text
    assert "    next    x parity docs_test\n" in text
    assert (
        '            [[acknowledged]]\n            config = "docs_test"\n            run = "'
        in text
    )
    folder = write_fleet(tmp_path / "flaky", a_fleet(3, flaky=0.5, red=0, pairs=20, share=25, jobs=3, python_red=1.0))  # fmt: skip
    _, text = call("--rollout", own_file(tmp_path), "--records", folder)
    joined = re.sub(r" \\\n +", " ", text)
    assert f"    next    x history --config docs_test --records {folder}\n" in joined


def test_the_suggested_text_acknowledges_the_case(tmp_path):
    fleet = a_fleet(12, share=25, jobs=2, red=0.0, pairs=3)
    for pair in fleet.evidence().pairs[::2]:
        fleet.details[pair.python.id] = RunDetails(total=100, failed=frozenset(['t."x"\\']))
    folder = write_fleet(tmp_path / "records", fleet)
    _, text = call("--rollout", own_file(tmp_path), "--records", folder)
    assert "failed in Python only in 18 pairs" in text
    block = re.search(r"^ +(\[\[acknowledged\]\]\n.*\n.*\n.*)$", text, re.MULTILINE)[1]
    path = own_file(tmp_path, more=re.sub(r"(?m)^ +", "", block))
    _, text = call("--rollout", path, "--records", folder)
    assert "acknowledged: …" in text
    assert "hold at 25 %: t." not in text


def test_records_without_a_run_are_an_error_that_names_them(tmp_path):
    folder = tmp_path / "none"
    folder.mkdir()
    with pytest.raises(InputError, match=r"--records is '.*/none': no file of records there"):
        call("--records", str(folder))
    (folder / "a.jsonl").write_text("{}\n")
    with pytest.raises(InputError, match=r"--records is '.*/none': no run in 1 file"):
        call("--records", str(folder))
    with pytest.raises(InputError, match=r"--records is '.*\*.x': no file matches"):
        call("--records", f"{folder}/*.x")


def test_the_plan_as_text_and_json(tmp_path):
    file = own_file(tmp_path, 5)
    folder = write_fleet(tmp_path / "records", a_fleet(3, share=5))
    args = ("--rollout", file, "--records", folder, "--plan")
    code, text = call(*args)
    assert code == 0
    assert "docs_test (phase 2A, 5 %): " in text
    assert "42.4 runs and 2.12 pairs a day (in 2.8 days of records)" in text
    assert "jit_legacy (phase 2B, 0 %): no rate of runs" in text
    _, text = call(*args, "--runs-per-day", "40", "--pairs-per-day", "2.5", "--json")
    plan = json.loads(text)["jit_legacy"]
    assert plan["pace"] == {"runs": 40.0, "pairs": 2.5, "days": 0.0}
    assert [step["runs"] for step in plan["steps"]] == [20, 93, 189, 381]
    _, text = call(
        "--rollout",
        file,
        "--records",
        folder,
        "--plan",
        "--runs-per-day",
        "40",
        "--pairs-per-day",
        "0",
    )
    assert "100 % is not reached at this rate" in text
    with pytest.raises(InputError, match="'many' is not a number from 0"):
        call("--plan", "--runs-per-day", "many")


def test_a_phase_opens_when_the_earlier_ones_are_at_100_percent(tmp_path):
    file = own_file(tmp_path)
    with pytest.raises(
        InputError, match=r"--open is '2B': this phase opens when smoke \(5 %\), docs_test \(25 %\)"
    ):
        call("--rollout", file, "--open", "2B")
    with pytest.raises(InputError, match="--open is '2A': this phase is open"):
        call("--rollout", file, "--open", "2A")
    with pytest.raises(InputError, match="--open is '9': choose from 1, 2A, 2B, 2C"):
        call("--rollout", file, "--open", "9")
    path = tmp_path / "rollout.toml"
    path.write_text(re.sub(r'("1"|"2A"), share = \d+', r"\1, share = 100", path.read_text()))
    code, text = call("--rollout", file, "--open", "2B")
    assert (code, text) == (0, f"opened: phase 2B in {file}\n")
    assert read_rollout(path).open_phases == {"1", "2A", "2B"}
    with pytest.raises(InputError, match="not allowed with"):
        call("--rollout", file, "--open", "2C", "--apply")


def ready_for_2b(tmp_path):
    """Return a file whose phase 2B may be opened."""
    path = tmp_path / "rollout.toml"
    own_file(tmp_path)
    path.write_text(re.sub(r'("1"|"2A"), share = \d+', r"\1, share = 100", path.read_text()))
    return path


def test_the_file_is_replaced_at_once_where_it_is(tmp_path):
    path = ready_for_2b(tmp_path)
    path.chmod(0o640)
    link = tmp_path / "link.toml"
    link.symlink_to(path.name)
    before = path.stat().st_ino
    call("--rollout", str(link), "--open", "2B")
    assert link.is_symlink()
    assert "2B" in read_rollout(path).open_phases
    assert (path.stat().st_mode & 0o777, path.stat().st_ino == before) == (0o640, False)
    assert sorted(one.name for one in tmp_path.iterdir()) == ["link.toml", "rollout.toml"]


def test_a_file_that_cannot_be_replaced_stays_as_it_is(tmp_path, monkeypatch):
    path = ready_for_2b(tmp_path)
    before = path.read_text()

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.replace", fail)
    with pytest.raises(RolloutError, match=r"rollout\.toml cannot be written: No space left"):
        call("--rollout", str(path), "--open", "2B")
    assert path.read_text() == before
    assert [one.name for one in tmp_path.iterdir()] == ["rollout.toml"]


def test_a_phase_line_that_cannot_be_edited_is_reported(tmp_path):
    file = own_file(tmp_path)
    path = tmp_path / "rollout.toml"
    text = re.sub(r"share = \d+", "share = 100", path.read_text())
    path.write_text(
        text.replace('2B = { risk = "medium", open = false }', '"2B" = { open = false }')
    )
    with pytest.raises(RolloutError, match="must have one line `2B = "):
        call("--rollout", file, "--open", "2B")


def test_the_bundled_file_is_copied_before_it_is_changed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fleet = a_fleet(2, runs=30, pairs=0)
    fleet.records = [one for one in fleet.records if one.shadow]
    folder = write_fleet(tmp_path / "records", fleet)
    path = own_file(tmp_path, 0)
    bundled = call("--records", folder, "--json")[1]
    assert "phase 2A is closed" in bundled
    (command,) = json.loads(call("--rollout", path, "--records", folder, "--json")[1])["docs_test"][
        "next"
    ]
    assert command.endswith("--apply")
    code, text = call(*shlex.split(command)[2:])
    assert code == 0
    assert "applied: docs_test 0 % → 5 % in" in text
