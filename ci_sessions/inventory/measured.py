"""Times of test files from the reports of runs, as a timing file that run_test.py reads.

For those who have no access to PyTorch's own times. Reports are JUnit files that tests wrote, so
they are read within limits, and only numbers in them count.
"""

from __future__ import annotations

import json
import math
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from xml.parsers import expat

from ci_sessions.checkout.files import read_regular
from ci_sessions.run.reports import find_reports

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["measured_seconds", "merge_times"]

_MAX_SIZE = 64 << 20  # bytes of a report
_LONGEST = 24 * 3600.0  # seconds of a test case that are believed
_FOLDERS = ("python-pytest", "python-unittest")


def measured_seconds(root: Path) -> dict[str, float]:
    """Return the seconds of each test file in ``test/test-reports`` of the checkout at ``root``.

    A file's time is the sum of its cases; of a case that ran several times, the last run counts.
    """
    found: dict[str, dict[str, float]] = {}
    reports = find_reports(root)
    for path in sorted(reports, key=lambda path: reports[path]):
        parts = path.relative_to(root / "test" / "test-reports").parts
        if len(parts) > 2 and parts[0] in _FOLDERS:  # noqa: PLR2004 - kind, test file, report
            with suppress(OSError, expat.ExpatError):
                cases = _cases(read_regular(path, _MAX_SIZE))
                found.setdefault(parts[1].replace(".", "/"), {}).update(cases)
    return {name: round(sum(cases.values()), 3) for name, cases in sorted(found.items())}


def _cases(data: bytes) -> dict[str, float]:
    found: dict[str, float] = {}
    parser = expat.ParserCreate()

    def start(tag: str, given: Mapping[str, str]) -> None:
        if tag == "testcase":
            with suppress(ValueError):
                seconds = float(given.get("time", ""))
                if math.isfinite(seconds) and 0 <= seconds <= _LONGEST:
                    found[f"{given.get('classname')}.{given.get('name')}"] = seconds

    def reject(*_: object) -> None:
        raise expat.ExpatError("a report has no document type")

    parser.StartElementHandler = start
    parser.StartDoctypeDeclHandler = reject
    parser.Parse(data, True)
    return found


def merge_times(
    times: Mapping[str, Any], build: str, config: str, seconds: Mapping[str, float]
) -> str:
    """Return the text of a timing file: ``times`` with those of a build and configuration added.

    The configuration's times on the build ``default`` are added too, where there were none, so that
    other builds have an estimate.
    """
    found = {name: dict(configs) for name, configs in times.items()}
    own = found.setdefault(build, {})
    own[config] = {**own.get(config, {}), **seconds}
    default = found.setdefault("default", {})
    for name in (config, "default"):
        default[name] = {**seconds, **default.get(name, {})}
    return json.dumps(found, indent=1, sort_keys=True) + "\n"
