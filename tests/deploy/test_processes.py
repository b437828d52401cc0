"""Of what a part said last only what can name nobody is repeated."""

import json

import pytest

from deploy.processes import gist

CASE = "3f2b8c1d"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (json.dumps({"level": "info", "event": "command", "case_id": CASE}), "info command"),
        (
            json.dumps({"level": "error", "event": "settle_failed", "fault": "KeyError"}),
            "error settle_failed KeyError",
        ),
        (json.dumps({"level": "warning", "event": f"Failed activity on workflow case-{CASE}"}), "warning"),
        (json.dumps({"event": "Maria"}), ""),
        (json.dumps(["Maria"]), ""),
        ("sqlalchemy.exc.OperationalError: no such person: Maria", "sqlalchemy.exc.OperationalError"),
        ("KeyError", "KeyError"),
        (f'time=2026-11-25T10:00:00 level=ERROR msg="no history of case-{CASE}"', "ERROR"),
        ("Maria: the catalogue cannot be used", ""),
        ("", ""),
    ],
)
def test_level_event_and_type_of_an_exception_are_repeated_and_no_more(line: str, said: str) -> None:
    """Neither ids nor sentences: those may quote what somebody wrote."""
    assert gist(line) == said
