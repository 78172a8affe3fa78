"""A miniature version of PyTorch's test/run_test.py: its options and reports, and a few real tests.

A name such as ``test_jit`` or ``inductor/test_torchinductor`` runs ``test/NAME.py`` if that exists,
or else a file that represents the folder (``inductor/test_family.py``). ``-k`` takes names joined
by ``and`` and ``or``, as pytest does; it is ignored if nothing matches. Files are run with unittest;
results are written as JUnit XML to test/test-reports.
"""

import argparse
import doctest
import io
import sys
import time
import unittest
from pathlib import Path
from xml.sax.saxutils import quoteattr

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
CPP = "cpp/"
PYTHON_TESTS = ["test_torch", "test_ops"]
IN_TEST_OPS = {"test_matmul_cuda", "test_scaled_matmul_cuda", "test_foreach", "test_linalg"}
SETS = {
    "distributed_tests": ["distributed/test_c10d_gloo", "distributed/test_family"],
    "include_inductor_core_tests": ["inductor/test_family"],
    "include_dynamo_core_tests": ["test_jit"],
}
FLAGS = (
    "--verbose --cpp --distributed-tests --exclude-jit-executor --exclude-distributed-tests "
    "--exclude-quantization-tests --exclude-inductor-tests --inductor --dynamo --xpu --einops --openreg "
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
    for flag in FLAGS.split():
        parser.add_argument(flag, action="store_true")
    return parser.parse_args()


def selected(options):
    names = options.include
    if names is None:
        sets = [tests for flag, tests in SETS.items() if getattr(options, flag)]
        names = sets[0] if sets else PYTHON_TESTS
    names = [name.removesuffix(".py") for name in names]
    names = [name for name in dict.fromkeys(names) if name not in options.exclude]
    number, total = options.shard
    return [name for index, name in enumerate(names) if index % total == number - 1]


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
    names = selected(options)
    print(f"Running {len(names)} test files, shard {options.shard[0]} of {options.shard[1]}: {' '.join(names)}")
    bad = []
    for name in names:
        if options.cpp or name.startswith(CPP):
            print(f"{name}: the sample checkout has no C++ tests of this kind")
            continue
        print(f"Running {name} ...", flush=True)
        runner = unittest.TextTestRunner(stream=sys.stdout, verbosity=2 if options.verbose else 1, resultclass=Result)
        result = runner.run(matching(load(name), options.k))
        write_report(name, result)
        if not result.wasSuccessful():
            bad.append(name)
    for name in bad:
        print(f"{name} failed!")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
