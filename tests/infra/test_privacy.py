"""Nothing about a person stands in clear text in the engine, in logs or in ids."""

import io
import json
import logging
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import structlog
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from temporalio.api.common.v1 import Payload
from temporalio.common import RawValue
from temporalio.converter import WorkflowSerializationContext
from temporalio.testing import WorkflowEnvironment

from infra import logs
from infra.encryption import UNREADABLE, KeyMissing, KeyRing, load_keys, secret_file
from infra.loopback import temporal_binary
from infra.temporal import OnceBuilt, plugin
from tests.conftest import KEY
from tests.one_case import Desk

CANARY = "Zebulon-Canary"


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
async def test_no_canary_of_a_person_is_found_in_a_cases_history_or_in_what_the_worker_says(
    desk: Callable[..., Desk], capfd: pytest.CaptureFixture[str]
) -> None:
    """Put into every free text of a case, also of those that are refused or unreadable."""
    anna = desk()
    patient = {"reference": f"Patient/{CANARY}", "conditions": [{"display": CANARY}]}
    await anna.open(referral={"source": "self", "reason": CANARY, "patient": patient})
    await anna.do("add-note", text=CANARY)
    await anna.do("log-contact", mode="letter", party="patient", reached=False, outcome=CANARY)
    assert await anna.refused("add-note", text=CANARY, colour=CANARY) == "UnreadableCommand"
    assert await anna.refused("close", reason="bored", note=CANARY) == "UnknownClosureReason"
    await anna.handle.signal("submit_later", CANARY)
    await anna.do("add-note", text="done")
    history = await anna.handle.fetch_history()
    raw = b"".join(event.SerializeToString() for event in history.events)
    assert anna.case_id.encode() in raw + history.to_json().encode()
    assert CANARY.encode() not in raw
    assert CANARY not in "".join(capfd.readouterr())


def _all_bytes(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.iterdir())


async def test_the_engines_own_file_holds_no_canary(tmp_path: Path) -> None:
    """The server's database on disk, searched as bytes."""
    file = tmp_path / "temporal.db"
    async with await WorkflowEnvironment.start_local(
        dev_server_existing_path=temporal_binary(),
        dev_server_database_filename=str(file),
        plugins=[plugin([KEY])],
    ) as environment:
        await environment.client.start_workflow("Nobody", CANARY, id="x", task_queue="nobody-listens")
    stored = _all_bytes(tmp_path)
    assert b"nobody-listens" in stored
    assert CANARY.encode() not in stored


async def test_a_garbled_payload_is_garbage_and_an_unknown_key_is_a_missing_key() -> None:
    """The one is set aside; of the other nobody can say what it is until the key is back."""
    ring, other = KeyRing([b"a" * 32]), KeyRing([b"b" * 32, b"a" * 32])
    [sealed] = await ring.encode([Payload(metadata={"encoding": b"json/plain"}, data=b'"x"')])
    assert (await other.decode([sealed]))[0].data == b'"x"'
    garbled = Payload(metadata=dict(sealed.metadata), data=sealed.data[:-1] + bytes([sealed.data[-1] ^ 1]))
    assert await ring.decode([garbled, Payload(data=b"plain")]) == [UNREADABLE, UNREADABLE]
    name = sealed.metadata["key"]
    no_payload = b"n" * 12 + AESGCM(b"a" * 32).encrypt(b"n" * 12, b"\xff", name)
    assert await ring.decode([Payload(metadata=dict(sealed.metadata), data=no_payload)]) == [UNREADABLE]
    [newer] = await other.encode([Payload(data=b"x")])
    assert await ring.decode([newer]) == [newer]
    with pytest.raises(KeyMissing):
        OnceBuilt().from_payloads([newer], [str])
    [given] = OnceBuilt().from_payloads([newer], [RawValue])
    assert given.payload == newer


async def test_a_payload_is_read_by_the_workflow_that_it_is_for_and_no_other() -> None:
    """Nor in another namespace, nor by one of another tenant; whoever copies it, copies garbage."""
    ring = KeyRing([b"a" * 32])
    mine = WorkflowSerializationContext(namespace="default", workflow_id="case-local-1")
    [sealed] = await ring.with_context(mine).encode([Payload(data=b"x")])
    assert (await ring.with_context(mine).decode([sealed]))[0].data == b"x"
    for place in (("default", "case-local-2"), ("default", "case-other-1"), ("elsewhere", "case-local-1")):
        other = WorkflowSerializationContext(namespace=place[0], workflow_id=place[1])
        assert await ring.with_context(other).decode([sealed]) == [UNREADABLE]
    assert await ring.decode([sealed]) == [UNREADABLE]


def test_secrets_are_made_once_for_their_owner_only(tmp_path: Path) -> None:
    """Readable by others they are refused; a key is 32 bytes."""
    first = load_keys("", tmp_path)
    assert load_keys("", tmp_path) == first
    file = tmp_path / "encryption.keys"
    assert file.stat().st_mode & 0o777 == 0o600
    file.chmod(0o644)
    with pytest.raises(PermissionError):
        load_keys("", tmp_path)
    with pytest.raises(ValueError, match="32 bytes"):
        load_keys("c2hvcnQ=", tmp_path)
    assert secret_file(tmp_path / "another", lambda: os.urandom(8)) == (tmp_path / "another").read_bytes()


def test_logs_are_json_lines_that_say_where_a_fault_was_and_not_what_it_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Ours and other libraries' alike; a line break in a value stays one line."""
    stream = io.StringIO()
    monkeypatch.setattr("sys.stderr", stream)
    logs.configure("json")
    try:
        raise ValueError(CANARY)
    except ValueError:
        structlog.get_logger().exception("ours", case_id="c1\n{}")
        logging.getLogger("elsewhere").exception("theirs")
    lines = [json.loads(line) for line in stream.getvalue().strip().split("\n")]
    assert [(line["event"], line["fault"]) for line in lines] == [("ours", "ValueError"), ("theirs", "ValueError")]
    assert all("test_privacy.py" in line["at"][0] for line in lines)
    assert CANARY not in stream.getvalue()
    logging.getLogger().handlers.clear()
