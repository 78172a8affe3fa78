"""Workflows of any content are read within seconds, or are an error or a warning that names them."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from ci_sessions.errors import InputError
from ci_sessions.github.safe_yaml import parse_yaml

SCRIPT = ".ci/pytorch/test.sh"
GOOD = """name: t
on: [push]
jobs:
  test:
    strategy:
      matrix:
        include:
          - {config: jit_legacy, shard: 1, num_shards: 1}
    steps:
      - run: .ci/pytorch/test.sh
        env:
          TEST_CONFIG: ${{ matrix.config }}
          BUILD_ENVIRONMENT: linux-jammy-py3.10-gcc11
          SHARD_NUMBER: ${{ matrix.shard }}
          NUM_TEST_SHARDS: ${{ matrix.num_shards }}
"""
LABEL = "linux-jammy-py3.10-gcc11"
ITEM = "{config: jit_legacy, shard: 1, num_shards: 1}"
CALLED = """on: {workflow_call: {inputs: {test-matrix: {default: '{include: [{config: jit_legacy}]}'}}}}
jobs: {t: {strategy: {matrix: '${{ fromJSON(inputs.test-matrix) }}'}, steps: [{run: .ci/pytorch/test.sh, env: {TEST_CONFIG: '${{ matrix.config }}', BUILD_ENVIRONMENT: linux-py3.10}}]}}
"""
STEPS = "    steps: [{run: .ci/pytorch/test.sh, env: {TEST_CONFIG: jit_legacy, BUILD_ENVIRONMENT: linux-py3.10}}]\n"  # fmt: skip


def calls(matrix):
    """Return a workflow that passes a matrix, which has no double quotes, to another one."""
    return f'on: push\njobs: {{t: {{uses: ./.github/workflows/b.yml, with: {{test-matrix: "{matrix}"}}}}}}\n'  # fmt: skip


def axes(*lists):
    rows = "".join(
        f"        x{n}: [{','.join(map(str, items))}]\n" for n, items in enumerate(lists)
    )
    return f"on: push\njobs:\n  t:\n    strategy:\n      matrix:\n{rows}{STEPS}"


def expression(text):
    """Return a workflow with an expression, which has no double quotes, in a variable."""
    return GOOD.replace(LABEL, f'"{text}"')


def parity(tree, files, *args, within=25):
    """Run ``parity`` for a real checkout with these workflows."""
    (tree.root / ".ci-sessions-sample").unlink(missing_ok=True)
    folder = tree.root / ".github" / "workflows"
    folder.mkdir(parents=True)
    for name, content in files.items():
        path = folder / name
        if callable(content):
            content(path)
        else:
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
    began = time.monotonic()
    done = tree.call(sys.executable, "-m", "ci_sessions", "parity", "--no-cache", *args, TEST_CONFIG=None, timeout=90)  # fmt: skip
    assert time.monotonic() - began < within
    assert done.returncode in (0, 1, 2), done.stderr[-2000:]
    assert "Traceback" not in done.stderr
    assert "\n::error" not in done.stdout + done.stderr
    assert len(done.stderr) < 20_000
    return done


def nested(count, make):
    """Return anchors a, b, … of which each refers ten times to the one before."""
    names = "abcdefghijklmnop"[:count]
    pairs = zip(names[1:], names, strict=False)
    return [f"{new}: &{new} {make(', '.join([f'*{old}'] * 10))}" for new, old in pairs]


LAUGHS = ["a: &a [x, x, x, x, x, x, x, x, x, x]", *nested(13, lambda names: f"[{names}]")]
MERGED = ["a: &a {x: 1}", *nested(10, lambda names: f"{{<<: [{names}]}}")]
REPEATED = f"a: &a '{'x' * 900_000}'\nb: [{'*a,' * 200_000}]\n"

UNREADABLE = {
    "many aliases": GOOD + "\n".join(LAUGHS), "merge keys": GOOD + "\n".join(MERGED), "a long text with many aliases": GOOD + REPEATED, "a value in itself": "on: push\njobs: &a {t: *a}\n",
    "deep lists": "[" * 100_000, "deep mappings": "{a: " * 100_000, "deep dashes": "- " * 100_000 + "x", "deep keys": "? " * 100_000 + "x", "deep indents": "".join(" " * n + "a:\n" for n in range(1900)), "deep and closed": "[" * 900 + "]" * 900,
    "not UTF-8": b"\xff\xfe\xfa", "UTF-16": GOOD.encode("utf-16"), "a null byte": GOOD + "\0", "large": "#" + "x" * 3_000_000, "many values": GOOD + f"z: [{'1,' * 600_000}]\n", "two documents": f"{GOOD}---\n{GOOD}", "bad syntax": "a: [\n b",
    "a number with many digits": f"a: {'9' * 5000}", "a hexadecimal number": f"a: 0x{'F' * 6000}", "an unknown tag": "a: !foo bar", "a Python object": "a: !!python/object/apply:os.system [id]", "a bad date": "a: 2026-99-99", "a lone surrogate": 'a: "\\uD800"',
    "a FIFO": os.mkfifo, "a folder": Path.mkdir, "a loop": lambda path: path.symlink_to(path), "a device": lambda path: path.symlink_to("/dev/zero"),
}  # fmt: skip


@pytest.mark.parametrize("name", UNREADABLE)
def test_a_file_that_cannot_be_read(tree, name):
    """It is an error that names the file, since its jobs would be missing."""
    done = parity(tree, {"b.yml": UNREADABLE[name], "a.yml": GOOD}, within=15)
    assert done.returncode == 2
    assert "workflows/b.yml" in done.stderr


@pytest.mark.parametrize("name", ["merge keys", "deep lists", "not UTF-8", "bad syntax", "a FIFO"])
def test_another_file_that_cannot_be_read(tree, name):
    """It is a warning if another workflow is asked for."""
    done = parity(tree, {"b.yml": UNREADABLE[name], "a.yml": GOOD}, "--workflow", "a")
    assert "jobs 1" in done.stdout
    assert "b.yml is left out: " in done.stderr


def test_a_file_that_cannot_be_read_and_is_called(tree):
    text = "on: push\njobs: {t: {uses: ./.github/workflows/b.yml}}\n"
    done = parity(tree, {"a.yml": text, "b.yml": "a: [\n b"}, "--workflow", "a")
    assert done.returncode == 2
    assert "b.yml is not valid YAML" in done.stderr


def test_a_workflow_may_have_the_longer_suffix(tree):
    done = parity(tree, {"a.yaml": GOOD}, "--workflow", "a.yaml")
    assert "jobs 1" in done.stdout


LEFT_OUT = {
    "50^8 combinations": axes(*[range(50)] * 8), "many exclusions": axes(range(1900)).replace("x0:", f"exclude: [{','.join(['{x0: -1}'] * 2000)}]\n        x0:"), "a matrix that is a number": axes().replace("matrix:\n", "matrix: 5\n"),
    "it calls itself": "on: push\njobs: {t: {uses: ./.github/workflows/a.yml}, u: {uses: ./.github/workflows/a.yml}}\n", "jobs is a list": "on: push\njobs: [1, [2]]\n", "strategy is a text": "on: push\njobs: {test: {strategy: x}}\n",
    "with is a text": "on: push\njobs: {test: {uses: ./.github/workflows/b.yml, with: x}}\n", "steps is a text": "on: push\njobs: {test: {steps: x}}\n", "env is a text": f"on: push\njobs: {{test: {{steps: [{{run: {SCRIPT}, env: x}}]}}}}\n",
    "a matrix of aliases": calls("{" + ", ".join(LAUGHS) + ", include: []}"), "a matrix of merge keys": calls("{" + ", ".join(MERGED) + ", include: []}"), "a deep matrix": calls("[" * 100_000), "a matrix that is not valid": calls("{include: ["),
    "many deep openings": expression("${{ " * 40_000 + "}}"), "parentheses": expression("${{ " + "(" * 9000 + "1" + ")" * 9000 + " }}"), "indices": expression("${{ " + "a[" * 3000 + "1" + "]" * 3000 + " }}"), "digits": expression(f"${{{{ {'9' * 5000} }}}}"),
    "odd digits": expression("${{ ٣ }}${{ ² }}"), "deep JSON": expression(f"${{{{ fromJSON('{'[' * 9000}') }}}}"), "empty": expression("${{ }}"), "open": expression("${{ ( }}"),
    "format": expression("${{ format(format(format(format(format('" + "{0}" * 300 + "', '" + "{0}" * 300 + "'), '" + "{0}" * 300 + "'), '" + "{0}" * 300 + "'), '" + "{0}" * 300 + "'), 'x') }}"),
    "templates of templates": "on: push\njobs: {t: {uses: ./.github/workflows/b.yml, with: {a: '" + "${{ needs.u.outputs.a }}" * 100 + "'}}, u: {with: {a: '" + "${{ needs.v.outputs.a }}" * 100 + "'}}, v: {with: {a: '" + "${{ needs.w.outputs.a }}" * 100 + "'}}, w: {with: {a: '" + "x" * 10_000 + "'}}}\n",
}  # fmt: skip


@pytest.mark.parametrize("name", LEFT_OUT)
def test_a_job_that_cannot_be_read(tree, name):
    """It is left out with a warning that names the workflow and the job."""
    done = parity(tree, {"a.yml": LEFT_OUT[name], "b.yml": CALLED, "c.yml": GOOD}, within=15)
    assert "jobs 1" in done.stdout, done.stdout + done.stderr
    assert "a.yml" in done.stderr
    assert "left out: " in done.stderr


ENDLESS = {
    "wide recursion": "on: push\njobs:\n" + "".join(f"  t{n}: {{uses: ./.github/workflows/a.yml}}\n" for n in range(200)),
    "a wide matrix": "on: push\njobs: {t: {strategy: {matrix: {x: [" + ",".join(map(str, range(100))) + "]}}, uses: ./.github/workflows/a.yml}}\n",
    "wide inputs": "on: push\njobs: {t: {strategy: {matrix: {x: [" + ",".join(map(str, range(30))) + "]}}, uses: ./.github/workflows/a.yml, with: {" + ",".join(f"k{n}: '${{{{ matrix.x }}}}${{{{ inputs.k1 }}}}'" for n in range(500)) + "}}}\n",
}  # fmt: skip


@pytest.mark.parametrize("name", ENDLESS)
def test_workflows_that_would_take_hours(tree, name):
    done = parity(tree, {"a.yml": ENDLESS[name]}, within=40)
    assert done.returncode == 2
    assert "the workflows have more than" in done.stderr or "could not be read within" in done.stderr  # fmt: skip


VALUES = ["x", "5", "[1, [2], {a: b}]", "", "true", "2026-01-01", ".nan", "{a: 1}", "{1: 2, null: 3, 2026-01-01: 4, [1, 2]: 6}", "!!set {a, b}", "!!binary aGVsbG8=", "'${{ x'", "'${{ toJSON(matrix) }}'", '"\\0"', "[2026-01-01, !!binary aGVsbG8=]", "'{1: 2}'", '"\\n::error::x\\e[31m"', "x" * 100_000]  # fmt: skip
PLACES = {
    "top": "@\n", "on": GOOD.replace("[push]", "@"), "workflow_call": GOOD.replace("[push]", "{workflow_call: @, push: }"), "inputs": GOOD.replace("[push]", "{push: , workflow_call: {inputs: @}}"),
    "jobs": "on: push\njobs: @\n", "job": "on: push\njobs: {test: @}\n", "strategy": "on: push\njobs: {test: {strategy: @, steps: []}}\n", "if": GOOD.replace("    strategy:", "    if: @\n    strategy:"),
    "matrix": "on: push\njobs: {test: {strategy: {matrix: @}, steps: [{run: .ci/pytorch/test.sh}]}}\n", "include": GOOD.replace(f"\n          - {ITEM}", " @"), "item": GOOD.replace(ITEM, "@"), "exclude": axes(range(2)).replace("x0:", "exclude: @\n        x0:"),
    "axis": axes(["@"]), "config": GOOD.replace("jit_legacy", "@"), "shard": GOOD.replace("shard: 1,", "shard: @,", 1), "steps": GOOD.split("    steps:", maxsplit=1)[0] + "    steps: @\n", "step": GOOD.split("    steps:", maxsplit=1)[0] + "    steps: [@]\n",
    "run": GOOD.replace(f"- run: {SCRIPT}", f"- run: [{SCRIPT}, @]"), "env": GOOD.split("        env:", maxsplit=1)[0] + "        env: @\n", "a variable": GOOD + "          TESTS_TO_INCLUDE: @\n", "a label": GOOD.replace(LABEL, "@"),
    "uses": "on: push\njobs: {test: {uses: @}}\n", "with": "on: push\njobs: {test: {uses: ./.github/workflows/b.yml, with: @}}\n", "an input": "on: push\njobs: {test: {uses: ./.github/workflows/b.yml, with: {test-matrix: @}}}\n",
    "a key": "on: push\njobs: {@: {strategy: {matrix: {@: [1]}}, steps: [{run: .ci/pytorch/test.sh}]}}\n",
}  # fmt: skip


@pytest.mark.parametrize("place", PLACES)
def test_values_of_other_types(tree, place):
    """Each value is in a workflow of its own; jobs that make no sense are left out or reported."""
    texts = [PLACES[place].replace("@", value) for value in VALUES]
    files = {f"a{n}.yml": text for n, text in enumerate(texts) if _is_yaml(text)}
    assert len(files) > len(VALUES) / 2
    done = parity(tree, {**files, "b.yml": CALLED, "z.yml": GOOD}, within=60)
    assert done.returncode in (0, 1), done.stderr


def _is_yaml(text):
    try:
        parse_yaml(text, "it")
    except InputError:
        return False
    return True
