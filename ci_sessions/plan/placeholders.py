"""Words that a plan leaves open: where things are, and what only the machine can answer.

A plan is a value, so it cannot say where site-packages is or how many cores there are. It says
``$SITE`` or ``${ask:cores}`` instead. Tokens of places are those of the recorded traces::

    $ROOT  the checkout      $SITE  site-packages, so torch is $SITE/torch
    $HOME  the home folder   $TMP   a scratch folder of the run
    $SHIMS the folder of the python on PATH           $PATH   the search path so far
    PIN-x  the text of .github/ci_commit_pins/x.txt       RANDOM  eight letters, the same all run

A question (``${ask:name}``) is one line of shell, asked once, just before the first step that
needs it; ``recorded`` is what the machine that recorded the traces answered. So one plan serves
three readers: the referee (recorded answers), a person (the question itself, ready to paste) and
the executor (this machine's answer).
"""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = [
    "CONDITIONS",
    "GLOBS",
    "QUESTIONS",
    "Condition",
    "Glob",
    "Question",
    "as_shell_word",
    "ask",
    "fill",
    "questions_in",
    "recorded",
    "split_list_questions",
]


class Question(NamedTuple):
    """One line of shell whose standard output is the answer.

    ``is_list``: the answer is split into words at white space, maybe none. ``is_optional``: with an
    empty answer, the variable that would hold it stays as the caller set it. ``is_needed``: the run
    ends if it cannot be answered.
    """

    shell: str
    recorded: str
    is_list: bool = False
    is_optional: bool = False
    is_needed: bool = False


class Condition(NamedTuple):
    """A shell test that decides whether a step runs, and what the recording machine found.

    ``is_fixed``: the answer is the machine's, the same all run long, so it is asked once.
    """

    shell: str
    recorded: bool
    is_fixed: bool = False


_AFFINITY = "python -c 'import os; print({0}(os.sched_getaffinity(0)))'"
_THREADS_PER_CORE = "lscpu | awk '/^Thread.s. per core:/ {print $4}'"
_ROCM_PART = (
    "awk '/ROCM_VERSION_{0}/ {{print $3}}' "
    '"$(ls "$ROCM_HOME"/include/rocm-core/rocm_version.h "$ROCM_HOME"/include/rocm_version.h '
    '2>/dev/null | head -n 1)"'
)


class Glob(NamedTuple):
    """Executables that a step runs one by one, relative to its folder, and what was recorded."""

    patterns: tuple[str, ...]
    recorded: tuple[str, ...]


GLOBS: dict[str, Glob] = {
    "vec256 tests": Glob(("./vec256_test*",), ()),
    "xpu binaries": Glob(
        ("build/bin/*xpu*", "build/bin/*sycl*"),
        ("build/bin/xpu_generator_test", "build/bin/sycl_test"),
    ),
}

QUESTIONS: dict[str, Question] = {
    "cuda_arch": Question(
        "nvidia-smi --query-gpu=compute_cap --format=csv 2>/dev/null | tail -n 1",
        "NVIDIA",
        is_optional=True,
    ),
    "cuda_arch_or_8": Question(
        "if command -v nvidia-smi >/dev/null; then "
        "nvidia-smi --query-gpu=compute_cap --format=csv | tail -n 1; else echo 8.0; fi",
        "NVIDIA",
    ),
    "asan_runtime": Question("clang --print-file-name=libclang_rt.asan-x86_64.so", ""),
    "jemalloc": Question("find /usr/lib -name libjemalloc.so.2", ""),
    "tbb": Question(
        'find "$(dirname "$(which python)")/../lib/" -name libtbb.so.12',
        "$SHIMS/../lib/libtbb.so.12",
    ),
    "architecture": Question("uname -m", "x86_64"),
    "cores": Question(f"echo $(( $(nproc) / $({_THREADS_PER_CORE}) ))", "2"),
    "cpu_range": Question(
        f"echo $({_AFFINITY.format('min')})-"
        f"$(( $({_AFFINITY.format('max')}) - $({_THREADS_PER_CORE}) ))",
        "--1",
    ),
    "quarter_of_cpus": Question("n=$(( $(nproc) / 4 )); echo $(( n < 4 ? 4 : n ))", "4"),
    "pandas_pin": Question(
        'python -c \'import pandas; print("pandas==" + pandas.__version__ + " --force-reinstall")\''
        " 2>/dev/null",
        "pandas==2.0.3 --force-reinstall",
        is_list=True,
    ),
    "numba_cuda_dir": Question(
        "python -c 'import os, numba.cuda; print(os.path.dirname(numba.cuda.__file__))'"
        " 2>/dev/null",
        "",
    ),
    "workspace_owner": Question("stat -c %u /var/lib/jenkins/workspace", "0"),
    "cutlass_dir": Question("realpath ./third_party/cutlass", ""),
    "dtensor_tests": Question(
        "find test/distributed/tensor -name 'test_*.py' -printf '%P\\n'"
        " | sed 's|\\.py$||; s|^|distributed/tensor/|' | sort | tr '\\n' ' '",
        "",
        is_list=True,
    ),
    "rocm_version": Question(
        f"echo $({_ROCM_PART.format('MAJOR')}).$({_ROCM_PART.format('MINOR')})", "7.1"
    ),
    "previous_commit": Question('git rev-parse "$SHA1^"', "1" * 40, is_needed=True),
    "merge_base": Question('git merge-base "$SHA1" "$BASE_SHA"', "1" * 40, is_needed=True),
    "wheel": Question("echo dist/*.whl", "dist/*.whl"),
    "head_commit": Question('echo "${SHA1:-$(git rev-parse HEAD)}"', "a" * 40),
    "gpu_indices": Question(
        'python -c \'import torch; n = torch.cuda.device_count(); assert n, "no GPU"; '
        'print(",".join(map(str, range(n))))\'',
        "",
        is_needed=True,
    ),
}

CONDITIONS: dict[str, Condition] = {
    "workspace is jenkins'": Condition(
        "[ -d /var/lib/jenkins/workspace ] && sudo -n true 2>/dev/null",
        recorded=True,
        is_fixed=True,
    ),
    "numba.cuda is installed": Condition(
        "python -c 'import numba.cuda' 2>/dev/null", recorded=False
    ),
    "umf is installed": Condition(
        "[ -f /opt/intel/oneapi/umf/latest/env/vars.sh ]", recorded=False
    ),
    "mobile nnc test is built": Condition("[ -f $SITE/torch/bin/test_mobile_nnc ]", recorded=True),
    "aot compiler test is built": Condition(
        "[ -f $SITE/torch/bin/aot_model_compiler_test ]", recorded=True
    ),
    "mpiexec is installed": Condition(
        "command -v mpiexec >/dev/null", recorded=True, is_fixed=True
    ),
    "python is 3.12 or newer": Condition(
        "python3 -c 'import sys; sys.exit(sys.version_info < (3, 12))'", recorded=False
    ),
    "tsan reports exist": Condition(
        "ls test/test-reports/tsan_toprint.log.* >/dev/null 2>&1", recorded=False
    ),
    "fbgemm has no wheel": Condition("! ls dist/fbgemm_gpu/*.whl >/dev/null 2>&1", recorded=True),
    "vision has no wheel": Condition("! ls dist/vision/*.whl >/dev/null 2>&1", recorded=True),
    "audio has no wheel": Condition("! ls dist/audio/*.whl >/dev/null 2>&1", recorded=True),
    "torchrec has no wheel": Condition("! ls dist/torchrec/*.whl >/dev/null 2>&1", recorded=True),
    "ao has no wheel": Condition("! ls dist/ao/*.whl >/dev/null 2>&1", recorded=True),
    "xla is not cloned": Condition("[ ! -d ./xla ]", recorded=True),
    "torchtitan is not cloned": Condition("[ ! -d ./torchtitan ]", recorded=True),
}

_TOKEN = re.compile(
    r"\$(?P<place>ROOT|SITE|HOME|TMP|SHIMS|PATH)\b"
    r"|\$\{ask:(?P<ask>[a-z0-9_]+)\}"
    r"|\bPIN-(?P<pin>[a-z_]+)"
    r"|(?<=[/.])(?P<random>RANDOM)\b"
)


def ask(name: str) -> str:
    """Return the token of a question, checked: a misspelt name fails here, not in CI."""
    if name not in QUESTIONS:
        raise KeyError(f"no question is called {name!r}")
    return "${ask:" + name + "}"


def questions_in(text: str) -> tuple[str, ...]:
    """Return the names of the questions that a text asks, in order."""
    return tuple(match["ask"] for match in _TOKEN.finditer(text) if match["ask"])


def fill(
    text: str,
    *,
    place: Callable[[str], str] | None = None,
    answer: Callable[[str], str] | None = None,
    pin: Callable[[str], str] | None = None,
) -> str:
    """Replace the tokens for which a function is given; the others stay as they are.

    ``place`` is given ROOT, SITE, HOME, TMP, SHIMS, PATH or RANDOM; ``answer`` a question's name;
    ``pin`` the name of a pinned commit.
    """

    def replace(match: re.Match[str]) -> str:
        known: tuple[tuple[str | None, Callable[[str], str] | None], ...] = (
            (match["place"] or match["random"], place),
            (match["ask"], answer),
            (match["pin"], pin),
        )
        for name, give in known:
            if name and give is not None:
                return give(name)
        return match[0]

    return _TOKEN.sub(replace, text)


def recorded(text: str) -> str:
    """Answer the questions in a text as the machine did that recorded the traces."""
    return fill(text, answer=lambda name: QUESTIONS[name].recorded)


def split_list_questions(words: Iterable[str], answer: Callable[[str], str]) -> tuple[str, ...]:
    """Replace each word that is a list question by the words of its answer."""
    result: list[str] = []
    for word in words:
        names = questions_in(word)
        if names and QUESTIONS[names[0]].is_list:
            result.extend(answer(names[0]).split())
        else:
            result.append(word)
    return tuple(result)


def as_shell_word(word: str, *, is_pattern: bool = False) -> str:
    """Quote a word for a shell; a question in it becomes the command that answers it.

    A place that nothing was filled in for stays open, as the shell variable that it looks like.
    With ``is_pattern``, wildcards stay open so that the shell expands them.
    """
    names = questions_in(word)
    if names and QUESTIONS[names[0]].is_list:
        return f"$({QUESTIONS[names[0]].shell})"
    pieces: list[str] = []
    end = 0
    for match in _TOKEN.finditer(word):
        pieces.append(_literal(word[end : match.start()], is_pattern=is_pattern))
        pieces.append(_open(match))
        end = match.end()
    pieces.append(_literal(word[end:], is_pattern=is_pattern))
    return "".join(pieces) or "''"


def _open(match: re.Match[str]) -> str:
    if match["ask"]:
        return f'"$({QUESTIONS[match["ask"]].shell})"'
    return f'"${match["place"]}"' if match["place"] else match[0]


def _literal(text: str, *, is_pattern: bool) -> str:
    if not is_pattern:
        return _quote(text)
    pieces = re.split(r"([*?])", text)
    return "".join(piece if piece in "*?" else _quote(piece) for piece in pieces if piece)


def _quote(text: str) -> str:
    """Quote for a shell; what has single quotes in it gets double ones, where that is safe."""
    if not text:
        return ""
    if "'" in text and not set(text) & set('"$`\\!'):
        return f'"{text}"'
    return shlex.quote(text)
