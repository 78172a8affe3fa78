"""Strings from elsewhere, made safe to show; counts and times in words.

Two things are kept out of whatever this package prints or writes.

*Secrets*: the values of variables whose names look like secrets, also where they were quoted for a
shell, for JSON, for a URL. ``Redactor`` replaces them.

*Commands*: a test may print what a CI system or a terminal takes as an instruction. GitHub reads
``::name::`` at the start of a line, after any white space, and ``##[name]`` anywhere in it; a
terminal obeys control characters; Markdown and HTML have syntax of their own. There is a function
for each place where a foreign string is shown: ``for_log``, ``for_annotation``, ``for_markdown``,
``for_html``, ``for_json``.
"""

from __future__ import annotations

import html
import json
import re
import urllib.parse
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable

__all__ = [
    "Redactor",
    "count",
    "disarm",
    "duration",
    "for_annotation",
    "for_annotation_title",
    "for_html",
    "for_json",
    "for_log",
    "for_markdown",
    "for_markdown_block",
    "is_secret_name",
    "without_credentials",
]

_SECRET_NAME = re.compile(
    r"TOKEN|SECRET|PASSWORD|PASSWD|PASSPHRASE|CREDENTIAL|^AWS_|(^|_)PAT($|_)|(^|_)(API_?|ACCESS_?|PRIVATE_?)?KEY($|_)",
    re.IGNORECASE,
)
_CREDENTIALS = re.compile(r"(?<=://)[^\s/@'\"]{1,300}@")
_SHORTEST_SECRET = 6
_NOT_SECRET = frozenset({"false", "default"})
MASK = "***"

# The white space that GitHub's runner skips before a command; a line ends at either of \n and \r.
_BLANK = r"\t\v\f \x1c-\x1f\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
_COMMAND = re.compile(rf"(?:\A|(?<=[\n\r]))([{_BLANK}]*):(?=:)")
_OLD_COMMAND = re.compile(r"##(?=\w*\[)")
_ESCAPE_SEQUENCE = re.compile(r"\x1b(?:\[[0-?]{0,64}[ -/]{0,8}[@-~]|[@-Z\\^_])")
# Control characters, but for tabs and line feeds; and those that reorder a line for the eye.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_MARKDOWN = re.compile(r"([\\`*_{}\[\]()#+!|~@-])")


def is_secret_name(name: str) -> bool:
    """Return whether a variable's name says that its value is a secret."""
    return _SECRET_NAME.search(name) is not None


def without_credentials(text: str) -> str:
    """Replace the user and password of URLs: ``https://user:password@host``."""
    return _CREDENTIALS.sub(f"{MASK}@", text)


class Redactor:
    """Replaces the secret values of environments, and the credentials of URLs, by ``***``.

    A secret shorter than six characters is replaced only where it is the whole value of its
    variable (``value``, ``fields``): replacing every ``1`` would hide the log itself.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._secrets: list[str] = []
        self._pattern: re.Pattern[str] | None = None
        self.learn(environment)

    def learn(self, environment: Mapping[str, str]) -> None:
        """Also replace the secrets of this environment."""
        found = {
            written
            for name, value in environment.items()
            if is_secret_name(name)
            for secret in (value, *value.splitlines())
            if len(secret) >= _SHORTEST_SECRET and secret.lower() not in _NOT_SECRET
            for written in _spellings(secret)
        }
        # The longest first, so that a secret which contains another is hidden whole.
        self._secrets = sorted({*self._secrets, *found}, key=len, reverse=True)
        words = map(re.escape, self._secrets)
        self._pattern = re.compile("|".join(words)) if self._secrets else None

    def __call__(self, text: str) -> str:
        """Return the text without the secrets."""
        hidden = self._pattern.sub(MASK, text) if self._pattern else text
        return without_credentials(hidden) if "://" in hidden else hidden

    def value(self, name: str, text: str) -> str:
        """Return what may be shown of a variable's value."""
        return MASK if text and is_secret_name(name) else self(text)

    def split_safely(self, text: str) -> tuple[str, str]:
        """Split off an end of the text that may be the beginning of a secret."""
        longest = max(map(len, self._secrets), default=1)
        for length in range(min(len(text), longest - 1), 0, -1):
            end = text[-length:]
            if any(secret.startswith(end) for secret in self._secrets):
                return text[:-length], end
        return text, ""

    def fields(self, data: Any, structure: Container[str] = ()) -> Any:  # noqa: ANN401 - any JSON value
        """Redact every string in a JSON value, but for what stands under the keys of ``structure``.

        Under a key that is the name of a secret, any string is one.
        """
        if isinstance(data, str):
            return self(data)
        if isinstance(data, Mapping):
            return {
                key: value
                if key in structure and not isinstance(value, (Mapping, list, tuple))
                else self.value(key, value)
                if isinstance(value, str)
                else self.fields(value, structure)
                for key, value in data.items()
            }
        if isinstance(data, (list, tuple)):
            return [self.fields(value, structure) for value in data]
        return data


def _spellings(secret: str) -> set[str]:
    """Return the ways in which a secret may be written: plain, quoted, and that quoted again."""
    once = {quoted(secret) for quoted in _QUOTINGS}
    return once | {quoted(text) for quoted in _QUOTINGS for text in once}


# --- foreign strings, made harmless


def disarm(text: str) -> str:
    """Return a text of any number of lines in which GitHub finds no command.

    ``::`` at the start of a line becomes ``: :`` and ``##[`` becomes ``# #[``: seen by a reader,
    and nothing to a machine.
    """
    if "##" in text:
        text = _OLD_COMMAND.sub("# #", text)
    return _COMMAND.sub(r"\1: ", text) if "::" in text else text


def for_log(text: str) -> str:
    """Make a foreign text harmless in a log: no command, no control character, lines kept."""
    plain = _ESCAPE_SEQUENCE.sub("", text) if "\x1b" in text else text
    return disarm(_CONTROL.sub(_visible, plain))


def _visible(match: re.Match[str]) -> str:
    number = ord(match[0])
    return f"\\x{number:02x}" if number <= 0xFF else f"\\u{number:04x}"  # noqa: PLR2004


def for_annotation(text: str) -> str:
    """Escape the message of a workflow command, as GitHub's own toolkit does."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def for_annotation_title(text: str) -> str:
    """Escape the value of a workflow command's property."""
    return for_annotation(text).replace(":", "%3A").replace(",", "%2C")


# How a string looks inside of the quotes of a shell, of JSON, of Python, in a URL, in HTML.
_QUOTINGS: tuple[Callable[[str], str], ...] = (
    str,
    lambda text: text.replace("'", "'\\''"),
    lambda text: text.replace("'", "'\"'\"'"),
    lambda text: re.sub(r"([\\'])", r"\\\1", text),  # $'…'
    lambda text: re.sub(r'([\\"$`])', r"\\\1", text),  # "…"
    lambda text: re.sub(r"([^\w@%+=:,./-])", r"\\\1", text),  # printf %q
    lambda text: json.dumps(text)[1:-1],
    lambda text: json.dumps(text, ensure_ascii=False)[1:-1],
    lambda text: repr(text)[1:-1],
    urllib.parse.quote,
    lambda text: urllib.parse.quote(text, safe=""),
    html.escape,
    for_annotation,
)


def for_markdown(text: str) -> str:
    """Make a foreign text plain in Markdown: one line without markup, links, mentions or HTML."""
    flat = " ".join(for_log(text).split())
    return html.escape(_MARKDOWN.sub(r"\\\1", flat), quote=False)


def for_markdown_block(lines: Iterable[str]) -> list[str]:
    """Write foreign lines as a block of code that none of them can close."""
    safe = [line for text in lines for line in for_log(text).split("\n")]
    longest = max((len(run) for line in safe for run in re.findall("`+", line)), default=0)
    fence = "`" * max(3, longest + 1)
    return [fence, *safe, fence]


def for_html(text: str) -> str:
    """Escape a foreign text for HTML, also inside of an attribute."""
    return html.escape(for_log(text))


def for_json(data: Any, *, indent: int | None = None) -> str:  # noqa: ANN401 - any JSON value
    """Write a value as JSON in which GitHub finds no command, and any reader the same value."""
    return _OLD_COMMAND.sub("#\\\\u0023", json.dumps(data, indent=indent, default=str))


# --- numbers in words


def count(number: int, noun: str, plural: str = "") -> str:
    """Return a number with its noun: ``1 case``, ``2,693 cases``."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def duration(seconds: float) -> str:
    """Format a duration: ``0.4 s``, ``12 s``, ``5 min 12 s``, ``2 h 05 min``."""
    if seconds < 10:  # noqa: PLR2004
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes == 0:
        return f"{rest} s"
    if minutes < 60:  # noqa: PLR2004
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"
