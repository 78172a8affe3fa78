"""The pages of ``report`` in a browser: filters, search, keyboard, accessibility, hostile names."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from axe_playwright_python.sync_playwright import Axe
from e2e.browser import LOOKS, launched, opened
from fleet_files import write_fleet_files
from playwright.sync_api import expect

RUNS = 10_000
MEGABYTE = 1_000_000
BAD = '\'"><img src=x onerror="window.bad=1"></script><script>window.bad=2</script>'


@pytest.fixture(scope="module")
def browser():
    with launched() as browser:
        yield browser


def report(folder, *more):
    """Write a page about some records and return its path."""
    path = folder / "page.html"
    words = [
        "report",
        "--records",
        folder / "records",
        "--rollout",
        folder / "rollout.toml",
        "--out",
        path,
    ]
    subprocess.run([sys.executable, "-m", "ci_sessions", *map(str, words), *more], check=True)
    return path


@pytest.fixture(scope="module")
def fleet(tmp_path_factory):
    """Return a page about 10,000 runs."""
    folder = tmp_path_factory.mktemp("fleet")
    write_fleet_files(folder / "records", RUNS)
    return report(folder)


@pytest.fixture(scope="module")
def one_run(fleet):
    """Return the page of a red run."""
    folder = fleet.parent
    lines = (folder / "records" / "049.jsonl").read_text().splitlines()
    end = next(line for line in lines if '"run ended"' in line and '"failed"' in line)
    name = end.partition('"id": "')[2].partition('"')[0]
    path = folder / "run.html"
    words = ["report", "--records", folder / "records", "--run", name, "--out", path]
    subprocess.run([sys.executable, "-m", "ci_sessions", *map(str, words)], check=True)
    return path


@pytest.mark.parametrize("look", LOOKS, ids=lambda look: look.name)
def test_the_page_of_10000_runs_is_small_opens_quickly_and_says_nothing(browser, fleet, look):
    assert fleet.stat().st_size < 2 * MEGABYTE
    with opened(browser, fleet, look) as it:
        print(f"{look.name}: {fleet.stat().st_size:,} bytes, opened in {it.seconds:.2f} s")
        assert it.seconds < 2
        assert it.said == []
        assert it.page.inner_text("#count") == "10,000"
        assert it.page.evaluate("document.documentElement.scrollWidth") <= look.width
        assert it.page.locator("#rows > tr").count() == 50
        it.page.click("#more")
        assert it.page.locator("#rows > tr").count() == 100


def test_filters_and_search_narrow_the_list_and_a_link_keeps_them(browser, fleet):
    with opened(browser, fleet) as it:
        page = it.page
        page.select_option("#f-config", "inductor_cpp_wrapper")
        page.select_option("#f-outcome", "red")
        page.fill("#q", "test_conv2d_unary_3 gcc11")
        expect(page).to_have_url(re.compile("conv2d"))
        status, url = page.inner_text("#status"), page.url
        number = int(status.split()[0])
        assert 0 < number < 100
        assert f"{number} of 10,000 runs, {number} red" == status
        assert set(page.locator("#rows td[data-label=configuration]").all_inner_texts()) == {"inductor_cpp_wrapper"}  # fmt: skip
        assert page.input_value("#rates-of") == "inductor_cpp_wrapper"
        rates = page.get_attribute("nav a[data-section=rates]", "href")
        assert "config=inductor_cpp_wrapper" in rates
    with opened(browser, fleet, fragment=url.partition("page.html")[2]) as it:
        assert it.page.inner_text("#status") == status
        assert it.page.input_value("#q") == "test_conv2d_unary_3 gcc11"
        it.page.click("#reset")
        it.page.fill("#q", "no such run")
        expect(it.page.locator("#status")).to_contain_text("No run matches")


@pytest.mark.parametrize(
    ("name", "value"), [("phase", "2C"), ("runner", "python"), ("build", "linux-jammy-py3.10-gcc11"), ("outcome", "fallback")]
)  # fmt: skip
def test_each_filter_leaves_some_runs(browser, fleet, name, value):
    with opened(browser, fleet, fragment=f"#runs?{name}={value}") as it:
        number = int(it.page.inner_text("#status").split()[0].replace(",", ""))
        assert 0 < number < RUNS


def test_the_runs_behind_a_verdict_are_a_click_away(browser, fleet):
    with opened(browser, fleet) as it:
        row = it.page.locator("#config-docs_test + tr")
        row.locator("summary").click()
        link = row.locator("a[href^='#runs?verdict=']")
        number = link.inner_text().removesuffix(" runs")
        link.click()
        expect(it.page.locator("#status")).to_contain_text("behind")
        assert it.page.inner_text("#status").startswith(f"{number} of 10,000 runs behind the verdict on docs_test")  # fmt: skip


def test_details_of_a_red_run_say_why_and_how_to_repeat_it(browser, fleet):
    with opened(browser, fleet, fragment="#runs?outcome=red&config=inductor_cpp_wrapper&runner=python") as it:  # fmt: skip
        it.page.locator("#rows button.open").first.click()
        details = it.page.locator("tr.details")
        details.locator(".failed").wait_for()
        text = details.inner_text()
        assert "Repeat this step" in text
        assert "-m ci_sessions run inductor_cpp_wrapper --build-environment" in text
        assert "set-up" in text
        link = details.locator("a", has_text="Link to this run").get_attribute("href")
    with opened(browser, fleet, fragment=link) as it:
        it.page.locator("tr.details .failed").wait_for()
        assert it.page.inner_text("#status").startswith("1 of 10,000")


def test_a_passed_run_without_details_has_a_command_that_makes_its_page(browser, fleet):
    first = (
        (fleet.parent / "records" / "000.jsonl")
        .read_text()
        .partition('"id": "')[2]
        .partition('"')[0]
    )
    with opened(browser, fleet, fragment=f"#runs?run={first}") as it:
        line = it.page.locator("tr.details pre").first
        line.wait_for()
        done = subprocess.run(
            f"{line.inner_text()} --out own.html", shell=True, cwd=fleet.parent, check=False, capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert 'id="steps"' in (fleet.parent / "own.html").read_text()


def test_all_of_it_works_with_the_keyboard(browser, fleet):
    with opened(browser, fleet) as it:
        page = it.page
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className") == "skip"
        seen = set()
        for _ in range(400):
            page.keyboard.press("Tab")
            found = page.evaluate(
                "(() => { const e = document.activeElement, s = getComputedStyle(e);"
                " return [e.id || e.className || e.tagName, s.outlineStyle, s.outlineWidth]; })()"
            )
            assert found[1:] == ["solid", "2px"], f"no visible focus on {found[0]}"
            seen.add(found[0])
            if found[0] == "open":
                break
        assert {
            "q",
            "f-config",
            "f-outcome",
            "reset",
            "theme",
            "rates-of",
            "SUMMARY",
            "open",
        } <= seen
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.getAttribute('aria-expanded')") == "true"
        page.locator("tr.details dl").first.wait_for()
        page.keyboard.press("Enter")
        assert page.locator("tr.details").count() == 0
        page.focus("#f-outcome")
        page.keyboard.type("failed")
        assert "outcome=failed" in page.url


def test_the_theme_can_be_changed(browser, fleet):
    with opened(browser, fleet) as it:
        ground = "getComputedStyle(document.body).backgroundColor"
        light = it.page.evaluate(ground)
        it.page.click("#theme")
        assert it.page.inner_text("#theme") == "Theme: light"
        it.page.click("#theme")
        assert it.page.evaluate(ground) != light


def test_hostile_names_are_text_and_the_policy_lets_nothing_else_run(browser, tmp_path):
    write_fleet_files(tmp_path / "records", 400, suffix=BAD)
    with opened(browser, report(tmp_path), fragment="#runs?outcome=failed") as it:
        for button in it.page.locator("#rows button.open").all():
            button.click()
        it.page.locator("tr.details .failed").first.wait_for()
        assert 'onerror="window.bad=1"' in it.page.locator("tr.details").first.inner_text()
        assert it.page.locator("main img, main script").count() == 0
        assert it.page.evaluate("window.bad") is None
        assert it.said == []
        it.page.evaluate("html => document.body.insertAdjacentHTML('beforeend', html)", BAD)
        it.page.wait_for_timeout(200)
        assert it.page.evaluate("window.bad") is None
        assert any("Content Security Policy" in text for text in it.said)


@pytest.mark.parametrize("kind", ["fleet", "run"])
@pytest.mark.parametrize("look", LOOKS, ids=lambda look: look.name)
def test_axe_finds_nothing(browser, fleet, one_run, kind, look):
    with opened(browser, fleet if kind == "fleet" else one_run, look) as it:
        if kind == "fleet":
            it.page.locator("#config-jit_legacy + tr summary").click()
            it.page.select_option("#f-outcome", "red")
            it.page.locator("#rows button.open").first.click()
            it.page.locator("tr.details .failed").wait_for()
        found = Axe().run(it.page)
        for one in found.response["violations"]:
            print(one["impact"], one["id"], one["help"], [node["html"][:120] for node in one["nodes"][:3]])  # fmt: skip
        print(f"{kind}, {look.name}: {len(found.response['passes'])} rules passed")
        assert [one["id"] for one in found.response["violations"]] == []
