"""Reference cases: inputs, and what the published rule makes of them. The README says where they come from."""

import json
from pathlib import Path
from typing import Any

import pytest


def rows(name: str, *fields: str) -> list[Any]:
    """Parameters for the rows of a file whose inputs have these fields."""
    found = json.loads((Path(__file__).parent / f"{name}.json").read_text())["rows"]
    chosen = [row for row in found if set(fields) <= set(row.get("inputs", fields))]
    assert chosen, f"{name}.json has no row with {fields}"
    return [pytest.param(row, id=row["id"], marks=_doubtful(row)) for row in chosen]


def _doubtful(row: dict[str, Any]) -> list[Any]:
    anomaly = row.get("known_anomaly")
    return [pytest.mark.skip(reason=f"the row contradicts its rule: {anomaly}")] if anomaly else []
