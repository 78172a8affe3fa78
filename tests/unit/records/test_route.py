from __future__ import annotations

import pytest

from ci_sessions.errors import RecordError
from ci_sessions.records.route import Reason, Route, RouteRecord, Runner, Shadow
from ci_sessions.records.verdict import JobVerdict


def test_a_route_is_one_line():
    route = Route(runner=Runner.PYTHON, reason=Reason.SPLIT_IN, script="x")
    assert route.describe() == "python: split-in"
    route = Route(runner=Runner.PYTHON, reason=Reason.SPLIT_IN, script="x", detail="bucket 3")
    assert route.describe() == "python: split-in, bucket 3"


def test_the_result_of_a_shadow_is_one_line():
    assert Shadow(verdict=JobVerdict.EQUAL).describe() == "equal"
    shadow = Shadow(verdict=JobVerdict.DIFFERENT, detail="test 1, argv")
    assert shadow.describe() == "different: test 1, argv"


def test_a_route_is_written_without_its_empty_fields():
    route = RouteRecord(runner=Runner.SHELL, intended=Runner.PYTHON, reason=Reason.FLAG_ON)
    data = route.to_json()
    assert data == {
        "runner": "shell", "intended": "python", "reason": "flag-on", "is_partial": False,
    }  # fmt: skip
    assert {type(data[name]) for name in ("runner", "intended", "reason")} == {str}


def test_a_route_is_written_with_what_its_shadow_found():
    route = RouteRecord(
        runner=Runner.SHELL,
        intended=Runner.SHELL,
        reason=Reason.SHADOW,
        commit="abc",
        shadow=Shadow(verdict=JobVerdict.DIFFERENT, detail="test 1", seconds=0.5),
    )
    assert route.to_json() == {
        "runner": "shell", "intended": "shell", "reason": "shadow", "is_partial": False, "commit": "abc",
        "shadow": "different", "shadow_detail": "test 1", "shadow_seconds": 0.5,
    }  # fmt: skip


def test_what_a_route_leaves_out_has_a_default():
    data = {"runner": "shell", "reason": "shadow", "shadow": "equal"}
    assert RouteRecord.from_json(data) == RouteRecord(
        runner=Runner.SHELL,
        intended=Runner.SHELL,
        reason=Reason.SHADOW,
        shadow=Shadow(verdict=JobVerdict.EQUAL),
    )


@pytest.mark.parametrize("data", [{}, {"runner": "x", "reason": "shadow"}, {"runner": "shell"}])
def test_an_invalid_route_is_an_error(data):
    with pytest.raises(RecordError, match="the route in a record cannot be read: "):
        RouteRecord.from_json(data)
