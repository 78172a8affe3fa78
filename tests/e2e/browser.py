"""Debian's Chromium, driven by Playwright, and pages as people look at them.

Chromium is installed with apt if that is possible; else the tests are skipped with a reason.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import time
from typing import NamedTuple

import pytest
from playwright.sync_api import sync_playwright

ARGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
READY = "html[data-ready]"


class Look(NamedTuple):
    """How a page is looked at."""

    name: str
    scheme: str
    width: int
    height: int


LOOKS = (
    Look("light", "light", 1280, 900),
    Look("dark", "dark", 1280, 900),
    Look("narrow", "light", 400, 860),
)


def find_chromium():
    """Return the path of Chromium, installed on first use; or skip."""
    path = shutil.which("chromium")
    if path is None and shutil.which("apt-get") and os.geteuid() == 0:
        quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for words in (["update"], ["install", "-y", "--no-install-recommends", "chromium"]):
            subprocess.run(["apt-get", "-qq", *words], env=quiet, check=False, capture_output=True)
        path = shutil.which("chromium")
    if path is None:
        pytest.skip("needs chromium, or apt and root to install it")
    return path


@contextlib.contextmanager
def launched():
    """Yield the browser."""
    path = find_chromium()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(ARGS))
        yield browser
        browser.close()


class Opened(NamedTuple):
    """A page in the browser: what it said on the console or requested, and how long it took (s)."""

    page: object
    said: list[str]
    seconds: float


@contextlib.contextmanager
def opened(browser, path, look=LOOKS[0], fragment=""):
    """Open a file, and wait until its list of runs is there."""
    context = browser.new_context(
        color_scheme=look.scheme, viewport={"width": look.width, "height": look.height}
    )
    page, said = context.new_page(), []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("dialog", lambda dialog: said.append(f"dialog: {dialog.message}"))
    page.on("request", lambda request: said.append(request.url) if request.url.startswith(("http", "ws")) else None)  # fmt: skip
    began = time.monotonic()
    page.goto(f"file://{path}{fragment}")
    page.wait_for_selector(READY, state="attached")
    yield Opened(page, said, time.monotonic() - began)
    context.close()
