from __future__ import annotations

import json

import pytest
from conftest import make_job, make_plan

from ci_sessions.errors import InputError
from ci_sessions.plan.plan import (
    Expect,
    Export,
    Kind,
    Step,
    Test,
    command_line,
    plan_of,
    shell_line,
)


def step(*argv, **more):
    return Step(kind=more.pop("kind", Kind.TEST), argv=argv, **more)


def assemble(*tests, **env):
    return plan_of(make_job(), row="r", suite="s", phase="1", env=env, setup=(), tests=tests)


def test_argv_is_words_never_one_string():
    with pytest.raises(TypeError, match="argv must be a sequence of words, but was 'ls -l'"):
        Step(kind=Kind.TEST, argv="ls -l")
    with pytest.raises(TypeError, match="argv must be"):
        Step(kind=Kind.TEST, argv=())


def test_conditions_and_executables_are_known_by_name():
    with pytest.raises(KeyError, match="no condition is called 'rain'"):
        step("x", when="rain")
    with pytest.raises(KeyError, match="no executables are called 'rain'"):
        step("x", each="rain")


def test_an_export_holds_for_the_steps_after_it_and_the_tests_after_that():
    plan = assemble(
        Test(name="a", items=(step("1"), Export({"X": "1"}), step("2")), replaces=("a",)),
        Test(name="b", items=(step("3", env={"Y": "2"}),), replaces=("b",)),
    )
    assert [dict(s.env) for t in plan.tests for s in t.steps] == [
        {},
        {"X": "1"},
        {"X": "1", "Y": "2"},
    ]


def test_an_added_test_sees_exports_and_leaves_none():
    plan = assemble(
        Test(name="a", items=(Export({"X": "1"}), step("1")), replaces=("a",)),
        Test(name="mine", items=(Export({"X": "2"}), step("2"))),
        Test(name="b", items=(step("3"),), replaces=("b",)),
    )
    assert [s.env["X"] for t in plan.tests for s in t.steps] == ["1", "2", "1"]


def test_an_export_can_prepend_to_what_was_there():
    item = Export({"LD_PRELOAD": "new:{LD_PRELOAD}"})
    fresh = assemble(Test(name="a", items=(item, step("1")), replaces=("a",)))
    assert fresh.tests[0].steps[0].env["LD_PRELOAD"] == "new:"
    after_flag = assemble(
        Test(name="a", items=(item, item, step("1")), replaces=("a",)), LD_PRELOAD="old"
    )
    assert after_flag.tests[0].steps[0].env["LD_PRELOAD"] == "new:new:old"


def test_file_steps_do_not_carry_exports():
    plan = assemble(
        Test(name="a", items=(Export({"X": "1"}), step("ln", kind=Kind.FILE)), replaces=("a",))
    )
    assert plan.tests[0].steps[0].env == {}


def test_a_selection_keeps_the_environment_of_the_whole_job():
    plan = make_plan("distributed", "linux-jammy-cuda13.0-py3.10-gcc11", "1/3")
    chosen = plan.select(["test_c10d_gloo"])
    assert [test.name for test in chosen.tests] == ["test_c10d_gloo"]
    assert chosen.tests[0].steps[0].env == {"CPP_TESTS_DIR": "$SITE/torch/bin"}
    assert chosen.setup == plan.setup


def test_a_selection_of_one_step():
    plan = make_plan("distributed")
    assert plan.select(["test_distributed"], 3).tests[0].steps == (plan.tests[0].steps[2],)


@pytest.mark.parametrize(
    ("names", "number", "said"),
    [
        (
            ["nope"],
            None,
            "--test is 'nope', but jit_legacy has no such test: choose from test_jit, test_jit_legacy.",
        ),
        ([], 1, "--step is 1, but of which test: add --test, one of test_jit, test_jit_legacy."),
        (["test_jit"], 2, "--step is 2, but test_jit has steps 1 to 1: a dry run lists them."),
        (["test_jit"], 0, "--step is 0, but test_jit has steps 1 to 1: a dry run lists them."),
    ],
)
def test_a_selection_that_cannot_be(names, number, said):
    with pytest.raises(InputError) as caught:
        make_plan().select(names, number)
    assert caught.value.faults == (said,)


def test_added_tests_can_be_left_out():
    assert [t.name for t in make_plan().without_added().tests] == ["test_jit_legacy"]


def test_a_plan_is_json_and_names_its_steps():
    data = json.loads(json.dumps(make_plan("torchbench").to_dict()))
    assert data["job"]["id"] == "linux-jammy-py3-10-gcc11.torchbench.1of1"
    assert [test["name"] for test in data["tests"]] == ["test_benchmarks", "test_torchbench"]
    steps = data["tests"][1]["steps"]
    assert steps[0]["id"] == "torchbench.test_torchbench.1"
    assert steps[0]["when"]["shell"].startswith("! ls dist/audio")
    asked = [step["asks"] for step in steps if "asks" in step]
    assert asked
    assert all(set(names) == {"tbb"} for names in asked)


def test_a_plan_has_tests_only_if_one_would_run():
    assert make_plan().has_tests
    assert not make_plan("default", "linux-jammy-cpu-libtorch-debug").has_tests
    skipped = assemble(Test(name="a", items=(step("1"),), skipped="no"))
    assert not skipped.has_tests


def test_lines_for_a_shell():
    here = step("python", "a b.py", cwd="$ROOT/test", env={"X": "1 2", "Y": None})
    assert command_line(here) == "(cd \"$ROOT\"/test && env -u Y X='1 2' python 'a b.py')"
    assert (
        shell_line(step("x", expect=Expect.FAILURE))
        == "if x; then echo 'this was expected to fail'; exit 1; fi"
    )
    assert shell_line(step("x", expect=Expect.ANYTHING)) == "x || true"
    assert shell_line(step("x", skipped="no")) == "# x"
    assert shell_line(step("x", when="xla is not cloned")) == "if [ ! -d ./xla ]; then x; fi"
    each = step("{}", "--out={name}.xml", each="vec256 tests", cwd="build/bin")
    assert shell_line(each) == (
        "(cd build/bin && for each in ./vec256_test*; do "
        '[ ! -x $each ] || "$each" "--out=${each##*/}.xml"; done)'
    )
    assert each.for_each("./vec256_test_a").argv == ("./vec256_test_a", "--out=vec256_test_a.xml")


def test_shell_functions_and_sourced_files_go_through_bash():
    helper = step("f", "a b", kind=Kind.HELPER, sources=("u.sh",), writes="out")
    assert helper.command == ("bash", "-c", ". u.sh; set -e -o pipefail; f 'a b' > out")
    assert step("source", "x.sh", "1", kind=Kind.SOURCE).command[-2:] == ("x.sh", "1")
