"""What travels through the engine leaves out what is as its default says; so these defaults never change."""

from typing import Any

import pytest
from pydantic import BaseModel

from activities.bulk_action import Progress
from activities.settle import Message, Settled
from domain.case.command import Envelope, Outcome
from domain.case.event import Position
from infra.temporal import OnceBuilt
from workflows.messages import Life, Live, Waiting

# add a field with a default that means "as before"; never change one
DEFAULTS: dict[type[BaseModel], dict[str, Any]] = {
    Envelope: {"expected_seq": None, "seen": 0},
    Outcome: {
        "events": (),
        "created": (),
        "error": None,
        "invalid": False,
        "detail": None,
        "missing": (),
    },
    Position: {"seq": 0, "head": ""},
    Message: {"again": 0, "begins": False},
    Settled: {"entries": (), "wake_at": None, "rings_at": None, "over": False, "case": None, "others": ()},
    Life: {
        "opening": None,
        "known": Position(),
        "wake_at": None,
        "rings_at": None,
        "inbox": (),
        "unreadable": 0,
        "tick_faults": 0,
    },
    Live: {"head": "", "wakes_at": None, "waiting": 0},
    Waiting: {},
    Progress: {},
}


@pytest.mark.parametrize("kind", DEFAULTS, ids=lambda kind: kind.__name__)
def test_the_defaults_of_what_travels_are_these(kind: type[BaseModel]) -> None:
    """A history of any release is read with them."""
    found = {name: field.default for name, field in kind.model_fields.items() if not field.is_required()}
    assert found == DEFAULTS[kind]


def test_what_was_left_out_is_there_again() -> None:
    """Written and read, a value is the same."""
    life = Life(tenant="local", case_id="c", history_events=7, known=Position(seq=3, head="x"), unreadable=2)
    converter = OnceBuilt()
    [payload] = converter.to_payloads([life])
    assert b"tick_faults" not in payload.data
    assert converter.from_payloads([payload], [Life]) == [life]
