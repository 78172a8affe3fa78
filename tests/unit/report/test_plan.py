from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from conftest import make_plan

from ci_sessions.checkout.checkout import RECORDED
from ci_sessions.report.plan import describe_plan, plan_script

HERE = replace(RECORDED, root=Path("/py torch"), version="2.13.0")


def test_a_dry_run_of_a_distributed_job():
    plan = make_plan("distributed", "linux-jammy-cuda13.0-py3.10-gcc11", "1/3")
    text = describe_plan(plan, HERE, 0, {"SITE": "/site", "ROOT": "/py torch"}.__getitem__)
    assert re.fullmatch(r"row \d+ of \d+: config is distributed", plan.row)
    assert text.startswith(
        "distributed · shard 1 of 3 · linux-jammy-cuda13.0-py3.10-gcc11 (cuda 13.0, python 3.10, gcc 11)\n"
        f"{plan.row} · suite distributed\n"
        "checkout /py torch (PyTorch 2.13.0)\n"
    )
    for line in (
        "  cd '/py torch'",
        "  ROOT='/py torch'",
        "  SITE=/site",
        "  export PYTORCH_TESTING_DEVICE_ONLY_FOR=cuda",
        "test_distributed                         replaces test.sh: test_distributed, test_rpc",
        "  3  python test/run_test.py --distributed-tests --multigpu-filter multigpu --shard 1 3 --verbose",
        '  7  CPP_TESTS_DIR="$SITE"/torch/bin python test/run_test.py --cpp --verbose -i cpp/FileStoreTest',
        "test_c10d_nccl                           added (not in test.sh)",
        "     # must print nothing new except ?? third_party",
    ):
        assert line in text.splitlines()
    assert text.endswith("needs 2 CUDA devices (this machine: none) · nothing was run")


def test_a_dry_run_says_what_is_skipped_and_what_differs():
    text = describe_plan(make_plan("distributed"), HERE, 0, str)
    assert "     skipped: NCCL needs CUDA, and the build is for cpu" in text
    assert text.endswith("needs no device · nothing was run")
    text = describe_plan(make_plan("default", "linux-libtorch"), HERE, 0, str)
    assert "note: libtorch-no-op: test.sh runs no test" in text
    one = make_plan("inductor", "linux-noble-rocm-py3.12", CONTINUE_THROUGH_ERROR="1")
    text = describe_plan(one, HERE, 2, str)
    assert "  unset HIP_PLATFORM" in text
    assert "  ulimit -c 0" in text
    assert "needs 1 ROCM device (this machine: 2)" in text


def test_a_plan_as_a_script_comments_out_what_is_skipped():
    script = plan_script(make_plan("distributed"), HERE, str)
    assert script.startswith("#!/bin/bash\n# distributed · shard 1 of 1")
    assert (
        "\n# test_c10d_nccl: skipped, NCCL needs CUDA, and the build is for cpu\n# python test"
        in script
    )
    assert "if ! ls" in plan_script(make_plan("timm"), HERE, str)
