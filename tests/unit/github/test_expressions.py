from __future__ import annotations

import datetime as dt
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ci_sessions.errors import InputError
from ci_sessions.github.expressions import UNKNOWN, evaluate, fill_template

CONTEXT = {
    "inputs": {"build-environment": "linux-cuda12", "use-arc": False, "n": 3, "list": '["a", "b"]'},
    "matrix": {"config": "default", "mem_leak_check": "mem_leak_check"},
    "needs": {"build": {"outputs": {"test-matrix": "{}"}}},
    "github": {"repository_owner": "pytorch"},
}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("inputs.build-environment", "linux-cuda12"),
        ("matrix.config == 'default'", True),
        ("matrix.config != 'DEFAULT'", False),
        ("matrix.mem_leak_check && '1' || '0'", "1"),
        ("matrix.rerun_disabled_tests && '1' || '0'", "0"),
        ("contains(inputs.build-environment, 'CUDA') && '2g' || '1g'", "2g"),
        ("!inputs.use-arc", True),
        ("!(inputs.use-arc || inputs.n)", False),
        ("startsWith('abc', 'AB') && endsWith('abc', 'c')", True),
        ("contains(fromJSON(inputs.list), 'b')", True),
        ("contains(fromJSON(inputs.list), 'c')", False),
        ("toJSON(fromJSON('{\"a\": []}').a) != '[]'", False),
        ("format('{0}-{1}', 'a', inputs.n)", "a-3"),
        ("format('{{{0}}} }}{{ {{0}}', 'a')", "{a} }{ {0}"),
        ("'it''s'", "it's"),
        ("true && null", None),
        ("1.5", 1.5),
        ("needs.build.outputs.test-matrix", "{}"),
        ("needs.filter.outputs.is-empty == 'False'", UNKNOWN),
        ("needs.filter.outputs.x && false", False),
        ("false || steps.x.outputs.y", UNKNOWN),
        ("steps.x.outputs.y || 'given'", "given"),
        ("!steps.x.outputs.y", UNKNOWN),
        ("always() && !inputs.use-arc", UNKNOWN),
        ("always() && inputs.use-arc", False),
        ("github.repository_owner == 'pytorch'", True),
        ("github.event.number", UNKNOWN),
        ("matrix['config']", "default"),
        ("fromJSON('not json')", UNKNOWN),
    ],
)  # fmt: skip
def test_an_expression_has_githubs_value(text, value):
    found = evaluate(text, CONTEXT)
    assert found is value if value in (True, False, None, UNKNOWN) else found == value


@pytest.mark.parametrize("text", ["", "a b", "(a", "a ==", "contains('a'", "&& a", "a[b", "`x`"])
def test_a_syntax_error_is_an_error(text):
    with pytest.raises(InputError, match=r"the workflow expression .* cannot be parsed"):
        evaluate(text, CONTEXT)


def test_templates_are_filled_and_whole_ones_keep_their_type():
    assert fill_template("${{ inputs.n }}", CONTEXT) == 3
    assert (
        fill_template("x-${{ inputs.n }}-${{ matrix.none }}${{ steps.y }}.${{ true }}", CONTEXT)
        == "x-3-.true"
    )
    assert fill_template("${{ steps.y }}", CONTEXT) is None
    assert fill_template(7, CONTEXT) == 7
    assert repr(UNKNOWN) == "UNKNOWN"


TOKENS = st.sampled_from(
    ["inputs", ".", "matrix.config", "needs.build", "github.event", "(", ")", "[", "]", ",", "||", "&&",
     "==", "!=", "<", ">=", "!", "'a'", "'", "''", "1", "-2.5", "true", "null", "contains", "format",
     "fromJSON", "toJSON", "startsWith", "inputs.list", "'{0}'", "'[1, {\"a\": 2}]'", " ", "\u00b2", "$", "}}"]
)  # fmt: skip
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6) | st.dates(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip


@given(st.lists(TOKENS | st.text(max_size=3), max_size=14).map("".join), VALUES)
@example("inputs.list == 'a'", [dt.date(2026, 1, 1)])
@example("inputs[fromJSON('[]')]", None)
@example("inputs.list == 1", 16**5000)
@example(f"inputs.list < {'9' * 5000}", 1)
def test_any_text_has_a_value_or_is_an_input_error(text, value):
    context = {**CONTEXT, "inputs": {**CONTEXT["inputs"], "list": value}}
    for call in (evaluate, lambda text, context: fill_template(f"a ${{{{ {text} }}}}", context)):
        try:
            call(text, context)
        except InputError as error:
            assert "workflow expression" in str(error)


@pytest.mark.parametrize(
    "text",
    [
        "(" * 9000 + ")" * 9000,
        "!" * 15000 + "true",
        "'" * 19999,
        "a." * 9000,
        "toJSON(" * 60 + "'\"'" + ")" * 60,
        "format('{0}{0}{0}{0}', " * 60 + "'x'" + ")" * 60,
        f"format('{'{0}' * 3000}', '{'x' * 9000}')",
    ],
    ids=["parentheses", "negations", "quotes", "members", "toJSON", "nested format", "format"],
)
def test_an_expression_that_grows_ends_soon(text):
    started = time.monotonic()
    try:
        evaluate(text, CONTEXT)
    except InputError as error:
        assert "workflow expression" in str(error)
    assert time.monotonic() - started < 5


def test_templates_that_multiply_themselves_are_an_input_error():
    text = "${{ inputs.a }}" * 2000
    with pytest.raises(InputError, match="is longer than 1,000,000 characters"):
        fill_template(text, {"inputs": {"a": text}})


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("inputs.n < 4", True),
        ("inputs.n <= 3", True),
        ("inputs.n > 3", False),
        ("inputs.n >= 3.5", False),
        ("'a' < 'b'", UNKNOWN),
    ],
)
def test_numbers_are_ordered(text, value):
    assert evaluate(text, CONTEXT) is value


def test_braces_in_a_string_do_not_end_an_expression():
    context = {"inputs": {"x": "q"}}
    text = """${{ format('{{"a":{{"b":{0}}}}}', toJSON(inputs.x)) }}"""
    assert fill_template(text, context) == '{"a":{"b":"q"}}'
    assert fill_template("1 ${{ 'x}}y' }} 2 ${{ inputs.x }}}", context) == "1 x}}y 2 q}"
