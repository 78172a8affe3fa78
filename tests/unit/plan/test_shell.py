from __future__ import annotations

import re
import subprocess

import pytest
from conftest import make_plan
from hypothesis import given
from hypothesis import strategies as st

from ci_sessions.catalogue import questions as q
from ci_sessions.plan.facts import Condition, Executables
from ci_sessions.plan.placeholders import literal
from ci_sessions.plan.shell import ShellWriter, bash_argv, quote
from ci_sessions.plan.step import (
    Expect,
    ForEach,
    Kind,
    Policy,
    Program,
    ShellFunction,
    SourcedFile,
    Step,
)

WRITER = ShellWriter(q.QUESTIONS)
RAIN = Condition(name="rain", description="it rains", line="[ -e rain ]")


def step(*argv, command=None, **more):
    return Step(kind=Kind.TEST, command=command or Program(argv), **more)


@pytest.mark.parametrize(
    ("word", "shown"),
    [
        ("plain", "plain"),
        ("two words", "'two words'"),
        ("it's", '"it\'s"'),
        ("", "''"),
        ("$SITE/torch lib", "\"$SITE\"'/torch lib'"),
        ("$$HOME", "'$HOME'"),
        ("-j${ask:quarter_of_cpus}", '-j"$(n=$(( $(nproc) / 4 )); echo $(( n < 4 ? 4 : n )))"'),
        ("x@${pin:vision}", 'x@"$(cat "$ROOT"/.github/ci_commit_pins/vision.txt)"'),
        ("torch.${random}.f", 'torch."$RANDOM_NAME".f'),
        ("a\nb", "$'a\\nb'"),
    ],
)
def test_words_are_quoted_for_a_shell(word, shown):
    assert WRITER.word(word) == shown


@pytest.mark.parametrize(
    "text",
    [
        "a b",
        "it's $x",
        "",
        "\t\n\r",
        "a\x1b[31m",
        "ü\udc80",
        "`x`!",
        "''",
        "a'\n\\",
        "*?[a]",
        "##[a",
        "'##[",
        "\n##[",
    ],
)
def test_bash_reads_quoted_strings_unchanged(monkeypatch, text):
    monkeypatch.undo()
    done = subprocess.run(
        ["bash", "-c", f"printf %s {quote(text)}"], capture_output=True, check=True
    )
    assert done.stdout.decode(errors="surrogateescape") == text


def test_wildcards_are_unquoted_only_in_file_patterns():
    links = Program(("ln", "$SITE/lib a/libtorch${any}"))
    assert WRITER.command(links) == "ln \"$SITE\"'/lib a/libtorch'*"
    assert WRITER.word("a*b") == "'a*b'"


def test_a_list_question_is_left_unquoted_so_that_it_splits():
    assert WRITER.word(q.DTENSOR_TESTS.answer).startswith("$(find test/distributed/tensor")


def test_lines_for_a_shell():
    here = step("python", "a b.py", cwd="$ROOT/test", env={"X": "1 2", "Y": None})
    assert WRITER.line(here) == "(cd \"$ROOT\"/test && env -u Y X='1 2' python 'a b.py')"
    assert (
        WRITER.guarded_line(step("x", policy=Policy(expect=Expect.FAILURE)))
        == "if x; then echo 'this was expected to fail'; exit 1; fi"
    )
    assert WRITER.guarded_line(step("x", policy=Policy(expect=Expect.ANYTHING))) == "x || true"
    assert WRITER.guarded_line(step("x", skipped="no")) == "# x"
    assert WRITER.guarded_line(step("x", when=RAIN)) == "if [ -e rain ]; then x; fi"


def test_executables_become_a_loop():
    found = Executables(name="tests", patterns=("./vec256_test*",))
    command = ForEach(found, ("${each}", "--out=${each:name}.xml"))
    assert WRITER.guarded_line(step(command=command, cwd="build/bin", env={"X": "1"})) == (
        "(cd build/bin && for each in ./vec256_test*; do "
        '[ ! -x "$each" ] || X=1 "$each" --out="${each##*/}".xml; done)'
    )
    assert command.on("./vec256_test_a").argv == ("./vec256_test_a", "--out=vec256_test_a.xml")
    assert command.on("./a$b").argv == ("./a$$b", "--out=a$$b.xml")


def test_shell_functions_keep_their_exports_in_a_pasted_shell():
    function = ShellFunction(("f", "a b"), ("$ROOT/u.sh",), "out")
    line = WRITER.guarded_line(step(command=function, cwd="x", env={"A": "1", "B": None}))
    assert line == (
        "pushd x >/dev/null; unset B; . \"$ROOT\"/u.sh; A=1 f 'a b' > out; popd >/dev/null"
    )
    assert WRITER.guarded_line(step(command=SourcedFile(("x.sh",), exports=True))) == ". x.sh"


@pytest.mark.parametrize(
    "command",
    [
        ShellFunction(("show", "a b", "$$x"), ("$ROOT/u.sh",), "$TMP/out"),
        ShellFunction(("show", "a b", "$$x"), ("$ROOT/u.sh",)),
        SourcedFile(("$ROOT/v.sh", "a b", "$$x")),
    ],
)
def test_bash_runs_written_commands(monkeypatch, tmp_path, command):
    """The printed line and the runner's argv do the same, even in a folder with a hostile name."""
    monkeypatch.undo()
    root = tmp_path / "it's;touch PWNED; $x"
    root.mkdir()
    (root / "u.sh").write_text('show() { printf "<%s>" "$@"; }\n')
    (root / "v.sh").write_text('printf "<%s>" "$@"\n')
    paths = {"$ROOT": str(root), "$TMP": str(tmp_path)}

    def word(template):
        for name, path in paths.items():
            template = template.replace(name, path)
        return template.replace("$$", "$")

    def run(argv):
        out = tmp_path / "out"
        out.unlink(missing_ok=True)
        done = subprocess.run(
            argv, cwd=root, env={"ROOT": str(root), "TMP": str(tmp_path), "PATH": "/usr/bin:/bin"},
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        return out.read_text() if out.exists() else done.stdout

    expected = "<a b><$x>"
    assert run(bash_argv(command, word)) == expected
    assert run(["bash", "-c", WRITER.line(step(command=command))]) == expected
    assert run(["bash", "-c", f"{WRITER.guarded_line(step(command=command))}"]) == expected
    assert not list(tmp_path.rglob("PWNED"))


def test_every_shell_line_of_every_configuration_parses(monkeypatch):
    """Bash parses each question, condition and step without running it."""
    monkeypatch.undo()
    lines = [question.line for question in q.QUESTIONS.values()]
    lines += [value.line for value in vars(q).values() if isinstance(value, Condition)]
    for config in (
        "default",
        "backwards_compat",
        "libtorch_agnostic_targetting",
        "torchbench",
        "xla",
    ):
        plan = make_plan(config, "linux-jammy-cuda13.0-py3.10-gcc11")
        lines += [ShellWriter(plan.questions).guarded_line(one) for one in plan.steps()]
    done = subprocess.run(
        ["bash", "-n"], input="\n".join(lines), capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


# Every character that an argument of a process can have: no null byte, and of the surrogates only
# those that stand for bytes which are not UTF-8.
ARGUMENTS = st.text(
    st.sampled_from("'\"$`\\!#[]*?~{}()<>|&;=%^ \t\n\r\x1b\x7f")
    | st.characters(exclude_categories=("Cs",), exclude_characters="\0")
    | st.integers(0xDC80, 0xDCFF).map(chr),
    max_size=12,
)


SHOW = 'show() { printf "%s\\0" "$@" "$V"; }'


def as_bytes(text):
    return text.encode(errors="surrogateescape")


def test_bash_reads_any_arguments_and_variables_unchanged(monkeypatch):
    monkeypatch.undo()

    @given(st.lists(st.tuples(st.lists(ARGUMENTS, max_size=4), ARGUMENTS), min_size=1, max_size=6))
    def check(commands):
        lines = [
            WRITER.line(step("show", *map(literal, words), env={"V": literal(value)}))
            for words, value in commands
        ]
        assert all("\n" not in line and "##[" not in line for line in lines)
        done = subprocess.run(
            ["bash"], input=as_bytes("\n".join([SHOW, *lines])), capture_output=True, check=True
        )
        expected = [as_bytes(text) for words, value in commands for text in (*words, value)]
        assert done.stdout.split(b"\0")[:-1] == expected

    check()


@given(st.text(max_size=20))
def test_any_text_is_quoted_on_one_line(text):
    assert len(quote(text).splitlines()) == 1
    assert not re.search(r"##\[", quote(text))


def test_a_surrogate_that_json_can_contain_is_quoted_too():
    assert quote("a\ud800") == r"$'a\xed\xa0\x80'"
