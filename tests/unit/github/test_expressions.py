from __future__ import annotations

import pytest

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
