"""A process of its own that traces jobs: it enters a sandbox for good, then a line in, a line out.

Each line of standard input is a job's variables, each line of standard output its recording. What
is traced comes first, as a pickle of the caller's, read before the sandbox is entered.
"""

from __future__ import annotations

import json
import pickle
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ci_sessions.parity.recording import Fault, FaultKind, NoteKind, Recording, read_log
from ci_sessions.parity.staging import places_below, remove, write_stage
from ci_sessions.run.descendants import adopt_orphans, end_descendants
from ci_sessions.run.process import Reason, stream
from ci_sessions.run.sandbox import TOOLS, confine

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ci_sessions.parity.profile import Profile
    from ci_sessions.parity.recording import Command, Note
    from ci_sessions.parity.staging import Stage
    from ci_sessions.run.process import Ended

RECORDER = Path(__file__).with_name("recorder.bash")
_UNSEEN = re.compile(
    r"^.*: (?:fork: .*|line \d+: \S*/\S*: (?:No such file or directory|Permission denied))$",
    re.MULTILINE,
)
"""What bash says of a command that it could not start: such a command left no record. A file that
a redirection did not find is not among them where it has a message of its own (``cat``)."""
_END = "\036"  # the recorder writes it when the script ends, before any EXIT trap
_SHOWN, _LINES = 2000, 20  # characters and pieces of output that a fault may quote from


@dataclass(frozen=True, kw_only=True, slots=True)
class Tracer:
    """What is traced, and with what: the same for all of a process's jobs.

    ``bash`` is its path, ``tools`` the folder of the real programs that may answer, ``recorder``
    the text of recorder.bash; ``limit`` is a job's, in seconds.
    """

    stage: Stage
    profile: Profile
    bash: str
    tools: str
    recorder: str
    limit: float

    def trace(self, variables: Mapping[str, str], base: Path) -> Recording:
        """Run the script once under the recorder, in an empty folder ``base``."""
        write_stage(self.stage, self.profile, base)
        places = places_below(base)
        log, prelude = base / "log", base / "prelude.bash"
        log.mkdir()
        own = {
            **places,
            "base": str(base),
            "log": str(log),
            "path": self.tools,
            "scripts": f"{places['root']}/{self.stage.scripts}",
        }
        prelude.write_text(self.profile.as_bash(own) + self.recorder, encoding="utf-8")
        start = {
            **self.profile.variables(places),
            **variables,
            "HOME": places["home"],
            "PATH": places["shims"],
            "TMPDIR": places["tmp"],
        }
        output: list[str] = []

        lost: list[str] = []

        def keep(text: str) -> None:
            output.append(text[-_SHOWN:])
            del output[:-_LINES]
            lost.extend(_UNSEEN.findall(text))

        ended = stream(
            [self.bash, self.stage.script],
            cwd=Path(places["root"]),
            env={**start, "BASH_ENV": str(prelude)},
            emit=keep,
            limit=self.limit,
        )
        end_descendants(set())
        texts = [path.read_bytes().decode(errors="surrogateescape") for path in log.iterdir()]
        commands, notes = read_log(texts, start, places)
        found = self.fault(ended, notes, _last_lines(commands, notes), "".join(output), lost)
        return Recording(
            ended.code,
            commands,
            tuple(note for note in notes if note.kind is not NoteKind.END),
            found,
            ended.wall,
        )

    def fault(
        self,
        ended: Ended,
        notes: Iterable[Note],
        lines: tuple[str, ...],
        output: str,
        lost: list[str],
    ) -> Fault | None:
        """Return why the script was not traced to its end, if it was not."""
        if lost:
            return Fault(FaultKind.LOST, f"bash lost a command: {lost[0].strip()}", lines)
        for note in notes:
            if note.kind is NoteKind.UNTRACEABLE:
                return Fault(FaultKind.UNTRACEABLE, note.text, lines)
        if ended.reason is Reason.TIMEOUT:
            text = f"it did not end within {self.limit:g} s"
            return Fault(FaultKind.TIMED_OUT, text, lines)
        if ended.code:
            said = output.partition(_END)[0].strip().splitlines()
            quoted = "".join(f" at `{self.line(line)}`" for line in lines[:1])
            last = f"; it said last: {said[-1]}" if said else ""
            text = f"it ended with exit code {ended.code}{quoted}{last}"
            return Fault(FaultKind.FAILED, text, lines)
        if not any(note.kind is NoteKind.END for note in notes):
            return Fault(FaultKind.NO_END, "its end was not seen", lines)
        return None

    def line(self, where: str) -> str:
        """Return the text of a line of the copied scripts, such as ``.ci/pytorch/test.sh:7``."""
        name, _, number = where.rpartition(":")
        lines = self.stage.files.get(name, b"").decode(errors="replace").splitlines()
        at = int(number) - 1
        return lines[at].strip() if at < len(lines) else where


def _last_lines(commands: tuple[Command, ...], notes: tuple[Note, ...]) -> tuple[str, ...]:
    """Return where the script stopped: at what could not be followed, its end, or what it ran."""
    for kind in (NoteKind.UNTRACEABLE, NoteKind.END):
        for note in notes:
            if note.kind is kind:
                return note.lines
    return commands[-1].lines if commands else ()


def main(words: list[str]) -> int:
    """Enter the sandbox, then answer jobs until standard input ends.

    ``words``: the folder, the limit in seconds, the user, bash, the folder of the real tools. The
    first line names the pickled copy and profile; its answer names what the sandbox consists of.
    """
    base, limit, user = Path(words[0]), float(words[1]), int(words[2])
    bash, tools = words[3:]
    first = json.loads(sys.stdin.readline())
    stage, profile = pickle.loads(Path(first["stage"]).read_bytes())  # noqa: S301 - ours
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
        recording = tracer.trace(json.loads(line)["variables"], folder)
        remove(folder)
        print(json.dumps(recording.to_dict()), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
