from __future__ import annotations

from ci_sessions.catalogue.judges import (
    Decision,
    failed_models,
    slower_models,
    unbacked_parity,
)

TABLE = """
--- T5Small ---
  backed: ok
  unbacked: ok
  T5Small                      10.000      10.200    +2.0%
  DistillGPT2                  10.000      10.500    +5.0%
  Faster-Model/x.y             10.000       9.500    -5.0%
"""


def test_models_slower_than_the_threshold_are_listed():
    assert slower_models(TABLE) == ["DistillGPT2 +5.0%"]
    assert slower_models("") == []


def test_failed_models_are_those_whose_unbacked_run_failed():
    text = "unbacked FAILED before any model\n--- A ---\nbacked FAILED\n--- B ---\nunbacked run TIMEOUT\n--- C ---\nbacked ERROR\nunbacked ERROR\n"
    assert failed_models(text) == ["B", "C"]
    assert failed_models(TABLE) == []


def test_a_slower_model_counts_only_in_most_runs():
    clean = TABLE.replace("+5.0%", "+1.0%")
    assert unbacked_parity([clean]).decision is Decision.PASS
    assert unbacked_parity([TABLE]).decision is Decision.RERUN
    assert unbacked_parity([TABLE, TABLE]) == (
        Decision.FAIL,
        "slower in 2 of 2 runs: DistillGPT2 +5.0%",
    )
    assert unbacked_parity([TABLE, clean]).decision is Decision.RERUN
    assert unbacked_parity([TABLE, clean, clean]).decision is Decision.PASS
    assert unbacked_parity([TABLE, clean, TABLE]).decision is Decision.FAIL


def test_a_model_whose_unbacked_run_fails_decides():
    failed = unbacked_parity(["--- B ---\nunbacked run TIMEOUT\n"])
    assert failed == (Decision.FAIL, "failed without backing: B")
