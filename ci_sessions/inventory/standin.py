"""A stand-in for torch that answers only what run_test.py asks to select and divide tests.

Most who ask what runs where have no matching build. run_test.py imports torch, but its selection
needs little of it: the version of CUDA, whether there is a device, whether tests run under a
sanitizer, and a few names that a dry run never calls. Anything else raises ``UnanswerableError``,
so that a release that asks more is reported, and never answered wrongly.

The worker installs it in a process of its own, which also pretends to be the job's machine.
"""

from __future__ import annotations

import argparse
import ast
import functools
import importlib.abc
import importlib.machinery
import multiprocessing
import os
import platform
import re
import subprocess
import sys
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any

from ci_sessions.job.variables import CI

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Mapping, Sequence
    from pathlib import Path

__all__ = ["UnanswerableError", "install", "pretend"]

_COMMON_UTILS = "torch.testing._internal.common_utils"
_ROCM_FOLDER = "/opt/rocm"  # its existence shows a machine with ROCm to test_selections.py
_FLAGS = (
    *("ASAN", "CROSSREF", "ROCM", "SLOW", "SLOW_GRADCHECK", "TORCHDYNAMO", "TORCHINDUCTOR"),
    *("TSAN", "UBSAN", "MTIA", "AOT_EAGER"),
)
"""TEST_WITH_X is true if PYTORCH_TEST_WITH_X is 1, in all releases."""
_NEVER_CALLED = ("get_report_path", "retry_shell", "set_cwd", "shell", "repro_env_var_prefix")
_PACKAGES = ("pytest-rerunfailures", "pytest-flakefinder", "pytest-xdist")
"""The packages that run_test.py wants installed, as they are in CI."""


class UnanswerableError(BaseException):
    """run_test.py asks what the stand-in does not know.

    Not an Exception: the code that asks must not handle it and choose another way.
    """


class _StandIn(ModuleType):
    """A module with fixed answers."""

    def __init__(self, name: str, answers: Mapping[str, object], modules: Container[str]) -> None:
        super().__init__(name)
        self._modules = modules
        self.__path__: list[str] = []  # a package, so that its submodules are looked for
        self.__dict__.update(answers)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - never returns
        if name.startswith("__") or f"{self.__name__}.{name}" in self._modules:
            raise AttributeError(name)  # so that a submodule is imported
        raise UnanswerableError(f"{self.__name__}.{name}")


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds the stand-ins. Submodules of torch without one cannot be answered."""

    def __init__(self, modules: Mapping[str, Mapping[str, object]]) -> None:
        self._modules = modules

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,  # noqa: ARG002 - importlib's signature
        target: ModuleType | None = None,  # noqa: ARG002
    ) -> importlib.machinery.ModuleSpec | None:
        """Return the spec of a stand-in; None for modules that are none of its business."""
        if fullname in self._modules:
            return importlib.machinery.ModuleSpec(fullname, self, is_package=True)
        if fullname.partition(".")[0] == "torch":
            raise UnanswerableError(fullname)
        return None

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        """Return the stand-in."""
        return _StandIn(spec.name, self._modules[spec.name], self._modules.keys())

    def exec_module(self, module: ModuleType) -> None:
        """Do nothing: the answers are already there."""


def install(facts: Mapping[str, Any], common_utils: Path) -> None:
    """Make this process find the stand-in. ``common_utils`` is the checkout's file of that name."""
    sys.meta_path.insert(0, _Finder(_modules(facts, common_utils)))


def pretend(facts: Mapping[str, Any]) -> None:
    """Make this process look like the job's machine, to the extent that selections ask.

    That is the Python version, the architecture, and whether there is ROCm, with how many devices.
    """
    if facts["python"]:
        sys.version_info = _version_info(*facts["python"])  # type: ignore[assignment]
    platform.machine = lambda: str(facts["machine"])
    exists = os.path.exists
    os.path.exists = lambda path: bool(facts["hip"]) if path == _ROCM_FOLDER else exists(path)
    output = subprocess.check_output

    def check_output(argv: Any, *args: Any, **more: Any) -> Any:  # noqa: ANN401 - as in subprocess
        if argv == ["rocminfo"]:
            return "\n".join(["Name: gfx"] * max(1, facts["devices"]))
        return output(argv, *args, **more)

    subprocess.check_output = check_output  # type: ignore[assignment]


def _version_info(major: int, minor: int) -> tuple[object, ...]:
    class VersionInfo(tuple):  # type: ignore[type-arg]  # noqa: SLOT001 - as sys.version_info
        major, minor, micro, releaselevel, serial = 0, 0, 0, "final", 0

    found = VersionInfo((major, minor, 0, "final", 0))
    VersionInfo.major, VersionInfo.minor = major, minor
    return found


def _modules(facts: Mapping[str, Any], common_utils: Path) -> dict[str, dict[str, object]]:
    has_device = bool(facts["has_device"])
    cuda, hip, xpu = facts["cuda"], facts["hip"], bool(facts["xpu"])
    on_gpu = has_device and bool(cuda or hip)  # to torch, ROCm is CUDA too

    def device(*, is_there: bool) -> SimpleNamespace:
        return SimpleNamespace(
            is_available=lambda: is_there, device_count=lambda: facts["devices"] if is_there else 0
        )

    def yes() -> bool:
        return True

    found: dict[str, dict[str, object]] = {
        "torch": {
            "version": SimpleNamespace(cuda=cuda, hip=hip, xpu="0" if xpu else None),
            "cuda": device(is_there=on_gpu),
            "xpu": device(is_there=has_device and xpu),
            "mps": device(is_there=False),
            "_C": SimpleNamespace(has_lapack=True),
        },
        "torch.distributed": {
            "is_available": yes,
            "is_gloo_available": yes,
            "is_nccl_available": lambda: bool(cuda or hip),
            "is_mpi_available": lambda: False,
            "is_ucc_available": lambda: False,
        },
        "torch.multiprocessing": {
            "current_process": multiprocessing.current_process,
            "get_context": multiprocessing.get_context,
            "Pool": multiprocessing.Pool,
        },
        "torch.utils": {},
        "torch.utils.cpp_extension": {},
        "torch.testing": {},
        "torch.testing._internal": {},
        _COMMON_UTILS: {
            **_common_utils(common_utils),
            "TEST_CUDA": on_gpu,
            "TEST_XPU": has_device and xpu,
        },
        "pkg_resources": {"working_set": [SimpleNamespace(key=name) for name in _PACKAGES]},
    }
    return found | _distutils()


def _common_utils(source: Path) -> dict[str, object]:
    found: dict[str, object] = {
        "FILE_SCHEMA": "file://",
        "IS_CI": bool(os.environ.get(CI.name)),
        "IS_LINUX": True,
        "IS_MACOS": False,
        "IS_WINDOWS": False,
    }
    for flag in _FLAGS:
        name = f"TEST_WITH_{flag}"
        found[name] = os.environ.get(f"PYTORCH_{name}") == "1"
    found.update({name: _never_called(name) for name in _NEVER_CALLED})
    parser = _parser(source)
    return found if parser is None else {**found, "parser": parser}


def _never_called(name: str) -> Callable[..., object]:
    def call(*_: object, **__: object) -> object:
        raise UnanswerableError(f"{_COMMON_UTILS}.{name}()")

    return call


def _parser(source: Path) -> argparse.ArgumentParser | None:
    """Return the options that older releases share with all tests, from the checkout's own file.

    Only the names of the options are used, and whether they take values: defaults are not needed.
    """
    if not source.is_file():
        return None
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    for statement in ast.parse(source.read_text(encoding="utf-8")).body:
        call = statement.value if isinstance(statement, ast.Expr) else None
        if isinstance(call, ast.Call) and ast.unparse(call.func) == "parser.add_argument":
            names = [one.value for one in call.args if isinstance(one, ast.Constant)]
            constant = {
                word.arg: word.value.value
                for word in call.keywords
                if word.arg in ("action", "nargs") and isinstance(word.value, ast.Constant)
            }
            parser.add_argument(*map(str, names), **constant)  # type: ignore[arg-type]
    return parser


def _distutils() -> dict[str, dict[str, object]]:
    """Return what older releases use of distutils, which Python 3.12 no longer has."""

    def strtobool(text: str) -> int:
        return int(text.lower() in ("y", "yes", "t", "true", "on", "1"))

    return {
        "distutils": {},
        "distutils.util": {"strtobool": strtobool},
        "distutils.version": {"LooseVersion": _LooseVersion},
    }


@functools.total_ordering
class _LooseVersion:
    """A version that can be compared with a string, such as ``"11.6"``."""

    def __init__(self, text: str) -> None:
        self._parts = [int(part) for part in re.findall(r"\d+", text)]

    def __hash__(self) -> int:
        return hash(tuple(self._parts))

    def __eq__(self, other: object) -> bool:
        return self._parts == _LooseVersion(str(other))._parts

    def __lt__(self, other: object) -> bool:
        return self._parts < _LooseVersion(str(other))._parts

    def __str__(self) -> str:
        return ".".join(map(str, self._parts))
