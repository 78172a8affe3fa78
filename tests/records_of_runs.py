"""Strategies for records: good ones, and events and lines that a test may have changed."""

from __future__ import annotations

import json

from hypothesis import strategies as st

GOOD = [
    {
        "event": "run started", "format": 1, "id": "good", "started": "2026-01-02T03:04:05.678Z", "runner": "python",
        "job": {"config": "smoke", "id": "x"}, "route": {},
    },
    {"event": "run ended", "id": "good", "outcome": "passed", "wall": 1.5},
]  # fmt: skip
KEYS = st.sampled_from(
    ["event", "format", "id", "job", "config", "started", "runner", "route", "outcome", "wall", "shadow", "tail",
     "shadow_seconds", "intended", "reason", "is_partial", "cases", "failed", "total", "test", "number", "kind",
     "command", "note", "exit_code", "ended", "steps", "commit", "fallback"]
)  # fmt: skip
VALUES = st.recursive(
    st.sampled_from(
        ["run started", "run ended", "step started", "step ended", "python", "passed", "equal", "flag-on", "",
         "\ud800", 1, 10**400, 1e400, -1.5]
    ) | st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=5),
    max_leaves=8,
)  # fmt: skip
EVENTS = st.builds(
    lambda name, number, more: {"event": name, "format": 1, "id": number, **more},
    st.sampled_from(["run started", "run ended", "step started", "step ended"]),
    st.sampled_from(["good", "x"]),
    st.dictionaries(KEYS.filter(lambda key: key != "event"), VALUES, max_size=8),
)
DEEP = b'{"event": "run started", "format": 1, "id": "x", "started": %s}'
LINES = st.one_of(
    EVENTS.map(lambda event: json.dumps(event).encode()),
    VALUES.map(lambda value: json.dumps(value).encode()),
    st.sampled_from([300, 900, 930, 960, 990, 100_000]).map(
        lambda depth: DEEP % (b"[" * depth + b"]" * depth)
    ),
    st.just(DEEP % (b"9" * 5000)),
)


def as_lines(events):
    """Return events as the lines of a file."""
    return b"".join(json.dumps(event).encode() + b"\n" for event in events)
