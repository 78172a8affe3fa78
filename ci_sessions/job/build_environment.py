"""The BUILD_ENVIRONMENT label, parsed: what the job's PyTorch was built for and with.

A label such as ``linux-jammy-cuda13.0-py3.10-gcc11-sm86`` is a row of words. test.sh matches
pieces of it by substring; ``has`` keeps exactly that meaning, and the fields give the same facts
by name. Unknown words are kept in ``other``, never refused: labels are coined every week.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass

from packaging.version import InvalidVersion, Version

__all__ = ["BuildEnvironment", "Device", "label_fault"]


class Device(str, enum.Enum):
    """What the tests of a build run on."""

    CPU = "cpu"
    CUDA = "cuda"
    ROCM = "rocm"
    XPU = "xpu"
    TPU = "tpu"

    def __str__(self) -> str:
        return self.value


_WORD = re.compile(r"[A-Za-z0-9.+_/]+")
_SYSTEMS = ("linux", "macos", "win")
_DISTRIBUTIONS = ("jammy", "noble", "focal", "bionic", "xenial", "bookworm", "trixie")
_ARCHITECTURES = {"aarch64": "aarch64", "arm64": "aarch64", "s390x": "s390x"}
_SANITIZERS = ("asan", "ubsan", "tsan")
_VERSIONED = re.compile(r"(cuda|rocm|py|gcc|clang|sm)(\d[\w.]*)?")


def label_fault(label: str) -> str | None:
    """Say what is broken about a label, or ``None``: only what no label could ever be."""
    if not label.strip():
        return (
            "BUILD_ENVIRONMENT is empty: give the build's label, such as linux-jammy-py3.10-gcc11."
        )
    odd = sorted({char for char in label if not (char.isalnum() or char in "-._+/")})
    if odd:
        shown = " ".join(map(repr, odd))
        return (
            f"BUILD_ENVIRONMENT is {label!r}, which has {shown} in it: a label is made of letters, "
            "digits, dots and dashes, such as linux-jammy-cuda13.0-py3.10-gcc11."
        )
    for word in label.split("-"):
        match = re.fullmatch(r"(cuda|rocm|gcc|clang)(\d.*)", word)
        if match and _version(match[2]) is None:
            return (
                f"BUILD_ENVIRONMENT is {label!r}, but {word!r} has no version after {match[1]!r}: "
                f"write it as {match[1]}12 or {match[1]}12.8."
            )
    return None


def _version(text: str | None) -> Version | None:
    try:
        return Version(text) if text else None
    except InvalidVersion:
        return None


@dataclass(frozen=True, kw_only=True, slots=True)
class BuildEnvironment:
    """The facts of a label. Versions are ``packaging`` versions, ``None`` where the label has none.

    ``python`` stays a text (``3.10``, ``3.14t``): the ``t`` of a free-threaded build is no version.
    """

    label: str
    system: str = "linux"
    distribution: str | None = None
    architecture: str = "x86_64"
    device: Device = Device.CPU
    device_version: Version | None = None
    python: str | None = None
    compiler: str | None = None
    compiler_version: Version | None = None
    sm: int | None = None
    sanitizers: frozenset[str] = frozenset()
    other: tuple[str, ...] = ()

    @classmethod
    def parse(cls, label: str) -> BuildEnvironment:
        """Parse a label. Never raises: see ``label_fault`` for what is refused."""
        facts: dict[str, object] = {}
        other: list[str] = []
        for word in label.split("-"):
            known = _read_word(word)
            facts.update(known)
            if not known and _WORD.fullmatch(word):
                other.append(word)
        facts["sanitizers"] = frozenset(name for name in _SANITIZERS if name in label)
        return cls(label=label, device=_device(label), other=tuple(other), **facts)  # type: ignore[arg-type]

    def has(self, text: str) -> bool:
        """Tell whether the label contains ``text``: the meaning of ``*text*`` in test.sh."""
        return text in self.label

    @property
    def is_cuda(self) -> bool:
        """``*cuda*``."""
        return self.has("cuda")

    @property
    def is_rocm(self) -> bool:
        """``*rocm*``."""
        return self.has("rocm")

    @property
    def is_xpu(self) -> bool:
        """``*xpu*``."""
        return self.has("xpu")

    @property
    def is_gpu(self) -> bool:
        """CUDA or ROCm: the two for which test.sh splits the distributed tests over runners."""
        return self.is_cuda or self.is_rocm

    @property
    def is_asan(self) -> bool:
        """``*asan*``."""
        return self.has("asan")

    @property
    def is_debug(self) -> bool:
        """``*-debug*``: debug assertions are compiled in."""
        return self.has("-debug")

    def describe(self) -> str:
        """Return the facts in a few words: ``cuda 13.0, python 3.10, gcc 11``."""
        words = [f"{self.device} {self.device_version or ''}".strip()]
        if self.python:
            words.append(f"python {self.python}")
        if self.compiler:
            words.append(f"{self.compiler} {self.compiler_version or ''}".strip())
        if self.architecture != "x86_64":
            words.append(self.architecture)
        if self.sm:
            words.append(f"sm{self.sm}")
        words.extend(sorted(self.sanitizers))
        if self.is_debug:
            words.append("debug")
        return ", ".join(words)


def _device(label: str) -> Device:
    for device in (Device.CUDA, Device.ROCM, Device.XPU, Device.TPU):
        if device.value in label:
            return device
    return Device.CPU


def _read_word(word: str) -> dict[str, object]:
    """Return the facts that one word of a label states."""
    if word in (*_SANITIZERS, "debug", "cpu", "xpu", "tpu"):
        return {"sanitizers": frozenset()}  # known; read off the whole label by ``parse``
    named = _NAMED.get(word)
    if named is not None:
        return dict([named])
    match = _VERSIONED.fullmatch(word)
    return _VERSIONED_FACTS[match[1]](match[1], match[2] or "") if match else {}


def _device_fact(_: str, number: str) -> dict[str, object]:
    return {"device_version": _version(number)}


def _compiler_fact(name: str, number: str) -> dict[str, object]:
    return {"compiler": name, "compiler_version": _version(number)}


def _sm_fact(_: str, number: str) -> dict[str, object]:
    return {"sm": int(number)} if number.isdigit() else {}


def _python_fact(_: str, number: str) -> dict[str, object]:
    return {"python": number or "3"}


_NAMED: dict[str, tuple[str, object]] = {
    **{word: ("system", word) for word in _SYSTEMS},
    **{word: ("distribution", word) for word in _DISTRIBUTIONS},
    **{word: ("architecture", name) for word, name in _ARCHITECTURES.items()},
}
_VERSIONED_FACTS = {
    "cuda": _device_fact,
    "rocm": _device_fact,
    "gcc": _compiler_fact,
    "clang": _compiler_fact,
    "sm": _sm_fact,
    "py": _python_fact,
}
