from __future__ import annotations

from ci_sessions.catalogue.verdicts import failed_models, slower_models

TABLE = """
--- T5Small ---
  backed: ok
  unbacked: ok
  T5Small                      10.000      10.200    +2.0%
  DistillGPT2                  10.000      10.500    +5.0%
  Faster-Model/x.y             10.000       9.500    -5.0%
"""


def test_slower_models_are_named_above_the_threshold():
    assert slower_models(TABLE) == ["DistillGPT2 +5.0%"]
    assert slower_models("") == []


def test_failed_models_are_those_whose_unbacked_run_failed():
    text = "unbacked FAILED before any model\n--- A ---\nbacked FAILED\n--- B ---\nunbacked run TIMEOUT\n--- C ---\nbacked ERROR\nunbacked ERROR\n"
    assert failed_models(text) == ["B", "C"]
    assert failed_models(TABLE) == []
