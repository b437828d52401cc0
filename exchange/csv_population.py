"""Reads people out of somebody's CSV file by its mapping: each row as the resources of FHIR that would say it.

What a sender has counted himself (admissions of a year) is no resource; it stands beside them, as `Given`.
"""

import csv
import io
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from domain.persons.person import Coverage
from domain.programs.mapping import ColumnMapping
from domain.programs.policies import Measure
from exchange.fhir_population import Said, Unread

GIVEN = "Given"
MOST_GIVEN = 1000
LONGEST_ID = 100


class NotThisFile(Exception):
    """The file is not the one that the mapping describes. The text says what is missing."""


def rows(body: bytes, mapping: ColumnMapping) -> Iterator[tuple[int, list[tuple[str, Said]] | Unread]]:
    """What each row says of whom, with the number of its line, or why it cannot be read. Raises `NotThisFile`."""
    try:
        text = body.decode("utf-8-sig" if mapping.charset == "utf-8" else mapping.charset)
    except UnicodeDecodeError:
        raise NotThisFile(f"it is not written in {mapping.charset}") from None
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=mapping.delimiter, strict=True)
    try:
        if lacking := [name for name in mapping.columns if name not in (reader.fieldnames or ())]:
            raise NotThisFile(f"it has no column {', '.join(lacking)}")
        for row in reader:
            yield reader.line_num, _said(row, mapping)
    except csv.Error as fault:
        raise NotThisFile(f"it is no CSV from line {reader.line_num} on: {fault}") from None


def together(resources: Iterable[Said]) -> tuple[list[Said], dict[Measure, float], tuple[Coverage, ...]]:
    """What the rows of one person say: her resources, the largest of each number, and who pays.

    Of who she is a later row says it better than an earlier one; that she has died one row says for all.
    """
    patient: Said = {}
    numbers: dict[Measure, float] = {}
    others, covered = list[Said](), dict[Coverage, None]()
    for one in resources:
        if one["resourceType"] == "Patient":
            patient |= {name: value for name, value in one.items() if value}
        elif one["resourceType"] != GIVEN:
            others.append(one)
        else:
            for name, number in one["numbers"].items():
                numbers[Measure(name)] = max(number, numbers.get(Measure(name), 0))
            if one["payer"]:
                covered[Coverage(payer=one["payer"], member_id=one["member_id"])] = None
    return [patient, *others], numbers, tuple(covered)


def _said(row: dict[str, Any], mapping: ColumnMapping) -> list[tuple[str, Said]] | Unread:
    if None in row or None in row.values():
        return Unread("columns")
    known = {name: value.strip() for name, value in row.items() if value.strip() not in mapping.missing}
    whose = known.get(mapping.id)
    if not whose or len(whose) > LONGEST_ID or not whose.isprintable():
        return Unread("whose-is-it")
    try:
        numbers = {measure.value: _number(known[c]) for measure, c in mapping.numbers.items() if c in known}
        patient = _patient(whose, known, mapping)
    except ValueError as fault:
        return Unread(str(fault))
    paid = {
        name: known.get(getattr(mapping.person, name) or "", "")[:200] or None for name in ("payer", "member_id")
    }
    beside: Said = {"resourceType": GIVEN, "numbers": numbers, **paid}
    return [(whose, one) for one in (patient, *_conditions(known, mapping), beside)]


def _number(text: str) -> float:
    """Raises `ValueError` for none that can be counted."""
    try:
        number = float(text)
    except ValueError:
        raise ValueError("number") from None
    if not 0 <= number <= MOST_GIVEN:
        raise ValueError("number")
    return number


def _patient(whose: str, known: dict[str, str], mapping: ColumnMapping) -> Said:
    """Raises `ValueError` for a birth date of another form."""
    who = mapping.person
    name = {"given": [known[who.given]] if who.given in known else [], "family": known.get(who.family or "")}
    patient: Said = {
        "resourceType": "Patient",
        "id": whose,
        "identifier": [{"system": mapping.system, "value": whose}],
        "name": [name] if any(name.values()) else None,
        "birthDate": _born(known.get(who.born or ""), who.born_format),
        "telecom": [{"system": "phone", "value": known[who.phone]}] if who.phone in known else None,
        "address": [{"postalCode": known[who.postal_code]}] if who.postal_code in known else None,
        "deceasedBoolean": known.get(mapping.dead or "", "").casefold()
        in [v.casefold() for v in mapping.dead_values],
    }
    return patient


def _born(text: str | None, form: str) -> str | None:
    if text is None:
        return None
    try:
        return datetime.strptime(text, form).date().isoformat()  # noqa: DTZ007 - a day has no zone
    except ValueError:
        raise ValueError("birth-date") from None


def _conditions(known: dict[str, str], mapping: ColumnMapping) -> Iterator[Said]:
    for codes in mapping.conditions:
        for column in codes.columns:
            text = known.get(column, "")
            for code in text.split(codes.between) if codes.between else [text]:
                if code.strip():
                    coding = [{"system": codes.system, "code": code.strip()}]
                    yield {"resourceType": "Condition", "code": {"coding": coding}}
