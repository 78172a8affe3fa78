from __future__ import annotations

import os
from pathlib import Path

import pytest

from ci_sessions.catalogue.devices import CPU, DEVICES
from ci_sessions.errors import CheckoutError
from ci_sessions.plan.plan import DeviceNeed
from ci_sessions.plan.step import Kind, Program, ShellFunction, SourcedFile, Step
from ci_sessions.run.machine import Machine, count_devices


@pytest.mark.parametrize(
    ("files", "counts"),
    [
        ([], (0, 0, 0, 0)),
        (["nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm"], (2, 0, 0, 0)),
        (["kfd", "dri/renderD128"], (0, 1, 1, 0)),
        (["dri/renderD128", "accel0"], (0, 0, 1, 1)),
    ],
)
def test_devices_are_counted_by_their_files(tmp_path, files, counts):
    for name in files:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()

    def here(device):
        need = DeviceNeed(device=device.name, files=device.files, requires=device.requires)
        return count_devices(need, tmp_path)

    found = {device.name: here(device) for device in DEVICES}
    assert tuple(found[name] for name in ("cuda", "rocm", "xpu", "tpu")) == counts
    assert here(CPU) == 0


@pytest.fixture
def machine(tmp_path):
    (tmp_path / ".github" / "ci_commit_pins").mkdir(parents=True)
    (tmp_path / ".github" / "ci_commit_pins" / "vision.txt").write_text("abc123\n")
    return Machine(tmp_path, {"HOME": "/home/x", "PATH": ""})


def test_places_and_pins(machine):
    text = machine.render("$ROOT $HOME @${pin:vision} $SHIMS x/${random}.py ${random}")
    assert text.startswith(f"{machine.root} /home/x @abc123 $SHIMS x/")
    first, second = text.split()[-2:]
    assert first == f"x/{second}.py", "one run has one name"
    assert len(second) == 8


def test_a_missing_pin_is_an_error_that_names_its_file(machine):
    with pytest.raises(CheckoutError, match=r"does not pin audio: .*ci_commit_pins/audio.txt"):
        machine.render("@${pin:audio}")


def step(command, **more):
    return Step(kind=Kind.FILE, command=command, **more)


def test_wildcards_of_a_plan_are_files_and_those_of_a_path_are_not(tmp_path):
    root = tmp_path / "a[1]*;touch PWNED"
    (root / "lib x").mkdir(parents=True)
    (tmp_path / "a[1]-other" / "lib x").mkdir(parents=True)
    for name in ("one.so", "two.so"):
        (root / "lib x" / name).touch()
        (tmp_path / "a[1]-other" / "lib x" / name).touch()
    machine = Machine(root, {})
    program = Program(("ln", "$ROOT/lib x/${any}.so", "none${any}", "$$*", "l*"))
    assert machine.argv(step(program)) == (
        "ln", f"{root}/lib x/one.so", f"{root}/lib x/two.so", "none*", "$*", "l*",
    )  # fmt: skip


def test_what_runs_in_bash_gets_paths_as_arguments(machine):
    function = ShellFunction(("f", "a b"), ("$ROOT/u.sh",), "out file")
    bash, option, script, name, *args = machine.argv(step(function))
    assert (bash, option, name) == ("bash", "-c", "bash")
    assert args == [f"{machine.root}/u.sh", "out file", "f", "a b"]
    assert str(machine.root) not in script
    sourced = SourcedFile(("x.sh", "1"), exports=True)
    script, *args = machine.argv(step(sourced), env_file="/tmp/e")[2:]
    assert script.endswith("; env -0 > /tmp/e")
    assert args == ["bash", "x.sh", "1"]


def test_variables_are_laid_over_one_another(machine):
    machine.variables = {"A": "1", "B": "2", "C": "3"}
    env = machine.environment({"A": None, "B": "$ROOT"}, {"C": "$HOME", "D": "kept"}, {"D": "$$x"})
    assert env == {"B": str(machine.root), "C": "$HOME", "D": "$x"}


def test_no_pin_is_read_out_of_a_folder(machine):
    (Path(machine.root) / ".github" / "ci_commit_pins" / "x.txt").mkdir()
    assert machine.pin("x") is None
    assert os.sep not in (machine.pin("vision") or "")
