"""Text helpers: redaction of secrets, escaping of untrusted text, counts and durations.

Secrets are the values of variables whose names look like secrets, also if they are quoted for a
shell, for JSON or for a URL. ``Redactor`` replaces them.

Tests may print text that a CI system or a terminal interprets. GitHub looks for ``::name::`` at the
start of a line, after white space, and for ``##[name]`` anywhere in it; a terminal interprets
control characters; Markdown and HTML have their own syntax. There is a function for each place
where untrusted text is shown: ``for_log``, ``for_annotation``, ``for_markdown``, ``for_html``,
``for_json``.
"""

from __future__ import annotations

import enum
import json
import re
import signal
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable

__all__ = [
    "Redactor",
    "StrEnum",
    "clock_duration",
    "count",
    "disarm",
    "duration",
    "exit_status",
    "for_annotation",
    "for_annotation_title",
    "for_html",
    "for_json",
    "for_log",
    "for_markdown",
    "for_markdown_block",
    "is_secret_name",
    "rough_duration",
    "shorten",
    "shown",
    "without_credentials",
]

_SECRET_NAME = re.compile(
    r"TOKEN|SECRET|PASSWORD|PASSWD|PASSPHRASE|CREDENTIAL|^AWS_|(^|_)PAT($|_)|(^|_)(API_?|ACCESS_?|PRIVATE_?)?KEY($|_)",
    re.IGNORECASE,
)
# It starts with a literal, which a search finds fast; with a lookbehind it would try every place.
_CREDENTIALS = re.compile(r"://[^\s/@'\"]{1,300}@")
_SHORTEST_SECRET = 6
_NOT_SECRET = frozenset({"false", "default"})
MASK = "***"

# White space that GitHub's runner skips before a command. Lines end at \n or \r.
_BLANK = r"\t\v\f \x1c-\x1f\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
_COMMAND = re.compile(rf"(?:\A|(?<=[\n\r]))([{_BLANK}]*):(?=:)")
_OLD_COMMAND = re.compile(r"##(?=\w*\[)")
_ESCAPE_SEQUENCE = re.compile(r"\x1b(?:\[[0-?]{0,64}[ -/]{0,8}[@-~]|[@-Z\\^_])")
# Control characters except tab and line feed, and characters that change the text direction.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_MARKDOWN = re.compile(r"([\\`*_{}\[\]()#+!|~@-])")


class StrEnum(str, enum.Enum):
    """An enumeration whose members are their texts, like ``enum.StrEnum`` of Python 3.11."""

    def __str__(self) -> str:
        return str(self.value)


def is_secret_name(name: str) -> bool:
    """Return whether a variable's name says that its value is a secret."""
    return _SECRET_NAME.search(name) is not None


def without_credentials(text: str) -> str:
    """Replace the user and password of URLs: ``https://user:password@host``."""
    return _CREDENTIALS.sub(f"://{MASK}@", text) if "://" in text and "@" in text else text


class Redactor:
    """Replaces secrets and the credentials in URLs with ``***``.

    ``names`` are further variables that contain secrets. Secrets shorter than six characters are
    replaced only as the complete value of a variable (``value``, ``fields``): replacing every "1"
    would make the log unreadable.
    """

    def __init__(self, environment: Mapping[str, str], names: Container[str] = ()) -> None:
        self._names = names
        self._secrets: list[str] = []
        self._shortest: tuple[str, ...] = ()
        self._pattern: re.Pattern[str] | None = None
        self.learn(environment)

    def learn(self, environment: Mapping[str, str]) -> None:
        """Also redact the secrets in this environment."""
        found = {
            written
            for name, value in environment.items()
            if self._is_secret(name)
            for secret in (value, *value.splitlines())
            if len(secret) >= _SHORTEST_SECRET and secret.lower() not in _NOT_SECRET
            for written in _spellings(secret)
        }
        # Longest first, so that a secret that contains another one is replaced as a whole.
        self._secrets = sorted({*self._secrets, *found}, key=len, reverse=True)
        words = map(re.escape, self._secrets)
        self._pattern = re.compile("|".join(words)) if self._secrets else None
        shorter: list[str] = []  # without spellings that contain others: one of them is in any text
        for secret in reversed(self._secrets):
            if not any(one in secret for one in shorter):
                shorter.append(secret)
        self._shortest = tuple(shorter)

    def _is_secret(self, name: str) -> bool:
        return name in self._names or is_secret_name(name)

    def __call__(self, text: str) -> str:
        """Return the text with secrets redacted."""
        hidden = text
        if self._pattern and any(secret in text for secret in self._shortest):
            hidden = self._pattern.sub(MASK, text)
        return without_credentials(hidden)

    def value(self, name: str, text: str) -> str:
        """Return the value of a variable with secrets redacted."""
        return MASK if text and self._is_secret(name) else self(text)

    def split_safely(self, text: str) -> tuple[str, str]:
        """Split off the end of the text if it may be the beginning of a secret."""
        cut = len(text)
        for secret in self._secrets:
            start = max(0, len(text) - len(secret) + 1)
            while (start := text.find(secret[0], start, cut)) >= 0:
                if secret.startswith(text[start:]):
                    cut = start
                start += 1
        return text[:cut], text[cut:]

    def fields(self, data: Any, structure: Container[str] = ()) -> Any:  # noqa: ANN401 - any JSON value
        """Redact every string in a JSON value, except for values of the keys in ``structure``.

        If a key is the name of a secret, its whole value is redacted.
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
    """Return a secret in all the ways it may be written: plain, quoted, and quoted twice."""
    once = {quoted(secret) for quoted in _QUOTINGS}
    return once | {quoted(text) for quoted in _QUOTINGS for text in once}


# --- untrusted text


def disarm(text: str) -> str:
    """Change a text, of any number of lines, so that GitHub finds no command in it.

    ``::`` at the start of a line becomes ``: :``, and ``##[`` becomes ``# #[``.
    """
    if "##" in text:
        text = _OLD_COMMAND.sub("# #", text)
    return _COMMAND.sub(r"\1: ", text) if "::" in text else text


def for_log(text: str) -> str:
    """Escape untrusted text for a log: no commands and no control characters, but several lines."""
    plain = _ESCAPE_SEQUENCE.sub("", text) if "\x1b" in text else text
    return disarm(_CONTROL.sub(_visible, plain))


def _visible(match: re.Match[str]) -> str:
    number = ord(match[0])
    return f"\\x{number:02x}" if number <= 0xFF else f"\\u{number:04x}"  # noqa: PLR2004


def for_annotation(text: str) -> str:
    """Escape the message of a workflow command, like GitHub's own toolkit."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def for_annotation_title(text: str) -> str:
    """Escape the value of a workflow command's property."""
    return for_annotation(text).replace(":", "%3A").replace(",", "%2C")


def _quote_url(text: str, safe: str) -> str:
    from urllib.parse import quote  # noqa: PLC0415 - slow to import, and only for secrets

    return quote(text, safe=safe, errors="surrogateescape")  # any bytes


def _escape_html(text: str, *, quote: bool = True) -> str:
    import html  # noqa: PLC0415 - slow to import, and few commands need it

    return html.escape(text, quote=quote)


# How a string is written inside the quotes of a shell, JSON or Python, in a URL, and in HTML.
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
    lambda text: _quote_url(text, "/"),
    lambda text: _quote_url(text, ""),
    _escape_html,
    for_annotation,
)


def for_markdown(text: str) -> str:
    """Escape untrusted text for Markdown: one line without markup, links or HTML."""
    flat = " ".join(for_log(text).split())
    return _escape_html(_MARKDOWN.sub(r"\\\1", flat), quote=False)


def for_markdown_block(lines: Iterable[str], language: str = "") -> list[str]:
    """Return untrusted lines as a fenced code block that they cannot close."""
    safe = [line for text in lines for line in for_log(text).split("\n")]
    longest = max((len(run) for line in safe for run in re.findall("`+", line)), default=0)
    fence = "`" * max(3, longest + 1)
    return [f"{fence}{language}", *safe, fence]


def for_html(text: str) -> str:
    """Escape untrusted text for HTML, including attributes."""
    return _escape_html(for_log(text))


def for_json(data: Any, *, indent: int | None = None) -> str:  # noqa: ANN401 - any JSON value
    """Return a value as JSON that contains no GitHub command, but still has the same value."""
    text = json.dumps(data, indent=indent, default=str)
    return _OLD_COMMAND.sub("#\\\\u0023", text) if "##" in text else text


# --- values in messages

_MAX_SHOWN = 200  # characters


def shown(value: object) -> str:
    """Return a value as messages show it: as Python writes it, but shortened if it is long."""
    try:
        text = repr(value)
    except (RecursionError, ValueError):  # nested too deeply, or a number with too many digits
        return f"a {type(value).__name__} that is too large to show"
    return shorten(text)


def shorten(text: str) -> str:
    """Return a text, or its beginning if it is too long for a message."""
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}…"


# --- counts and durations


def count(number: int, noun: str, plural: str = "") -> str:
    """Return a number with its noun: ``1 case``, ``2,693 cases``."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def exit_status(code: int) -> str:
    """Describe an exit code: ``exit 1``, or ``exit 139 (SIGSEGV)`` if a signal ended it."""
    try:
        return f"exit {code} ({signal.Signals(code - 128).name})"
    except ValueError:
        return f"exit {code}"


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


def clock_duration(seconds: float) -> str:
    """Format a duration for a narrow column: ``0.4 s``, ``12 s``, ``5:12``, ``2:05:12``."""
    if round(seconds) < 60:  # noqa: PLR2004
        return duration(seconds)
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def rough_duration(seconds: float) -> str:
    """Format a duration in one unit: ``12 s``, ``5 min``, ``3 h``, ``21 days``."""
    for unit, length, most in (("s", 1, 60), ("min", 60, 60), ("h", 3600, 48)):
        if seconds < most * length:
            return f"{seconds // length:.0f} {unit}"
    return f"{seconds // 86400:.0f} days"
