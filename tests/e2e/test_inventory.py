"""The inventory on two real releases: the stand-in selects exactly what the real torch does.

For every scheduled configuration, shard by shard: each part, in the printed order, serial or
parallel, and the printed estimate.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from ci_sessions.catalogue.scheduled import scheduled_jobs
from ci_sessions.checkout.checkout import read_checkout
from ci_sessions.cli.script_jobs import script_planner
from ci_sessions.github.workflows import read_workflows
from ci_sessions.inventory.asker import Asker
from ci_sessions.inventory.jobs import binaries_in, plan_inventory
from ci_sessions.inventory.selection import Selection
from ci_sessions.inventory.tree import read_tree

HERE = Path(__file__).parent
DYNAMO = "class config:\n    pass\n"
TIMES = {
    # In the format of PyTorch's CI: with long files, which get parts, and unknown ones.
    "default": {
        "default": {"test_ops": 4000.0, "test_nn": 700.0, "test_torch": 65.5, "test_jit": 30.0, "test_fx": 100.0},
        "distributed": {"distributed/test_c10d_gloo": 900.0, "distributed/test_store": 20.0},
    },
    "linux-focal-py3.7-gcc7": {"default": {"test_ops": 1000.0, "test_modules": 300.5, "test_fx": 7.25}},
}  # fmt: skip


def timing_file(tmp_path):
    """PyTorch's own timing file, if it lies beside the repository, or a small one."""
    own = HERE.parents[2] / "shared" / "pytorch-ci" / "test-times.json"
    if own.is_file():
        return own
    path = tmp_path / "times.json"
    path.write_text(json.dumps(TIMES))
    return path


def copy_of(root, tree, target):
    """A copy of what run_test.py needs, in which it may write, with the same timing file."""
    shutil.copytree(
        root / "test", target / "test", ignore=shutil.ignore_patterns("test-reports", "__pycache__")
    )
    shutil.copytree(root / "tools", target / "tools", ignore=shutil.ignore_patterns("__pycache__"))
    for name in tree.empty:
        if name.startswith("build/bin/"):
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            (target / name).touch()
    for name, text in tree.files.items():
        if name.endswith(".json"):
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            (target / name).write_text(text)
    return target


def real_answers(release, root, questions, tmp_path):
    """Ask the real torch; return what it printed."""
    data = [
        {"argv": q.argv, "cwd": q.cwd, "env": dict(q.env), "facts": q.facts.to_dict()} for q in questions
    ]  # fmt: skip
    (tmp_path / "questions.json").write_text(json.dumps(data))
    # The script of 1.13 installs it for the configuration dynamo, from a repository; a dry run only
    # imports it.
    (tmp_path / "stubs").mkdir(exist_ok=True)
    (tmp_path / "stubs" / "torchdynamo.py").write_text(DYNAMO)
    subprocess.run(
        ["python", str(HERE / "real_selection.py"), str(root), "questions.json", str(tmp_path / "answers.json")],
        cwd=tmp_path, env={**release.variables, "PYTHONPATH": str(tmp_path / "stubs"), "PYTHONDONTWRITEBYTECODE": "1", "HOME": str(tmp_path)}, check=True,
    )  # fmt: skip
    return json.loads((tmp_path / "answers.json").read_text())


def printed(answer):
    """What the real run_test.py printed: its parts with serial or not, and minutes; an error."""
    text = answer["text"]
    if answer["code"]:
        return re.findall(r"error: (.*?)(?: \(choose from.*)?$", text, re.MULTILINE)[-1]
    batch = re.search(
        r"^Name: tests to run \(est. time: (\S+)min\)\n(.*?)^Name: excluded",
        text,
        re.MULTILINE | re.DOTALL,
    )
    if batch is None:
        names = text.partition("Selected tests:\n")[2].splitlines()
        names = [name.strip() for name in names if name.startswith(" ")]
        return {(name, "1/1", name in answer["serial"]) for name in names}, None
    serial, _, parallel = batch[2].partition("  Parallel tests")
    parts = [
        (*line.strip().rsplit(" ", 1), is_serial)
        for lines, is_serial in ((serial, True), (parallel, False))
        for line in lines.splitlines()
        if line.startswith("    ")
    ]
    return parts, float(batch[1])


def ours(answer, *, is_old):
    if not isinstance(answer, Selection):
        return answer.text.removeprefix("run_test.py refuses: ")
    parts = [(p.file, f"{p.part}/{p.parts}", p.serial) for p in answer.parts]
    return (set(parts), None) if is_old else (parts, answer.minutes or 0.0)


def compare(release, jobs, tmp_path, *, is_old=False):
    """Return rows of the table (configuration, jobs, questions, parts, minutes) and differences."""
    times = timing_file(tmp_path)
    checkout = read_checkout(release.root, machine="x86_64")
    text = read_tree(release.root).run_test
    if is_old:  # the plans are for newer releases, so what its own script runs counts
        inventories = script_planner(release.root, checkout)(jobs, text)
    else:
        inventories = [plan_inventory(job, checkout, text) for job in jobs]
    tree = read_tree(release.root, times).with_binaries(binaries_in(inventories))
    asked = [(job.config, s.question) for job in inventories for s in job.steps if s.question]
    if is_old:  # it prints its list only then
        asked = [(c, with_verbose(q)) for c, q in asked]
    questions = {question.key: question for _, question in asked}
    with Asker(tree) as asker:
        answers = asker.ask(questions.values())
    root = copy_of(release.root, tree, tmp_path / "tree")
    if is_old:
        return compare_old(release, root, tree, questions, answers, asked, tmp_path)
    real = dict(
        zip(questions, real_answers(release, root, questions.values(), tmp_path), strict=True)
    )
    return rows_of(asked, answers, real, is_old=False)


def with_verbose(question):
    return (
        question
        if "--verbose" in question.argv
        else replace(question, argv=(*question.argv, "--verbose"))
    )


def compare_old(release, root, tree, questions, answers, asked, tmp_path):
    """Releases before 2 read the times of one build, so they are asked build by build."""
    real = {}
    builds = {q.env["BUILD_ENVIRONMENT"] for q in questions.values()}
    for build in sorted(builds):
        file = root / ".pytorch-test-times.json"
        file.unlink(missing_ok=True)
        for text in tree.times_of_build.get(build, {}).values():
            file.write_text(text)
        group = {k: q for k, q in questions.items() if q.env["BUILD_ENVIRONMENT"] == build}
        real.update(zip(group, real_answers(release, root, group.values(), tmp_path), strict=True))
    return rows_of(asked, answers, real, is_old=True)


def rows_of(asked, answers, real, *, is_old):
    rows, differences = {}, []
    for config, question in asked:
        expected, found = printed(real[question.key]), ours(answers[question.key], is_old=is_old)
        row = rows.setdefault(config, {"calls": 0, "parts": 0, "minutes": 0.0, "refused": 0})
        row["calls"] += 1
        if isinstance(expected, str):
            row["refused"] += 1
        else:
            row["parts"] += len(expected[0])
            row["minutes"] += expected[1] or 0.0
        if expected != found:
            differences.append(
                (config, question.argv, question.env["BUILD_ENVIRONMENT"], expected, found)
            )
    print("| configuration | calls | refused | parts | minutes |")
    for config, row in sorted(rows.items()):
        print(
            f"| {config} | {row['calls']} | {row['refused']} | {row['parts']} | {row['minutes']:.0f} |"
        )
    for config, argv, build, expected, found in differences[:5]:
        print(
            f"different: {config} on {build}: {' '.join(argv)}\n  real: {expected!r:.500}\n  ours: {found!r:.500}"
        )
    return rows, differences


def test_the_stand_in_selects_what_torch_1_13_does(pytorch, tmp_path):
    jobs = read_workflows(pytorch.root, ".jenkins/pytorch/test.sh", None, per_runner=True)
    rows, differences = compare(pytorch, jobs, tmp_path, is_old=True)
    assert not differences
    assert {
        "default",
        "distributed",
        "dynamo",
        "functorch",
        "jit_legacy",
        "slow",
        "crossref",
    } <= set(rows)
    assert rows["default"]["parts"] > 1000


@pytest.mark.long
def test_the_stand_in_selects_what_torch_2_6_does(modern, tmp_path):
    rows, differences = compare(modern, scheduled_jobs(), tmp_path)
    assert not differences
    assert {"default", "distributed", "jit_legacy", "slow", "dynamo_wrapped", "inductor"} <= set(
        rows
    )
    assert rows["default"]["parts"] > 5000
