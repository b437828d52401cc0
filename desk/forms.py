"""Forms that make themselves out of commands: fields from its types, and what was typed back into its body.

A field is named by its path in the body (`goals.0.measure`). What is left empty is left out; what cannot be read
as its type is passed on as it is, so that the command's own rule says what is wrong with it.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from typing import Any, Literal
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ValidationError

from desk.words import Words

Kind = Literal["line", "text", "number", "yes-no", "choice", "many", "day", "moment", "lines", "rows", "group"]
Schema = Mapping[str, Any]
Choices = Mapping[str, Sequence[tuple[str, str]]]
FEW = 7  # so many choices are shown as they are; more go into a list
LONG = 500  # characters from which a text has room to be written
MOST_ROWS = 50
WHOLE, DECIMAL = re.compile(r"-?(0|[1-9]\d{0,15})"), re.compile(r"-?(0|[1-9]\d{0,15})\.\d{1,15}")
NOT_ASKED = {
    ("correct-entry", "right"),  # what is right is written by its own command, once the entry is marked
    ("change-person", "deceased"),  # a death is said in her case, where it ends what runs
    ("change-person", "alive_at"),
}


@dataclass
class FormField:
    """One field, as a template shows it. Of a group `parts` are its fields, of rows each row's."""

    name: str
    label: str
    kind: Kind
    required: bool
    help: str = ""
    choices: Sequence[tuple[str, str]] = ()
    value: Any = None
    parts: list["FormField"] = field(default_factory=list)
    rows: list[list["FormField"]] = field(default_factory=list)
    error: str = ""
    whole: bool = True

    @property
    def id(self) -> str:
        return "f-" + self.name.replace(".", "-")

    @property
    def as_list(self) -> bool:
        """Whether its choices go into a list."""
        return len(self.choices) > FEW


@cache
def schema_of(model: type[BaseModel]) -> dict[str, Any]:
    """The JSON schema of a command, with its references put in."""
    schema = model.model_json_schema()
    found: dict[str, Any] = _whole(schema, schema.get("$defs", {}))
    return found


def _whole(said: Any, parts: Schema) -> Any:
    if isinstance(said, list):
        return [_whole(one, parts) for one in said]
    if not isinstance(said, dict):
        return said
    if "$ref" in said:
        named = {k: v for k, v in parts[said["$ref"].rpartition("/")[2]].items() if k != "description"}
        said = {**named, **{key: value for key, value in said.items() if key != "$ref"}}
    found = {key: _whole(value, parts) for key, value in said.items() if key != "$defs"}
    return _plain(found)


def _plain(said: dict[str, Any]) -> dict[str, Any]:
    """A value that may be left out is said by its other form alone; of an instant or a day the instant."""
    forms = [form for form in said.get("anyOf", ()) if form.get("type") != "null"]
    if not forms:
        return said
    rest = {key: value for key, value in said.items() if key != "anyOf"}
    return {**forms[0], **rest}


def form_of(
    kind: str,
    schema: Schema,
    spoken: Words,
    choices: Choices,
    body: Mapping[str, Any],
    errors: Mapping[str, str],
    prefix: str = "",
) -> list[FormField]:
    """The fields of a command's form, with what is known or was typed, and what is wrong with it."""
    required = set(schema.get("required", ()))
    return [
        _field(kind, part, f"{prefix}{name}", name in required, spoken, choices, body.get(name), errors)
        for name, part in schema.get("properties", {}).items()
        if (kind, name) not in NOT_ASKED
    ]


def _field(
    command: str,
    said: Schema,
    path: str,
    required: bool,
    spoken: Words,
    choices: Choices,
    value: Any,
    errors: Mapping[str, str],
) -> FormField:
    name = path.rpartition(".")[2]
    where = ".".join(part for part in path.split(".") if not part.isdigit())
    offered = choices.get(where, ())
    kind = _kind(said, bool(offered))
    made = FormField(
        name=path,
        label=spoken.get(f"field.{command}.{where}", spoken.get(f"field.{name}", _words_of(name))),
        kind=kind,
        required=required,
        help=_help(command, where, said, spoken),
        choices=offered or [(one, spoken.get(f"code.{one}", _words_of(one))) for one in _codes(said)],
        value=said.get("default") if value is None else value,
        error=errors.get(path, ""),
        whole=said.get("type") == "integer",
    )
    if kind == "group":
        inner = value if isinstance(value, Mapping) else {}
        made.parts = form_of(command, said, spoken, choices, inner, errors, f"{path}.")
    if kind == "rows":
        rows = list(value) if isinstance(value, list | tuple) else []
        wanted = min(MOST_ROWS, max(1, len(rows)))
        made.rows = [
            form_of(
                command,
                said["items"],
                spoken,
                choices,
                rows[number] if number < len(rows) else {},
                errors,
                f"{path}.{number}.",
            )
            for number in range(wanted)
        ]
    return made


def _help(command: str, where: str, said: Schema, spoken: Words) -> str:
    """What a language says of a field; in English the field says it itself."""
    own = str(said.get("description", "")) if spoken.language == "en" else ""
    return spoken.get(f"hint.{command}.{where}", spoken.get(f"hint.{where.rpartition('.')[2]}", own))


def _kind(said: Schema, offered: bool) -> Kind:
    shape, items = said.get("type"), said.get("items", {})
    if shape == "object":
        return "group" if said.get("properties") else "lines"
    if shape == "array":
        return "rows" if items.get("type") == "object" else "many" if offered or _codes(items) else "lines"
    if offered or _codes(said):
        return "choice"
    simple: dict[Any, Kind] = {"boolean": "yes-no", "integer": "number", "number": "number"}
    by_format: dict[Any, Kind] = {"date": "day", "date-time": "moment"}
    if shape in simple:
        return simple[shape]
    return by_format.get(said.get("format")) or ("text" if said.get("maxLength", 0) > LONG else "line")


def _codes(said: Schema) -> list[str]:
    if said.get("type") == "array":
        said = said.get("items", {})
    return [str(one) for one in said.get("enum", [said["const"]] if "const" in said else [])]


def _words_of(name: str) -> str:
    return name.replace("_", " ").replace("-", " ").capitalize()


def body_of(
    schema: Schema, typed: Mapping[str, list[str]], zone: ZoneInfo, choices: Choices, prefix: str = ""
) -> dict[str, Any]:
    """The body that was typed into a form. Empty fields, and rows without anything, are left out."""
    found: dict[str, Any] = {}
    for name, said in schema.get("properties", {}).items():
        value = _typed(said, f"{prefix}{name}", typed, zone, choices)
        if value not in (None, [], {}):
            found[name] = value
    return found


def with_row(body: Mapping[str, Any], path: str) -> dict[str, Any]:
    """The body with an empty row more where `path` says; unchanged where that is nothing that has rows."""
    first, _, rest = path.partition(".")
    found = dict(body)
    if not rest:
        rows = found.get(first, [])
        return {**found, first: [*rows, {}] if rows else [{}, {}]} if isinstance(rows, list) else found
    number, _, inner = rest.partition(".")
    rows = list(found.get(first, ())) if isinstance(found.get(first, ()), list) else []
    if number.isdecimal() and int(number) < len(rows) and inner:
        rows[int(number)] = with_row(rows[int(number)], inner)
        found[first] = rows
    return found


def _typed(said: Schema, path: str, typed: Mapping[str, list[str]], zone: ZoneInfo, choices: Choices) -> Any:
    where = ".".join(part for part in path.split(".") if not part.isdigit())
    kind = _kind(said, bool(choices.get(where)))
    if kind == "group":
        group = body_of(said, typed, zone, choices, f"{path}.")
        return group if _says_something(said, group) else None
    if kind == "rows":
        rows = (body_of(said["items"], typed, zone, choices, f"{path}.{n}.") for n in range(MOST_ROWS))
        return [row for row in rows if _says_something(said["items"], row)]
    given = [one.strip() for one in typed.get(path, []) if one.strip()]
    if not given:
        return None
    if kind == "many":
        return given
    if kind == "lines":
        lines = [line.strip() for line in given[0].splitlines() if line.strip()]
        return dict(_pairs(lines)) if said.get("type") == "object" else lines
    return _value(said, kind, given[-1], zone)


def _says_something(schema: Schema, row: Mapping[str, Any]) -> bool:
    """Whether a row or a group was filled in: more than the presets of its choices."""
    presets = {name for name, said in schema.get("properties", {}).items() if "default" in said}
    return any(name not in presets or value != _preset(schema, name, value) for name, value in row.items())


def _preset(schema: Schema, name: str, value: Any) -> Any:
    """What the form began with; several choices as the form names them."""
    found = schema["properties"][name]["default"]
    return [str(one) for one in found] if isinstance(found, list) and isinstance(value, list) else found


def _pairs(lines: Sequence[str]) -> Iterator[tuple[str, Any]]:
    """`name: value`, a line each; numbers, yes and no as such."""
    for line in lines:
        name, _, value = line.partition(":")
        yield name.strip(), scalar(value.strip())


def scalar(text: str) -> Any:
    """What a short text says: a number, yes or no, else the text."""
    if text.lower() in ("yes", "no"):
        return text.lower() == "yes"
    if WHOLE.fullmatch(text):
        return int(text)
    return float(text) if DECIMAL.fullmatch(text) else text


def _value(said: Schema, kind: Kind, text: str, zone: ZoneInfo) -> Any:
    if kind == "yes-no":
        return {"yes": True, "no": False}.get(text, text)
    if kind == "moment":
        return _moment(text, zone)
    shape = said.get("type")
    try:
        return int(text) if shape == "integer" else float(text) if shape == "number" else text
    except ValueError:
        return text


def _moment(text: str, zone: ZoneInfo) -> str:
    """A local time as an instant; one that the clocks skip, or that is none, is passed on to be refused."""
    try:
        local = datetime.fromisoformat(text)
    except ValueError:
        return text
    if local.tzinfo is not None:
        return local.isoformat()
    instant = local.replace(tzinfo=zone)
    exists = instant.astimezone(UTC).astimezone(zone).replace(tzinfo=None) == local
    return instant.isoformat() if exists else f"{text} does not exist"


def errors_of(fault: ValidationError, spoken: Words) -> dict[str, str]:
    """What is wrong with which field, in words for people; of fields of a choice, of the field itself."""
    found: dict[str, str] = {}
    for one in fault.errors(include_url=False, include_context=False):
        path = ".".join(str(part) for part in one["loc"] if not str(part).startswith("function-"))
        found.setdefault(path, spoken.get(f"error.{one['type']}", one["msg"]))
    return found
