"""The words of notices that leave the house, by language: what kind of thing waits, never about whom or what."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import yaml
from pydantic import BaseModel, ConfigDict

FILES = Path(__file__).parent.parent / "catalog" / "notices"
FALLBACK = "en"


class Words(BaseModel):
    """One language: the frame of a message, and a sentence for each subject of a notice."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    language: str
    one: str
    many: str
    urgent: str
    line: str
    end: str
    code_subject: str
    code: str
    subjects: Mapping[str, str]
    other: str


@cache
def words(language: str) -> Words:
    """The words of a language, English where there are none of it."""
    path = FILES / f"{language}.yaml"
    found: dict[str, Any] = yaml.safe_load((path if path.exists() else FILES / f"{FALLBACK}.yaml").read_text())
    return Words.model_validate(found)


def languages() -> tuple[str, ...]:
    return tuple(sorted(path.stem for path in FILES.glob("*.yaml")))


def rendered(
    language: str, subjects: Sequence[tuple[str, datetime]], zone: str, link: str, urgent: bool
) -> tuple[str, str]:
    """Subject and text of one message about some notices: each one's kind, and since when it waits."""
    said = words(language)
    head = said.urgent if urgent else said.one if len(subjects) == 1 else said.many.format(number=len(subjects))
    lines = [
        said.line.format(what=said.subjects.get(subject, said.other), at=at.astimezone(ZoneInfo(zone)))
        for subject, at in subjects
    ]
    return head, "\n".join([head, "", *lines, "", said.end.format(link=link), ""])
