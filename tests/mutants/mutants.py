"""Mutate the gate and the records, and compare the survivors with ``survivors.toml``.

    python tests/mutants/mutants.py [MODULE…]     such as gate.rollout; by default, all
    python tests/mutants/mutants.py --report      only compare the results of the last run

Fails if a mutant survives that the file does not list, or if fewer than 95 % are noticed. A mutant
is identified by its function and the lines that it changes, so that edits elsewhere do not matter.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path

from mutmut.mutation.diff_apply import get_diff_for_mutant
from mutmut.stats import status_by_exit_code

from ci_sessions.toml import tomllib

FOLDER = Path("mutants")
LISTED = Path(__file__).with_name("survivors.toml")
LEAST = 0.95
SURVIVED = ("survived", "no tests", "suspicious", "skipped", "not checked")


def describe(name):
    """Return ``gate.gate.choose: - old line + new line`` for a mutant."""
    diff = get_diff_for_mutant(name).splitlines()
    lines = [f"{line[0]} {line[1:].strip()}" for line in diff if line[:1] in tuple("+-")]
    changes = " ".join(line for line in lines if line[:3] not in ("- -", "+ +"))
    function = name.partition("__mutmut_")[0].removeprefix("ci_sessions.")
    return f"{function.replace('.x_', '.').replace('.xǁ', '.').replace('ǁ', '.')}: {changes}"


def read_results(modules):
    """Return the mutants of each module, each with whether it survived."""
    found = defaultdict(dict)
    for path in sorted(FOLDER.rglob("*.meta")):
        module = ".".join(path.relative_to(FOLDER / "ci_sessions").parts).removesuffix(".py.meta")
        if not modules or module in modules:
            for name, code in json.loads(path.read_text())["exit_code_by_key"].items():
                found[module][name] = status_by_exit_code[code] in SURVIVED
    return found


def main(arguments):
    """Return 1 if there is a new survivor, or if too few mutants are noticed."""
    modules = [name for name in arguments if name != "--report"]
    if "--report" not in arguments:
        shutil.rmtree(FOLDER, ignore_errors=True)
        names = [f"ci_sessions.{name}.*" for name in modules]
        subprocess.run(["mutmut", "run", *names], check=True)
    results = read_results(modules)
    listed = {
        text for group in tomllib.loads(LISTED.read_text())["group"] for text in group["mutants"]
    }
    survivors = {
        describe(name) for each in results.values() for name, alive in each.items() if alive
    }
    total = Counter()
    for module, each in results.items():
        counts = Counter(total=len(each), noticed=sum(not alive for alive in each.values()))
        total += counts
        print(f"{module:20} {counts['noticed']:5} of {counts['total']:5} noticed")
    rate = total["noticed"] / max(total["total"], 1)
    print(f"{'all':20} {total['noticed']:5} of {total['total']:5} noticed, {100 * rate:.1f} %")
    for text in sorted(survivors - listed):
        print(f"new survivor: {text}")
    for text in sorted(listed - survivors):
        if not modules or text.startswith(tuple(modules)):
            print(f"listed, but noticed or gone: {text}")
    return int(bool(survivors - listed) or rate < LEAST)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
