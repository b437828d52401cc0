"""What happened, as a sentence for people: by kind of event, in the words of `catalog/sentences/`."""

import re
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import yaml
from pydantic import BaseModel, ConfigDict

FILES = Path(__file__).parent.parent / "catalog" / "sentences"
SUBJECTS = FILES.parent / "subjects.yaml"
FALLBACK = "en"
PLACE = re.compile(r"\{([a-z_.]+)\}")
PART = re.compile(r"\[(?:([?!])([a-z_.]+): )?([^\[\]]*)\]")
INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)")
FREE = frozenset(  # what people have written: it is said as it stands
    ("text", "reason", "note", "comment", "outcome", "description", "finding", "findings", "summary", "conclusion")
)
UNKNOWN = "…"


class Sentences(BaseModel):
    """One language: a sentence for each kind of event, and the words for the codes that stand in it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    language: str
    words: Mapping[str, str] = {}
    sentences: Mapping[str, str]


@cache
def sentences(language: str) -> Sentences:
    """The sentences of a language, English where there are none in it."""
    path = FILES / f"{language}.yaml"
    return Sentences.model_validate(
        yaml.safe_load((path if path.exists() else FILES / f"{FALLBACK}.yaml").read_text())
    )


def languages() -> tuple[str, ...]:
    return tuple(sorted(path.stem for path in FILES.glob("*.yaml")))


@cache
def subjects() -> Mapping[str, tuple[str, ...]]:
    """The kinds of events by what they are about."""
    return {name: tuple(kinds) for name, kinds in yaml.safe_load(SUBJECTS.read_text()).items()}


@cache
def subject_of(kind: str) -> str | None:
    return next((subject for subject, kinds in subjects().items() if kind in kinds), None)


def sentence(language: str, kind: str, data: Mapping[str, Any], zone: ZoneInfo) -> str | None:
    """The sentence of an event; None for a kind that has none. Times are said in `zone`.

    `data` is what the event says, with the titles of the promise and the task that it is about as `clock`, `task`.
    """
    said = sentences(language)
    template = said.sentences.get(kind)
    if template is None:
        return None

    def value(path: str) -> str | None:
        return _said(said, _at(data, path.split(".")), zone, path.rpartition(".")[2] in FREE)

    def place(found: re.Match[str]) -> str:
        return value(found[1]) or UNKNOWN

    def part(found: re.Match[str]) -> str:
        condition, path, text = found.groups()
        if condition and bool(_at(data, path.split("."))) != (condition == "?"):
            return ""
        missing = any(value(name) is None for name in PLACE.findall(text))
        return "" if missing else PLACE.sub(place, text)

    found = []
    at = 0
    for optional in PART.finditer(template):  # each piece once: what somebody has written may have braces too
        found += [PLACE.sub(place, template[at : optional.start()]), part(optional)]
        at = optional.end()
    return "".join([*found, PLACE.sub(place, template[at:])])


def _at(data: Any, path: list[str]) -> Any:
    """What stands at a path; of a list what stands there in each of its items."""
    if not path:
        return data
    if isinstance(data, list):
        return [_at(one, path) for one in data]
    return _at(data.get(path[0]), path[1:]) if isinstance(data, Mapping) else None


def _said(said: Sentences, value: Any, zone: ZoneInfo, free: bool) -> str | None:
    if value is None or value in ([], ""):
        return None
    if isinstance(value, list):
        return ", ".join(text for one in value if (text := _said(said, one, zone, free)))
    if isinstance(value, Mapping):
        return ", ".join(str(one) for one in value.values() if not isinstance(one, list | dict)) or None
    text = f"{value:g}" if isinstance(value, float) else str(value)
    if free:
        return text
    if INSTANT.fullmatch(text):
        return f"{datetime.fromisoformat(text).astimezone(zone):%Y-%m-%d %H:%M}"
    return said.words.get(text, text)
