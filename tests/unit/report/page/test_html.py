"""Pages: everything from a record is escaped, and the policy allows nothing else than the page."""

from __future__ import annotations

import base64
import hashlib
import re
import sys
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from unit.report.page.test_run import RUN, STEP

from ci_sessions.errors import MissingToolError
from ci_sessions.records.record import Case, Cases
from ci_sessions.report.page.html import Templates
from ci_sessions.report.page.single import run_page
from ci_sessions.text import Redactor

BAD = "<img src=x onerror=alert(1)>\"'</script><script>alert(2)</script>{{ 7*7 }}\x1b[31m\u202e"


class Tags(HTMLParser):
    """Collects the tags of a page, and the attributes that could run something."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.handlers = [], []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.handlers += [name for name, value in attrs if name.startswith("on") or name == "style"]
        self.handlers += [value for name, value in attrs if "javascript:" in (value or "")]


def page(run=RUN, commands=None, redact=str):
    return run_page(run, commands or {}, "a.jsonl", Templates(redact))


def hostile():
    case = Case(BAD, "error", BAD, BAD, 1, BAD)
    step = replace(
        STEP, id=BAD, test=BAD, command=BAD, note=BAD, tail=(BAD,), log=BAD, cases=Cases(1, 1, failed=(case, case))
    )  # fmt: skip
    job = {"config": BAD, "build_environment": BAD, "shard": BAD, "num_shards": BAD}
    return replace(RUN, id=BAD, job=job, note=BAD, checkout=BAD, steps=(step,))


def test_hostile_texts_are_escaped():
    text = page(hostile(), {BAD: [BAD]})
    usual, tags = Tags(page(RUN, {"x": ["y"]})), Tags(text)
    assert tags.tags.count("script") == usual.tags.count("script") == 1
    assert "img" not in tags.tags
    assert tags.handlers == usual.handlers == []
    assert "49" not in re.findall(r"\b49\b", text)
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "\\u202e" in text


def test_the_policy_allows_the_script_and_the_style_of_the_page_only():
    text = page()
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)[1].replace("&#39;", "'")
    for tag in ("script", "style"):
        (content,) = re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy


def test_a_page_loads_nothing():
    assert re.findall(r'(?:src|href)="(?!#|data:)[^"]*"', page()) == []
    assert re.findall(r"url\(|@import|https?://", page()) == []


def test_secrets_are_hidden():
    redact = Redactor({"A_TOKEN": "very-secret-value"})
    text = page(replace(RUN, note="it is very-secret-value"), redact=redact)
    assert "very-secret" not in text
    assert "it is ***" in text


def test_without_jinja_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(MissingToolError, match=re.escape("pip install 'ci-sessions[report]'")):
        Templates(str)


def test_the_sections_of_a_run_that_passed_have_no_failures():
    text = page(replace(RUN, steps=()))
    assert 'href="#failures"' not in text
    assert 'href="#steps"' in text
