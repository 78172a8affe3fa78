"""The worker process that traces jobs in a sandbox, which it can never leave.

It reads a job's variables from each line of standard input, and writes the recording as a line of
standard output. The stage and the profile come first, in a pickle that it reads before it enters
the sandbox.
"""

from __future__ import annotations

import json
import pickle
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ci_sessions.parity.decisions import changes_nothing
from ci_sessions.parity.loops import unknown_loops
from ci_sessions.parity.order import PID_LIMIT
from ci_sessions.parity.recording import Fault, FaultKind, Note, NoteKind, Recording, read_log
from ci_sessions.parity.staging import places_below, write_stage
from ci_sessions.run.descendants import adopt_orphans, terminate_descendants
from ci_sessions.run.process import Reason, stream
from ci_sessions.run.sandbox import TOOLS, confine
from ci_sessions.run.scratch import remove

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from ci_sessions.parity.profile import Profile
    from ci_sessions.parity.recording import Command
    from ci_sessions.parity.staging import Stage
    from ci_sessions.run.process import ProcessResult

RECORDER = Path(__file__).with_name("recorder.bash")
_LOST_COMMAND = re.compile(
    r"^.*: (?:fork: .*|line \d+: \S*/\S*: (?:No such file or directory|Permission denied))$",
    re.MULTILINE,
)
"""Bash's error messages for commands that it could not start: they were not recorded. Missing
files that programs themselves report (``cat``) do not match."""
_END = "\036"  # the recorder writes it when the script ends, before any EXIT trap
_MAX_CHUNK, _MAX_CHUNKS = 2000, 20  # characters and chunks of output kept for error messages


@dataclass(frozen=True, kw_only=True, slots=True)
class Tracer:
    """Traces jobs with one stage and one profile.

    ``bash`` is the path of bash, ``tools`` the folder of the real programs that traces may use,
    ``recorder`` the text of recorder.bash, ``limit`` the time limit per job in seconds.
    """

    stage: Stage
    profile: Profile
    bash: str
    tools: str
    recorder: str
    limit: float

    def trace(
        self,
        variables: Mapping[str, str],
        base: Path,
        unknown: Sequence[str] = (),
        watched: Iterable[str] = (),
    ) -> Recording:
        """Run the script once under the recorder, in an empty folder ``base``.

        ``unknown`` are the names, or patterns of names, of variables that a run would have, with
        values that are not known here: the recording notes where the script reads one. So it does
        for ``watched`` variables, whose values are known.
        """
        write_stage(self.stage, self.profile, base)
        places = places_below(base)
        log, prelude = base / "log", base / "prelude.bash"
        log.mkdir()
        paths = {
            **places,
            "base": str(base),
            "log": str(log),
            "path": self.tools,
            "scripts": f"{places['root']}/{self.stage.scripts}",
        }
        text = self.profile.to_bash(paths) + unknown_to_bash(unknown, watched) + self.recorder
        prelude.write_text(text, encoding="utf-8")
        start = {
            **self.profile.variables(places),
            **variables,
            "HOME": places["home"],
            "PATH": places["shims"],
            "TMPDIR": places["tmp"],
        }
        output: list[str] = []
        lost: list[str] = []

        def collect(text: str) -> None:
            output.append(text[-_MAX_CHUNK:])
            del output[:-_MAX_CHUNKS]
            lost.extend(_LOST_COMMAND.findall(text))

        ended = stream(
            [self.bash, self.stage.script],
            cwd=Path(places["root"]),
            env={**start, "BASH_ENV": str(prelude)},
            emit=collect,
            timeout=self.limit,
        )
        terminate_descendants(set())
        texts = [path.read_bytes().decode(errors="surrogateescape") for path in log.iterdir()]
        commands, notes, is_ordered = read_log(texts, start, places, _pid_max())
        scripts = self.stage.shell_files
        loops = unknown_loops(scripts, unknown)
        notes = (
            *(note for note in notes if not _is_irrelevant(note, scripts)),
            *loops,
            *self.used_stand_ins(commands),
        )
        fault = self.fault(ended, notes, _last_lines(commands, notes), "".join(output), lost)
        return Recording(
            ended.code,
            commands,
            tuple(note for note in notes if note.kind is not NoteKind.END),
            fault,
            ended.wall,
            is_ordered,
        )

    def fault(
        self,
        ended: ProcessResult,
        notes: Iterable[Note],
        lines: tuple[str, ...],
        output: str,
        lost: list[str],
    ) -> Fault | None:
        """Return why the script could not be traced to its end, or None if it was."""
        if lost:
            return Fault(
                FaultKind.LOST, f"bash could not start a command: {lost[0].strip()}", lines
            )
        for note in notes:
            if note.kind is NoteKind.UNTRACEABLE:
                return Fault(FaultKind.UNTRACEABLE, note.text, lines)
        if ended.reason is Reason.TIMEOUT:
            text = f"it timed out after {self.limit:g} s"
            return Fault(FaultKind.TIMED_OUT, text, lines)
        if ended.code:
            printed = output.partition(_END)[0].strip().splitlines()
            source = "".join(f" at `{self.line(line)}`" for line in lines[:1])
            last = f"; last output: {printed[-1]}" if printed else ""
            text = f"it ended with exit code {ended.code}{source}{last}"
            return Fault(FaultKind.FAILED, text, lines)
        if not any(note.kind is NoteKind.END for note in notes):
            return Fault(FaultKind.NO_END, "the end of the script was not recorded", lines)
        return None

    def used_stand_ins(self, commands: Iterable[Command]) -> Iterator[Note]:
        """Yield a note for each file of a build that is only a stand-in, and that a command has."""
        words = {word.rpartition("/")[2] for command in commands for word in command.argv}
        for name in sorted({path.rpartition("/")[2] for path in self.stage.stand_ins} & words):
            yield Note(NoteKind.ASSUMED, f"{name} stands for files that a build makes")

    def line(self, location: str) -> str:
        """Return the text of a line of the copied scripts, such as ``.ci/pytorch/test.sh:7``."""
        name, _, number = location.rpartition(":")
        lines = self.stage.files.get(name, b"").decode(errors="replace").splitlines()
        index = int(number) - 1
        return lines[index].strip() if index < len(lines) else location


def _pid_max() -> int:
    """Return the number of process IDs after which they start again."""
    try:
        return int(Path("/proc/sys/kernel/pid_max").read_text())
    except (OSError, ValueError):  # no Linux, so there are no start times either
        return PID_LIMIT


def _is_irrelevant(note: Note, scripts: Mapping[str, bytes]) -> bool:
    return note.kind is NoteKind.UNKNOWN and changes_nothing(scripts, note)


def unknown_to_bash(patterns: Iterable[str], watched: Iterable[str] = ()) -> str:
    """Return the recorder's definitions for variables of which it notes where they are read.

    ``patterns`` are those that are known only at run time, ``watched`` those that are known.
    """
    known = sorted(name for name in watched if name.isidentifier())
    names = sorted({*known, *(name for name in patterns if name.rstrip("*").isidentifier())})
    if not names:
        return "__ci_unset= __ci_listed= __ci_reading= __ci_watched=\n"
    stems = "|".join(name.rstrip("*") for name in names)
    dumps = "set|export|export -p|declare -*|typeset -*|local -*|compgen *|[[]*-v *|test *-v *"
    return (
        f"__ci_unset='@({'|'.join(names)})' __ci_listed='{' '.join(names)}'\n"
        f"__ci_reading='@({dumps}|*@({stems}|\\$\\{{!|environ|ENVIRON\\[)*)'\n"
        f"__ci_watched='{' '.join(known)}'\n"
    )


def _last_lines(commands: tuple[Command, ...], notes: tuple[Note, ...]) -> tuple[str, ...]:
    """Return where the script stopped: what could not be traced, its end, or its last command."""
    for kind in (NoteKind.UNTRACEABLE, NoteKind.END):
        for note in notes:
            if note.kind is kind:
                return note.lines
    return commands[-1].lines if commands else ()


def main(args: list[str]) -> int:
    """Enter the sandbox, then trace jobs until standard input ends.

    ``args``: the folder, the limit in seconds, the user ID, bash, the folder of the real tools. The
    first line of input names the pickle; the reply to it lists the parts of the sandbox.
    """
    base, limit, user = Path(args[0]), float(args[1]), int(args[2])
    bash, tools = args[3:]
    first = json.loads(sys.stdin.readline())
    stage, profile = pickle.loads(Path(first["stage"]).read_bytes())  # noqa: S301 - from the caller
    tracer = Tracer(
        stage=stage,
        profile=profile,
        bash=bash,
        tools=tools,
        recorder=RECORDER.read_text(encoding="utf-8"),
        limit=limit,
    )
    adopt_orphans()
    programs = [Path(bash).resolve(), *((Path(tools) / name).resolve() for name in TOOLS)]
    print(json.dumps({"sandbox": confine(base, programs, user)}), flush=True)
    for number, line in enumerate(sys.stdin):
        folder = base / f"job{number}"
        folder.mkdir()
        request = json.loads(line)
        recording = tracer.trace(
            request["variables"], folder, request["unknown"], request.get("watched", ())
        )
        remove(folder)
        print(json.dumps(recording.to_dict()), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
