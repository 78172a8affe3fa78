"""Generated records of a fleet in the middle of its roll-out, in files, as artifacts of CI have them.

Each configuration is in another state: one has moved, one may move, one falls back, one is slower,
one has a new failure, and so on. The same seed gives the same files.
"""

from __future__ import annotations

import json
import random
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

from ci_sessions.clock import iso_timestamp
from ci_sessions.gate.rollout import bucket_of, read_rollout

if TYPE_CHECKING:
    from pathlib import Path

END = datetime(2026, 11, 27, 18, tzinfo=timezone.utc)
DAYS = 30
FILES = 50
BUILDS = tuple(
    f"linux-jammy-{device}py3.{minor}-{compiler}"
    for device in ("", "cuda13.0-")
    for minor in (10, 12, 14)
    for compiler in ("gcc11", "clang18")
)
UNSHARDED = ("smoke", "docs_test")
# Share now, days since it changed, tests with their usual seconds.
STATES = {
    "smoke": (100, 20, {"test_smoke": 140}),
    "docs_test": (25, 29, {"test_docs": 310, "test_tutorials": 180}),
    "python": (25, 9, {"test_python": 2900, "test_aten": 240, "test_vec256": 35}),
    "jit_legacy": (25, 6, {"test_jit": 160, "test_jit_legacy": 155}),
    "huggingface": (5, 12, {"test_benchmarks": 95, "test_huggingface": 2100}),
    "timm": (5, 10, {"test_benchmarks": 95, "test_timm": 2600}),
    "torchbench": (5, 12, {"test_benchmarks": 95, "test_torchbench": 3300}),
    "distributed": (0, 30, {"test_distributed": 2400, "test_c10d_gloo": 410}),
    "inductor_distributed": (0, 30, {"test_inductor": 900, "test_inductor_distributed": 1250}),
    "inductor_cpp_wrapper": (0, 30, {"test_inductor": 900, "test_inductor_cpp_wrapper": 1800}),
}
FLAKY = (
    ("distributed", "distributed.test_c10d_gloo.ProcessGroupGlooTest.test_allreduce_stress", "RuntimeError: Timed out waiting 1000ms for recv operation to complete"),
    ("huggingface", "huggingface.test_hub.TestHub.test_download", "AssertionError: 503 != 200"),
    ("jit_legacy", "jit.test_tracer.TestTracer.test_timing", "AssertionError: 0.131 not less than 0.1"),
)  # fmt: skip
OLD = ("torchbench", "torchbench.test_models.TestModels.test_hf_Reformer", "RuntimeError: expected accuracy pass, got fail_accuracy")  # fmt: skip
NEW = ("inductor_cpp_wrapper", "inductor.test_cpu_cpp_wrapper.TestCppWrapper.test_conv2d_unary", "CppCompileError: C++ compile error: use of undeclared identifier 'buf3'")  # fmt: skip


def rollout_text():
    """Return the rollout file of this fleet."""
    text = read_rollout().source.replace("open = false", "open = true")
    for config, (share, days, _) in STATES.items():
        since = iso_timestamp(END - timedelta(days=days))
        at = text.index(f"\n{config} = ")
        row = text[at + 1 :].partition("\n")[0]
        phase = row.partition("phase = ")[2].partition(",")[0]
        more = ", compare = false" if "compare" in row else ""
        new = f'{config} = {{ phase = {phase}, share = {share}{more}, since = "{since}" }}'
        text = text.replace(f"\n{row}\n", f"\n{new}\n", 1)
    return text.replace(
        '2C = { risk = "high", open = true }', '2C = { risk = "high", open = false }'
    )


def write_fleet_files(folder: Path, number: int, seed: int = 1, suffix: str = "") -> Path:
    """Write the records of ``number`` runs into a folder, and its rollout file beside it.

    ``suffix`` is added to names and messages, to see whether a page escapes them.
    """
    folder.mkdir(parents=True)
    folder.with_name("rollout.toml").write_text(rollout_text())
    parts = [(folder / f"{part:03}.jsonl").open("w") for part in range(FILES)]
    try:
        for n, events in enumerate(_runs(number, random.Random(seed), suffix)):
            parts[n * FILES // number].writelines(json.dumps(event) + "\n" for event in events)
    finally:
        for out in parts:
            out.close()
    return folder


def _runs(number, chance, suffix):
    """Yield the events of each run, oldest first."""
    salt, made = read_rollout().salt, 0
    configs = list(STATES)
    while made < number:
        config = configs[chance.randrange(len(configs))]
        share, since, _ = STATES[config]
        age = DAYS * (1 - made / number)  # days before the end
        build, shards = chance.choice(BUILDS), 1 if config in UNSHARDED else 3
        shard = (1 + chance.randrange(shards), shards)
        job = f"{build}.{config}.{shard[0]}-of-{shards}"
        commit = f"{chance.getrandbits(160):040x}"
        is_python = bucket_of(job, salt) < (share if age <= since else share // 2)
        is_pair = chance.random() < 0.06 and config != "python" and number - made > 1
        for python, reason in (
            ((False, "flag-off"), (True, "flag-on"))
            if is_pair
            else ((True, "split-in"),)
            if is_python
            else ((False, "shadow" if share == 0 else "split-out"),)
        ):
            yield _events(
                chance, config, build, shard, job, commit, age - made % 7 / 50, python, reason, made, suffix
            )  # fmt: skip
            made += 1


def _events(chance, config, build, shard, job, commit, age, python, reason, number, suffix):
    started = END - timedelta(days=age)
    tests = STATES[config][2]
    runner = "python" if python else "shell"
    route = {
        "runner": runner,
        "intended": runner,
        "reason": reason,
        "commit": commit,
        "is_partial": False,
    }
    if reason == "shadow":
        is_bad = config == "inductor_cpp_wrapper" and chance.random() < 0.02
        route |= {
            "shadow": "different" if is_bad else "equal",
            "shadow_detail": "test.sh:731: test_shim" if is_bad else "",
            "shadow_seconds": 0.8,
        }
    if python and config == "jit_legacy" and age < 4 and chance.random() < 0.3:
        route |= {
            "runner": "shell",
            "intended": "python",
            "fallback": "missing-tool",
            "error": "ninja is not installed: install it, or add it to the image. [missing-tool]",
        }
        runner = "shell"
    failure = _failure(chance, config, age)
    is_error = (
        python
        and runner == "python"
        and config in ("python", "huggingface")
        and chance.random() < 0.01
    )
    job_json = {
        "id": job,
        "config": config,
        "build_environment": build,
        "shard": shard[0],
        "num_shards": shard[1],
    }
    name = f"{iso_timestamp(started)}/{job}/{number:08x}"
    yield {
        "event": "run started",
        "format": 1,
        "id": name,
        "job": job_json,
        "started": iso_timestamp(started),
        "checkout": "/var/lib/jenkins/workspace",
        "runner": runner,
        "route": route,
    }
    slower = 1.16 if python and config == "timm" else 0.97 if python else 1.0
    clock, failed = started, False
    steps = (
        [("setup", f"set-up {n}", 3 + 9 * n, False) for n in range(4)] if runner == "python" else []
    )
    if runner == "python":
        steps += [
            (test, f"python test/run_test.py --include {test} --verbose", wall, True)
            for test, wall in tests.items()
        ]
        steps += [("cleanup", "git status --porcelain", 0.4, False)]
    else:
        steps += [("test_sh", "./.ci/pytorch/test.sh", sum(tests.values()) + 45, True)]
    for n, (test, command, usual, is_test) in enumerate(steps):
        wall = usual * slower * chance.uniform(0.93, 1.08)
        is_last_test = is_test and (test == "test_sh" or test == list(tests)[-1])
        is_bad = bool(failure) and is_last_test
        step = {
            "id": f"{config}.{test}.{n + 1}",
            "test": test,
            "number": n + 1,
            "kind": "test" if is_test else "command",
            "command": command + suffix,
            "test_kind": "replaces",
            "is_test": is_test,
        }
        yield {"event": "step started", **step, "started": iso_timestamp(clock)}
        cases = None
        if is_test:
            listed = [
                {
                    "name": case + suffix,
                    "fault": "error",
                    "message": message + suffix,
                    "file": f"test/{case.split('.')[1]}.py",
                    "line": 212,
                    "test_file": "",
                }
                for case, message in (failure if is_bad else ())
            ]
            parts = len(tests) if test == "test_sh" else 1
            cases = {
                "total": 1200 * parts,
                "failures": 0,
                "errors": len(listed),
                "skipped": 40 * parts,
                "failed": listed,
                "source": "test/test-reports",
            }
        yield {
            "event": "step ended",
            **step,
            "started": iso_timestamp(clock),
            "outcome": "failed" if is_bad else "passed",
            "code": int(is_bad),
            "wall": round(wall, 3),
            "cpu": round(wall * 1.7, 3),
            "peak": int(2.1e9 + 1e8 * chance.random()),
            "note": "",
            "cases": cases,
            "tail": [],
            "log": "",
        }
        clock += timedelta(seconds=wall + 0.05)
        failed = failed or is_bad
    outcome = "runner error" if is_error else "failed" if failed else "passed"
    yield {
        "event": "run ended",
        "id": name,
        "ended": iso_timestamp(clock),
        "wall": round((clock - started).total_seconds(), 3),
        "outcome": outcome,
        "exit_code": 70 if is_error else int(failed),
        "note": "OSError: [Errno 28] No space left on device" if is_error else "",
        "route": route,
    }


def _failure(chance, config, age):
    """Return the cases that fail in a run: each with its message."""
    found = [
        (case, message)
        for owner, case, message in FLAKY
        if owner == config and chance.random() < 0.02
    ]
    if config == OLD[0] and chance.random() < 0.015:
        found.append(OLD[1:])
    if config == NEW[0] and age < 2:
        found += [(f"{NEW[1]}_{n}", NEW[2]) for n in range(6)] if chance.random() < 0.3 else []
    if not found and config != "docs_test" and chance.random() < 0.012:
        case = f"test_{config}.TestMain.test_{chance.randrange(400):03}"
        found.append((case, "AssertionError: Tensor-likes are not close!"))
    return found
