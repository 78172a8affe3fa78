"""Makes the screenshots of docs/report.md: python tests/e2e/screenshots.py [RECORDS OF A RED RUN].

The fleet is generated (10,000 runs). Without records of a run, its pictures are left as they are.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from e2e.browser import Look, launched, opened  # noqa: E402
from fleet_files import write_fleet_files  # noqa: E402

from ci_sessions.__main__ import main  # noqa: E402

FOLDER = ROOT / "docs" / "screenshots"
LARGEST = 150_000  # bytes
LIGHT, DARK = (Look(scheme, scheme, 1180, 680) for scheme in ("light", "dark"))
NARROW = Look("narrow", "light", 400, 760)


def shoot(browser, path, look, name, anchor=""):
    """Write one picture of what a page shows first, or from a section on."""
    with opened(browser, path, look) as it:
        if anchor:
            it.page.evaluate(
                "id => document.getElementById(id).scrollIntoView({behavior: 'instant'})", anchor
            )
        target = FOLDER / f"{name}.png"
        it.page.screenshot(path=target)
    size = target.stat().st_size
    print(f"{target.relative_to(ROOT)}: {size:,} bytes")
    assert size <= LARGEST, "a picture in the repository is to be small"


def report(*words):
    """Write a page."""
    assert main(["report", *map(str, words)]) == 0


def take(folder, records):
    """Take all pictures."""
    write_fleet_files(folder / "artifacts", 10_000)
    fleet, run = folder / "fleet.html", folder / "run.html"
    if records:
        report("--records", records, "--run", "last", "--out", run)
    os.chdir(folder)  # so that a picture has no path of this machine
    report("--records", "artifacts", "--rollout", "rollout.toml", "--out", fleet)
    FOLDER.mkdir(exist_ok=True)
    with launched() as browser:
        shoot(browser, fleet, LIGHT._replace(height=1000), "fleet-light")
        shoot(browser, fleet, DARK, "fleet-dark", "pairs")
        shoot(browser, fleet, NARROW, "fleet-narrow")
        shoot(browser, fleet, LIGHT, "runs", "runs")
        if records:
            shoot(browser, run, LIGHT, "run-light")
            shoot(browser, run, DARK, "run-dark", "time")
            shoot(browser, run, NARROW, "run-narrow")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        take(Path(name), sys.argv[1] if len(sys.argv) > 1 else None)
