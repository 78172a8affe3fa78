from __future__ import annotations

import pytest

from ci_sessions.records.record import Case
from ci_sessions.run.case_scanner import CaseScanner


def test_output_names_failed_cases_too():
    scanner = CaseScanner()
    for piece in (
        "ERROR: test_a (jit.test_x.TestX)\nFAIL: test_b (jit.test_x.",
        "TestX.test_b)\nFAILED test/test_y.py::TestY::test_c - AssertionError: no\nfine\n",
    ):
        scanner.feed(piece)
    cases = scanner.cases()
    assert cases.failed == (
        Case("jit.test_x.TestX.test_a", "error"),
        Case("jit.test_x.TestX.test_b", "failure"),
        Case("test/test_y.py::TestY::test_c", "failure", "AssertionError: no"),
    )
    assert (cases.errors, cases.failures, cases.source) == (1, 2, "the output")
    assert CaseScanner().cases() is None


def test_names_with_durations_and_messages_that_are_cut():
    """This is what run_test.py of PyTorch 2.6.0 prints, outside CI."""
    scanner = CaseScanner()
    scanner.feed(
        "___________ TestBackends.test_errors ___________\n"
        "E   OSError: /x/libjitbackend_test.so: cannot open shared object file\n"
        "=========================== short test summary info ============================\n"
        "FAILED [0.0085s] test_jit_legacy.py::TestBackends::test_errors - OSError: /x...\n"
        "======== 1 failed, 209 passed, 4 skipped, 1 xfailed, 2 rerun in 16.80s =========\n"
    )
    (case,) = scanner.cases().failed
    assert case.name == "test_jit_legacy.py::TestBackends::test_errors"
    assert case.message == "OSError: /x/libjitbackend_test.so: cannot open shared object file"


def test_counts_of_several_files_are_added():
    scanner = CaseScanner()
    scanner.feed("Ran 3 tests in 0.1s\n\nOK (skipped=1)\nRan 1 test in 0s\n\nFAILED (errors=1)\n")
    cases = scanner.cases()
    assert (cases.total, cases.errors, cases.skipped, cases.failed) == (4, 1, 1, ())


def test_models_that_differ_from_the_expected_results():
    """This is what benchmarks/dynamo/check_accuracy.py of PyTorch 2.6.0 prints."""
    scanner = CaseScanner()
    scanner.feed(
        "DistilBertForMaskedLM               FAIL:     accuracy=fail_accuracy, expected=pass\n"
        "\nError: 2 models have accuracy status regressed:\n    DistilBertForMaskedLM T5Small\n\n"
        "\nImprovement: 1 models have accuracy status improved:\n    GPT2ForSequence\n\n"
        "\nIf this change is expected, you can update `x.csv` to reflect the new baseline.\n"
    )
    cases = scanner.cases()
    assert cases.failed == (
        Case("DistilBertForMaskedLM", "failure", "accuracy status regressed"),
        Case("T5Small", "failure", "accuracy status regressed"),
        Case("GPT2ForSequence", "failure", "accuracy status improved"),
    )
    assert (cases.total, cases.failures) == (3, 3)


def test_doctests_have_a_summary_of_their_own():
    """This is what xdoctest prints for ``run_test.py --include doctests`` of PyTorch 2.6.0."""
    module = "/venv/lib/python3.11/site-packages/torch/utils/_cxx_pytree.py"
    scanner = CaseScanner()
    scanner.feed(
        f"        python -m xdoctest {module} tree_map:0\n\n"
        f"=== Failed tests ===\npython -m xdoctest {module} tree_iter:0\n"
        f"python -m xdoctest {module} tree_map:0\n"
        "=== 2 failed, 358 passed, 440 skipped, 15 warnings in 101.99 seconds ===\n"
    )
    cases = scanner.cases()
    assert [case.name for case in cases.failed] == [
        *("torch/utils/_cxx_pytree.py::tree_iter:0", "torch/utils/_cxx_pytree.py::tree_map:0")
    ]
    assert (cases.total, cases.failures, cases.skipped) == (800, 2, 440)


def test_a_line_like_that_of_xdoctest_is_no_failure():
    scanner = CaseScanner()
    scanner.feed("python -m xdoctest foo.py Bar:0\n===== 1 passed in 0.01s =====\n")
    assert (scanner.cases().total, scanner.cases().failed) == (1, ())


@pytest.mark.parametrize(
    "text",
    [
        "Ran 0 tests in 0.000s\n\nNO TESTS RAN\n",
        "=========================== 3564 deselected in 0.89s ===========================\n",
        "Running 0 items in this shard: \n\nRunning 0 items in this shard: \n",
        "============================ no tests ran in 0.01s =============================\n",
    ],
)
def test_a_total_of_no_cases_is_known(text):
    scanner = CaseScanner()
    scanner.feed(text)
    assert scanner.cases().total == 0


def test_cases_that_are_announced_are_no_total():
    scanner = CaseScanner()
    scanner.feed("Running 0 items in this shard: \nRunning 15 items in this shard: a, b\n")
    assert scanner.cases() is None


_OUTPUT = (
    "Running test_x 1/1 ... [now]\nfine\r\n"
    "ERROR: test_a (jit.test_x.TestX)\n----\nTraceback (most recent call last):\n"
    '  File "/pytorch/test/test_x.py", line 12, in test_a\nValueError: 1\n\n'
    "Ran 3 tests in 0.1s\n\nFAILED (errors=1)\nthe end, without a line feed"
)


@pytest.mark.parametrize("size", [1, 2, 7, 50, len(_OUTPUT)])
def test_output_may_arrive_in_pieces_of_any_size(size):
    scanner = CaseScanner()
    for at in range(0, len(_OUTPUT), size):
        scanner.feed(_OUTPUT[at : at + size])
    cases = scanner.cases()
    assert cases.total == 3
    assert cases.failed == (
        Case(
            "jit.test_x.TestX.test_a",
            "error",
            "ValueError: 1",
            "/pytorch/test/test_x.py",
            12,
            "test_x",
        ),
    )
