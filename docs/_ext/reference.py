"""Directives that write the reference from the code: commands, variables, codes and JSON formats.

Each takes what it shows from where the package has it, so that a new command, variable, error or
schema appears by itself.
"""

from __future__ import annotations

import io
import json
import re
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from sphinx.util.docutils import SphinxDirective

from ci_sessions import errors
from ci_sessions.cli import options as command_options
from ci_sessions.cli.stdout import Stdout
from ci_sessions.cli.verbs import COMMANDS, load_command
from ci_sessions.job.environment import Environment
from ci_sessions.job.variables import VARIABLES, Origin
from ci_sessions.records.record import Outcome
from ci_sessions.records.route import Reason
from ci_sessions.records.verdict import JobVerdict
from ci_sessions.text import Redactor

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Mapping

    from docutils import nodes
    from sphinx.application import Sphinx

SCHEMAS = files("ci_sessions") / "resources" / "schemas"
_ORIGINS = {
    Origin.JOB: "the job",
    Origin.WORKFLOW: "set by the workflow",
    Origin.COMMIT: "the change under test",
    Origin.MACHINE: "the machine",
    Origin.RUNNER: "read by ci_sessions itself",
    Origin.SECRET: "secret, never shown",
}


class _Found(Exception):  # noqa: N818 - not an error
    """Carries the parser out of a command."""


def parser_of(command: str) -> argparse.ArgumentParser:
    """Return the parser with which a command parses its own options."""

    def stop(parser: argparse.ArgumentParser, *_: object) -> None:
        raise _Found(parser)

    context = command_options.Context(
        program=("ci-sessions", command),
        summary=COMMANDS[command],
        out=Stdout(io.StringIO()),
        environment=Environment(),
        redact=Redactor({}, ()),
    )
    original = command_options.OptionParser.parse_args
    command_options.OptionParser.parse_args = stop
    try:
        load_command(command)([], context)
    except _Found as found:
        return found.args[0]
    finally:
        command_options.OptionParser.parse_args = original
    raise RuntimeError(f"{command} parses no options with parse_options")


def escape(text: str) -> str:
    """Return a text that Markdown shows as it is."""
    return re.sub(r"([\\`*_{}\[\]<>#|~$])", r"\\\1", text)


def command_page() -> Iterator[str]:
    """Yield the lines of the reference of all commands."""
    for command, summary in COMMANDS.items():
        parser = parser_of(command)
        usage = parser.format_usage().removeprefix("usage: ")
        yield from (f"(command-{command})=", f"## {command}", "", escape(summary), "")
        yield from ("```text", re.sub(r"\n +", "\n    ", usage).rstrip(), "```", "")
        yield from (f"In nox: `nox -s {command} -- [options]`", "")
        yield from (f"```{{program}} ci-sessions {command}", "```", "")
        for group in parser._action_groups:  # noqa: SLF001 - argparse has no other way
            actions = [one for one in group._group_actions if one.dest != "help"]  # noqa: SLF001
            if actions:
                title = (group.title or "").removesuffix(" arguments")
                yield from (f"**{title.capitalize()}**", "")
            for action in actions:
                yield from _option(action)


def _option(action: argparse.Action) -> Iterator[str]:
    value = action.metavar or (action.dest.upper() if action.nargs != 0 else "")
    value = value if isinstance(value, str) else " ".join(value)
    names = action.option_strings or [action.dest]
    suffix = f" {value}" if action.option_strings and action.nargs != 0 and value else ""
    yield "```{option} " + ", ".join(f"{name}{suffix}" for name in names)
    yield ""
    text = (action.help or "").replace("%(default)s", str(action.default))
    choices = f" One of {', '.join(map(str, action.choices))}." if action.choices else ""
    yield escape(text[:1].upper() + text[1:].rstrip(".") + "." + choices)
    yield from ("```", "")


def variable_table() -> Iterator[str]:
    """Yield a table of the environment variables, without those of secrets' values."""
    yield from (
        "| variable | where it comes from | default | changes the plan |",
        "|---|---|---|---|",
    )
    for one in VARIABLES:
        default = "" if one.default in (None, "", (), False) else f"`{one.default}`"
        changes = "yes" if one.affects_plan else ""
        yield f"| `{one.name}` | {_ORIGINS[one.origin]} | {default} | {changes} |"


def error_table() -> Iterator[str]:
    """Yield a table of the errors."""
    yield from ("| reference | exit code | meaning |", "|---|---|---|")
    for name in errors.__all__:
        one = getattr(errors, name)
        if one is not errors.CiSessionsError:
            text = " ".join((one.__doc__ or "").split("\n\n")[0].split())
            yield f"| `{one.reference}` | {one.exit_code} | {escape(text)} |"


def code_lists() -> Iterator[str]:
    """Yield the codes that records and messages contain."""
    for title, kind in (("Outcomes", Outcome), ("Reasons of routes", Reason),
                        ("Verdicts of comparisons", JobVerdict)):  # fmt: skip
        values = ", ".join(f"`{one.value}`" for one in kind)
        yield from (f"{title}", f": {values}", "")


def schema_page() -> Iterator[str]:
    """Yield the reference of all JSON formats, from their schemas."""
    found = (one for one in SCHEMAS.iterdir() if one.name.endswith(".schema.json"))
    paths = sorted(found, key=lambda one: one.name)
    for path in paths:
        schema = json.loads(path.read_text(encoding="utf-8"))
        name = _stem(path.name)
        yield from (f"(format-{name})=", f"## {schema.get('title', name)}", "")
        yield from (schema.get("description", ""), "", f"Schema: `{path.name}`", "")
        yield from _object(schema, name)
        for key, part in schema.get("$defs", {}).items():
            yield from (f"(format-{name}-{key})=", f"### {key} ({name})", "")
            yield from (part.get("description", ""), "")
            yield from _object(part, name)


def _object(schema: Mapping[str, Any], name: str) -> Iterator[str]:
    """Yield a table of an object's keys, if the schema is about one."""
    rows = list(_rows(schema, name, ""))
    if rows:
        yield from ("| key | type | meaning |", "|---|---|---|", *rows, "")
    elif (kind := describe(schema, name)) != "object":
        yield from (f"Type: {kind}", "")


def _rows(schema: Mapping[str, Any], name: str, prefix: str) -> Iterator[str]:
    """Yield a row for each key of an object, or of the objects in an array: ``needs.count``."""
    inner = schema.get("items", schema)
    if not isinstance(inner, dict):
        return
    for key, part in inner.get("properties", {}).items():
        mark = "" if key in inner.get("required", ()) else " (optional)"
        text = part.get("description", "").replace("|", "\\|")
        yield f"| `{prefix}{key}`{mark} | {describe(part, name)} | {text} |"
        yield from _rows(part, name, f"{prefix}{key}{'[]' if 'items' in part else ''}.")


def _stem(file: str) -> str:
    return file.removesuffix(".schema.json")


def describe(part: Mapping[str, Any], name: str = "") -> str:
    """Return the type of a value in words: ``array of string``. ``name`` is that of the schema."""
    if "$ref" in part:
        return _reference(part["$ref"], name)
    values = [part["const"]] if "const" in part else part.get("enum")
    if values:
        return ", ".join(f"`{json.dumps(one)}`" for one in values)
    choices = part.get("anyOf") or part.get("oneOf")
    if choices:
        return " or ".join(describe(one, name) for one in choices)
    kind = part.get("type", "any value")
    inner = part.get("items") or part.get("additionalProperties")
    text = " or ".join(kind) if isinstance(kind, list) else str(kind)
    return f"{text} of {describe(inner, name)}" if isinstance(inner, dict) else text


def _reference(target: str, name: str) -> str:
    """Return a link to a part of a schema: ``#/$defs/step`` or ``job.schema.json``."""
    file, _, path = target.partition("#")
    name = _stem(file) or name
    part = path.rpartition("/")[2]
    return f"{{ref}}`{part or name} <format-{'-'.join(filter(None, (name, part)))}>`"


class _Generated(SphinxDirective):
    """Parses generated Markdown in its place."""

    has_content = False

    def run(self) -> list[nodes.Node]:
        """Return the nodes of the generated text."""
        text = "\n".join(self.lines())
        return self.parse_text_to_nodes(text, allow_section_headings=True)

    def lines(self) -> Iterator[str]:
        """Yield lines of Markdown."""
        raise NotImplementedError


def _directive(function: Any) -> type[_Generated]:  # noqa: ANN401 - a generator function
    return type(function.__name__, (_Generated,), {"lines": lambda _: function()})


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directives."""
    for function in (command_page, variable_table, error_table, code_lists, schema_page):
        app.add_directive(function.__name__.replace("_", "-"), _directive(function))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
