"""Draws the documentation's pictures: of the terminal, as SVG, and of the built site, as PNG.

    python docs/screenshots.py                   runs the commands of PICTURES on a sample checkout
    python docs/screenshots.py --site FOLDER     pages of docs/_build/html, with chromium

Terminal pictures are part of the repository; the site's are only for looking at them.
"""

from __future__ import annotations

import argparse
import html
import os
import pty
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

DOCS = Path(__file__).resolve().parent
SAMPLE = DOCS.parent / "examples" / "checkout"
BREAK = ("sed", "-i", 's|"x"):|"x", "x / 2"):|', "test/test_jit_legacy.py")
PICTURES = {
    "dry-run": ((), "ci-sessions plan jit_legacy", ""),
    "red": (BREAK, "ci-sessions run jit_legacy", "FAILED  "),
}
"""A change of the checkout, a command, and the text with which the shown output begins."""
COLOURS = {"31": "#ff8b80", "32": "#7ee787", "33": "#e3b341", "34": "#79c0ff", "35": "#d2a8ff",
           "36": "#76e3ea", "90": "#9198a1"}  # fmt: skip
STYLES = {"1": "font-weight:bold", "2": "fill:#9198a1"}
COLUMNS, LINE, CHARACTER, MARGIN = 100, 19, 7.8, 16  # characters, pixels
PAGES = ("index", "tutorial", "reading-a-red-job", "reference/commands", "reference/formats",
         "reference/api-plan", "architecture", "comparison")  # fmt: skip


def terminal(command: str, folder: Path) -> str:
    """Return what a command prints on a terminal."""
    parent, child = pty.openpty()
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    env = {"PATH": programs, "HOME": str(folder.parent), "TERM": "xterm-256color"}
    env |= {"COLUMNS": str(COLUMNS), "LANG": "C.UTF-8"}
    process = subprocess.Popen(
        ["sh", "-c", command], cwd=folder, env=env, stdin=child, stdout=child, stderr=child
    )
    os.close(child)
    pieces = []
    while True:
        try:
            piece = os.read(parent, 65536)
        except OSError:  # on Linux, the end of a terminal
            break
        pieces.append(piece)
    process.wait()
    return b"".join(pieces).decode(errors="replace").replace(str(folder.parent), "~")


def lines_of(output: str, begin: str) -> list[str]:
    """Return the lines as they stay on the screen, from the one that begins with a text."""
    lines = [
        re.sub(r"\x1b\[[0-9;?]*[A-LN-Za-ln-z]", "", line.rstrip("\r").rpartition("\r")[2])
        for line in output.split("\n")
    ]
    plain = [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in lines]
    start = next(number for number, line in enumerate(plain) if line.startswith(begin))
    return lines[start:]


def wrapped(line: str) -> list[str]:
    """Split a line without colours that is wider than the screen."""
    if "\x1b" in line or len(line) <= COLUMNS:
        return [line]
    return [line[at : at + COLUMNS] for at in range(0, len(line), COLUMNS)]


def spans(line: str) -> str:
    """Return a line as text of an SVG, with its colours."""
    parts, style = [], ""
    for piece in re.split(r"(\x1b\[[0-9;]*m)", line):
        if piece.startswith("\x1b"):
            codes = piece[2:-1].split(";")
            fills = [f"fill:{COLOURS[code]}" for code in codes if code in COLOURS]
            style = ";".join([*fills, *(STYLES[code] for code in codes if code in STYLES)])
        elif piece:
            text = html.escape(piece)
            parts.append(f'<tspan style="{style}">{text}</tspan>' if style else text)
    return "".join(parts)


def draw(command: str, lines: list[str]) -> str:
    """Return a terminal with a command and its output as SVG."""
    shown = [f"\x1b[32m$\x1b[0m \x1b[1m{command}\x1b[0m"]
    shown += [part for line in lines for part in wrapped(line)]
    while not shown[-1].strip():
        shown.pop()
    width, height = COLUMNS * CHARACTER + 2 * MARGIN, len(shown) * LINE + 2 * MARGIN
    rows = "\n".join(
        f'<text x="{MARGIN}" y="{MARGIN + LINE * number + 14}" xml:space="preserve">'
        f"{spans(line)}</text>"
        for number, line in enumerate(shown)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" '
        f'width="{width:g}" height="{height:g}" font-family="DejaVu Sans Mono, Menlo, Consolas, '
        'monospace" font-size="13" fill="#e6edf3">\n'
        f'<rect width="100%" height="100%" rx="8" fill="#0d1117"/>\n{rows}\n</svg>\n'
    )


def draw_terminals() -> None:
    """Write all pictures of the terminal."""
    for name, (change, command, begin) in PICTURES.items():
        with tempfile.TemporaryDirectory() as home:
            folder = Path(home) / "pytorch"
            left_out = shutil.ignore_patterns("test-reports", "__pycache__", ".ci-sessions")
            shutil.copytree(SAMPLE, folder, ignore=left_out)
            if change:
                subprocess.run(change, cwd=folder, check=True)
            lines = lines_of(terminal(command, folder), begin)
        path = DOCS / "screenshots" / f"{name}.svg"
        path.write_text(draw(command, lines))
        print(path)


def photograph(folder: Path) -> None:
    """Write pictures of the site's pages, wide and narrow."""
    flags = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --hide-scrollbars "
    flags += "--disable-background-networking --disable-component-update --disable-sync"
    folder.mkdir(parents=True, exist_ok=True)
    for page in PAGES:
        for name, size in (("wide", "1280,1400"), ("narrow", "500,1400")):
            with tempfile.TemporaryDirectory() as profile:
                target = folder / f"{page.replace('/', '-')}-{name}.png"
                address = (DOCS / "_build" / "html" / f"{page}.html").as_uri()
                subprocess.run(
                    ["chromium", *flags.split(), f"--user-data-dir={profile}",
                     f"--window-size={size}", f"--screenshot={target}", address],
                    check=True, capture_output=True,
                )  # fmt: skip
            print(target)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--site", type=Path, metavar="FOLDER")
    given = parser.parse_args()
    if given.site:
        photograph(given.site)
    else:
        draw_terminals()
