"""Without a key nobody can send a case another's commands, nor something that stops it."""

from collections.abc import Callable

from temporalio.api.common.v1 import Payload
from temporalio.api.enums.v1 import EventType
from temporalio.client import Client
from temporalio.common import RawValue

from tests.one_case import Desk
from workflows import messages

Opener = Callable[..., Desk]


async def stranger(desk: Desk) -> Client:
    """A client of the same engine, without codec or key."""
    known = desk.environment.client
    return Client(known.service_client, namespace=known.namespace)


async def signals_of(desk: Desk, client: Client) -> list[Payload]:
    """The ciphertexts of the signals that a case was sent, as anybody reads them in its history."""
    history = await client.get_workflow_handle(desk.id).fetch_history()
    return [
        payload
        for event in history.events
        if event.event_type == EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED
        for payload in event.workflow_execution_signaled_event_attributes.input.payloads
    ]


async def test_a_ciphertext_copied_to_another_case_is_set_aside_and_told(desk: Opener) -> None:
    """It is as good as garbage there; in its own case it has its outcome already."""
    hers, other = desk(), desk()
    await hers.open()
    await other.open()
    await hers.handle.signal(messages.SUBMIT_LATER, hers.envelope("add-note", text="of this case"))
    await hers.do("add-note", text="after")
    thief = await stranger(hers)
    [copied] = await signals_of(hers, thief)
    for victim in (hers, other):
        await thief.get_workflow_handle(victim.id).signal(messages.SUBMIT_LATER, RawValue(copied))
    await hers.do("add-note", text="goes on")
    await other.do("add-note", text="goes on")
    assert [row.kind for row in await hers.timeline()].count("note-added") == 3
    kinds = [row.kind for row in await other.timeline()]
    assert (kinds.count("note-added"), kinds.count("message-unreadable")) == (1, 1)
    assert (await other.case()).quarantined == 1


async def test_a_message_under_a_key_that_nobody_has_holds_no_other_message_up(desk: Opener) -> None:
    anna = desk()
    await anna.open()
    foreign = Payload(metadata={"encoding": b"binary/caseloom-aes256gcm", "key": b"0" * 16}, data=b"x" * 40)
    thief = await stranger(anna)
    await thief.get_workflow_handle(anna.id).signal(messages.SUBMIT_LATER, RawValue(foreign))
    await anna.do("add-note", text="goes on")
    kinds = [row.kind for row in await anna.timeline()]
    assert (kinds.count("note-added"), kinds.count("message-unreadable")) == (1, 1)
