"""Reference cases, where their folder lies beside the project; a test skips with that reason where it does not."""

import json
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parents[2] / "shared/facts/reference-cases"


def rows(name: str, *fields: str) -> list[Any]:
    """Parameters for the rows of a file whose inputs have these fields; one skipped one without the folder."""
    path = FOLDER / f"{name}.json"
    if not path.exists():
        return [
            pytest.param(None, marks=pytest.mark.skip(reason="the reference cases are not beside the project"))
        ]
    found = json.loads(path.read_text())["rows"]
    return [
        pytest.param(row, id=row["id"], marks=_doubtful(row))
        for row in found
        if set(fields) <= set(row.get("inputs", fields))
    ]


def _doubtful(row: dict[str, Any]) -> list[Any]:
    anomaly = row.get("known_anomaly")
    return [pytest.mark.skip(reason=f"the row contradicts its rule: {anomaly}")] if anomaly else []
