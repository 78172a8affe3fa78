"""Runs ``run_test.py --dry-run`` with the torch of a release, and nothing of this project.

``python real_selection.py ROOT QUESTIONS ANSWERS``: ROOT is a copy of the release's tree. QUESTIONS
is a JSON list of ``{"argv", "cwd", "env", "facts"}``, ANSWERS gets ``{"code", "text", "serial"}``
for each. torch is imported once and is the real one; only what a label says about the device is set
in it, since a plain machine has no device. The script runs as ``python test/run_test.py`` does.
"""

from __future__ import annotations

import importlib
import itertools
import json
import os
import platform
import runpy
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path

VARYING = "SHARD_NUMBER"


def shared(question):
    return json.dumps([question["facts"], {**question["env"], VARYING: ""}], sort_keys=True)


def set_facts(torch, common_utils, facts):
    on_gpu = facts["has_device"] and bool(facts["cuda"] or facts["hip"])
    common_utils.TEST_CUDA = on_gpu
    torch.version.cuda, torch.version.hip = facts["cuda"], facts["hip"]
    torch.cuda.is_available = lambda: on_gpu
    torch.cuda.device_count = lambda: facts["devices"] if on_gpu else 0
    platform.machine = lambda: facts["machine"]
    if facts["python"]:
        major, minor = facts["python"]
        fields = ("major", "minor", "micro", "releaselevel", "serial")
        version = type(
            "version_info", (tuple,), dict(zip(fields, (major, minor, 0, "final", 0), strict=True))
        )
        sys.version_info = version((major, minor, 0, "final", 0))
    exists, output = os.path.exists, subprocess.check_output
    os.path.exists = lambda path: bool(facts["hip"]) if path == "/opt/rocm" else exists(path)
    agents = "\n".join(["Name: gfx90a"] * max(1, facts["devices"]))
    subprocess.check_output = lambda argv, *args, **more: (
        agents if argv == ["rocminfo"] else output(argv, *args, **more)
    )


def in_fork(act):
    child = os.fork()
    if not child:
        code = 1
        try:
            act()
            code = 0
        finally:
            os._exit(code)
    os.waitpid(child, 0)


def answer(root, question, number, folder):
    out = os.open(folder / f"{number}.txt", os.O_RDWR | os.O_CREAT | os.O_TRUNC)
    os.dup2(out, 1)
    os.dup2(out, 2)
    os.environ.clear()
    os.environ.update(question["env"])
    os.chdir(root / question["cwd"])
    sys.argv = [question["argv"][0], "--dry-run", *question["argv"][1:]]
    sys.path.insert(0, str(root / "test"))
    code, found = 0, {}
    try:
        found = runpy.run_path(str(root / "test" / "run_test.py"), run_name="__main__")
    except SystemExit as error:
        code = error.code
    except Exception:  # noqa: BLE001 - as Python does
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os.lseek(out, 0, os.SEEK_SET)
    text = os.fdopen(out).read()
    names = [word for line in text.splitlines() if line[:1] == " " for word in line.split()[:1]]
    serial = [name for name in names if found and found["must_serial"](name)]
    (folder / f"{number}.json").write_text(
        json.dumps({"code": code, "text": text, "serial": serial})
    )


def main(root, questions_file, answers_file):
    questions = list(enumerate(json.loads(Path(questions_file).read_text())))
    os.chdir(root / "test")
    torch = importlib.import_module("torch")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for _, group in itertools.groupby(
            sorted(questions, key=lambda one: shared(one[1])), lambda one: shared(one[1])
        ):
            members = list(group)

            def ask(members=members):
                os.environ.clear()
                os.environ.update(members[0][1]["env"])
                os.environ.pop(VARYING, None)
                sys.argv = ["test/run_test.py"]
                sys.modules["__main__"].__file__ = "test/run_test.py"  # older releases look at it
                # It reads the environment. What it asks of a device needs a real one.
                common_utils = importlib.import_module("torch.testing._internal.common_utils")
                set_facts(torch, common_utils, members[0][1]["facts"])

                for number, question in members:
                    in_fork(
                        lambda number=number, question=question: answer(
                            root, question, number, folder
                        )
                    )

            in_fork(ask)
        answers = [
            json.loads(path.read_text())
            if (path := folder / f"{n}.json").exists()
            else {"code": None, "text": "", "serial": []}
            for n, _ in questions
        ]
    Path(answers_file).write_text(json.dumps(answers))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3])
