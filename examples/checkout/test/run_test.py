"""A miniature version of PyTorch's test/run_test.py: its options and reports, and a few real tests.

A name such as ``test_jit`` or ``inductor/test_torchinductor`` runs ``test/NAME.py`` if that exists,
or else a file that represents the folder (``inductor/test_family.py``). ``-k`` takes names joined
by ``and`` and ``or``, as pytest does; it is ignored if nothing matches. Files are run with unittest;
results are written as JUnit XML to test/test-reports. ``--dry-run`` only lists the tests, in the
format of PyTorch's own, with the times in .additional_ci_files/test-times.json. A part N/M of a file
runs every M-th of its cases.
"""

import argparse
import doctest
import io
import json
import math
import os
import sys
import time
import unittest
from pathlib import Path
from xml.sax.saxutils import quoteattr

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
CPP = "cpp/"
TESTS = ["test_torch", "test_ops", "test_jit", "test_jit_fuser_legacy", "test_jit_legacy",
         "inductor/test_family", "distributed/test_c10d_gloo", "distributed/test_family"]
LEFT_OUT = {
    "exclude_jit_executor": ["test_jit_fuser_legacy", "test_jit_legacy"],
    "exclude_distributed_tests": ["distributed/test_c10d_gloo", "distributed/test_family"],
    "exclude_inductor_tests": ["inductor/test_family"],
}
SERIAL = ["test_torch"]
PROCESSES = 2  # parallel files
LONGEST = 600  # seconds; a file that takes longer is divided into parts
TIMES = HERE.parent / ".additional_ci_files" / "test-times.json"
IN_TEST_OPS = {"test_matmul_cuda", "test_scaled_matmul_cuda", "test_foreach", "test_linalg"}
SETS = {
    "distributed_tests": ["distributed/test_c10d_gloo", "distributed/test_family"],
    "include_inductor_core_tests": ["inductor/test_family"],
    "include_dynamo_core_tests": ["test_jit"],
    "openreg": ["test_torch"],
    "einops": ["test_jit"],
}
FLAGS = (
    "--verbose --cpp --distributed-tests --exclude-jit-executor --exclude-distributed-tests "
    "--exclude-quantization-tests --exclude-inductor-tests --exclude-torch-export-tests "
    "--exclude-aot-dispatch-tests --inductor --dynamo --xpu --einops --openreg "
    "--include-inductor-core-tests --include-dynamo-core-tests --include-cpython-tests "
    "--upload-artifacts-while-running"
)


def parse():
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("-i", "--include", nargs="+", default=None)
    parser.add_argument("--exclude", nargs="+", default=[])
    parser.add_argument("-k", default="")
    parser.add_argument("--shard", nargs=2, type=int, default=(1, 1))
    parser.add_argument("--multigpu-filter", default="")
    parser.add_argument("-dist", default="")
    parser.add_argument("--dry-run", action="store_true")
    for flag in FLAGS.split():
        parser.add_argument(flag, action="store_true")
    return parser.parse_args()


def get_selected_tests(options):
    names = options.include
    if names is None:
        sets = [tests for flag, tests in SETS.items() if getattr(options, flag)]
        names = sets[0] if sets else TESTS
    left_out = {name for flag, tests in LEFT_OUT.items() if getattr(options, flag) for name in tests}
    names = [name.removesuffix(".py") for name in names]
    return [name for name in dict.fromkeys(names) if name not in left_out.union(options.exclude)]


class Part:
    """A part of a test file; its time is in seconds, None if unknown."""

    def __init__(self, name, shard=1, num_shards=1, time=None):
        self.name, self.shard, self.num_shards, self.time = name, shard, num_shards, time

    def __str__(self):
        return f"{self.name} {self.shard}/{self.num_shards}"


def load_test_times():
    if not TIMES.exists():
        print(f"::warning:: Failed to find test times file `{TIMES}`. Using round robin sharding.")
        return {}
    times = json.loads(TIMES.read_text())
    build, config = os.environ.get("BUILD_ENVIRONMENT"), os.environ.get("TEST_CONFIG")
    if config in times.get(build, {}):
        print("Found test times from artifacts")
        return times[build][config]
    known = config if config in times["default"] else "default"
    print(f"::warning:: Using default build env and {known} test config instead.")
    return times["default"][known]


def must_serial(name):
    return name in SERIAL


def total_time(parts):
    processes = [0.0] * PROCESSES
    for part in parts:
        if not must_serial(part.name):
            processes[processes.index(min(processes))] += part.time or 0
    return max(processes) + sum(part.time or 0 for part in parts if must_serial(part.name))


def calculate_shards(count, names, times):
    """Give each part, the longest first, to the shard that takes least; others in turn."""
    parts = []
    for name in names:
        number = max(1, math.ceil(times.get(name, 0) / LONGEST))
        time = times[name] / number if name in times else None
        parts += [Part(name, shard, number, time) for shard in range(1, number + 1)]
    shards = [[] for _ in range(count)]
    for part in sorted((part for part in parts if part.time is not None), key=lambda part: -part.time):
        min(shards, key=total_time).append(part)
    for index, part in enumerate(part for part in parts if part.time is None):
        shards[index % count].append(part)
    return [(total_time(shard), shard) for shard in shards]


def describe(seconds, parts):
    lines = [f"Name: tests to run (est. time: {round(seconds / 60, 2)}min)"]
    for kind, is_serial in (("Serial", True), ("Parallel", False)):
        some = [part for part in parts if must_serial(part.name) == is_serial]
        lines += [f"  {kind} tests ({len(some)}):", *(f"    {part}" for part in some)]
    return "\n".join(lines)


def load(name):
    if name == "doctests":
        return doctest.DocFileSuite(str(HERE.parent / "docs" / "tensors.md"), module_relative=False)
    path = HERE / f"{name}.py"
    if not path.is_file():
        path = HERE / ("test_ops.py" if name in IN_TEST_OPS else f"{name.partition('/')[0]}/test_family.py")
    if not path.is_file():
        sys.exit(f"run_test.py: error: argument --include: invalid choice: {name!r}")
    module = ".".join(path.relative_to(HERE).with_suffix("").parts)
    return unittest.defaultTestLoader.loadTestsFromName(module)


def cases_of(suite):
    for item in suite:
        yield from cases_of(item) if isinstance(item, unittest.TestSuite) else (item,)


def matching(suite, expression):
    """Return the cases whose names contain all words of one of the alternatives."""
    alternatives = [one.strip(" ()").split(" and ") for one in expression.split(" or ")]
    found = [c for c in cases_of(suite) if any(all(w in c.id() for w in one) for one in alternatives)]
    return unittest.TestSuite(found)


class Result(unittest.TextTestResult):
    """Collects what JUnit XML needs: name, duration, failure."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.rows = []

    def startTest(self, test):
        self.started = time.perf_counter()
        super().startTest(test)

    def row(self, test, fault="", message=""):
        self.rows.append((test, time.perf_counter() - self.started, fault, message))

    def addSuccess(self, test):
        super().addSuccess(test)
        self.row(test)

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self.row(test, "skipped", reason)

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self.row(test, "failure", f"{err[0].__name__}: {err[1]}")

    def addError(self, test, err):
        super().addError(test, err)
        self.row(test, "error", f"{err[0].__name__}: {err[1]}")


def write_report(name, result):
    folder = HERE / "test-reports" / "python-unittest" / name.replace("/", ".")
    folder.mkdir(parents=True, exist_ok=True)
    out = io.StringIO()
    out.write(f'<testsuite name={quoteattr(name)} tests="{len(result.rows)}">\n')
    for test, seconds, fault, message in result.rows:
        classname, _, case = test.id().rpartition(".")
        out.write(f'<testcase classname={quoteattr(classname)} name={quoteattr(case)} time="{seconds:.3f}">')
        if fault:
            out.write(f"<{fault} message={quoteattr(message)}/>")
        out.write("</testcase>\n")
    out.write("</testsuite>\n")
    (folder / f"TEST-{name.replace('/', '.')}-{time.time_ns()}.xml").write_text(out.getvalue())


def main():
    options = parse()
    number, count = options.shard
    seconds, parts = calculate_shards(count, get_selected_tests(options), load_test_times())[number - 1]
    print(describe(seconds, parts), file=sys.stderr)
    if options.dry_run:
        return 0
    print(f"Running {len(parts)} test files, shard {number} of {count}: {' '.join(map(str, parts))}")
    bad = []
    for part in parts:
        name = part.name
        if options.cpp or name.startswith(CPP):
            print(f"{name}: the sample checkout has no C++ tests of this kind")
            continue
        print(f"Running {part} ...", flush=True)
        runner = unittest.TextTestRunner(stream=sys.stdout, verbosity=2 if options.verbose else 1, resultclass=Result)
        cases = list(cases_of(matching(load(name), options.k)))[part.shard - 1 :: part.num_shards]
        result = runner.run(unittest.TestSuite(cases))
        write_report(name, result)
        if not result.wasSuccessful():
            bad.append(name)
    for name in bad:
        print(f"{name} failed!")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
