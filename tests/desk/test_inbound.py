"""A message that no rule could place, worked off at the desk by a lead."""

from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import update

from infra import catalog, database
from infra.inbound import Inbox, Received
from infra.inbound_tables import InboundRow
from tests.exchange.test_hl7 import hl7
from tests.office import Office

pytestmark = pytest.mark.parametrize("backend", ["sqlite"], indirect=True)


async def test_a_lead_reads_a_message_finds_the_person_and_gives_it_to_her(office: Office, at: Any) -> None:
    """It stands on Today with its number; what is set aside needs a reason."""
    await office.open(person={"names": [{"given": ["Alice"], "family": "Zephyrine"}], "birth_date": "1950-05-05"})
    engine, now = database.blocking(office.parts.engine.url), datetime.now(UTC)
    inbox = Inbox(engine, office.parts.keys, office.parts.index_key, catalog.feeds()["demo-hospital"])
    for visit in ("V1", "V2"):
        raw = hl7("A01", {2: "zz", 19: visit})
        await inbox.keep(Received(raw, now, now, "adt-a01", visit, visit, "AA"))
    inbox.close()
    with engine.begin() as connection:  # as the listener does with a number that nobody here has
        connection.execute(update(InboundRow).values(state="open", because="unknown-patient"))
    engine.dispose()
    browser = await at("sup-1")
    assert "/desk/inbound" in await browser.page("/desk/")
    first, second = [m["id"] for m in (await office.get("sup-1", "/inbound")).json()["items"]]
    shown = await browser.page(f"/desk/inbound/{first}?q=zephyrine")
    assert "Zephyrine^Alice" in shown
    person = (await office.get("sup-1", "/persons", q="zephyrine")).json()["items"][0]["person_id"]
    assert person in shown
    answer = await browser.post(f"/desk/inbound/{first}/assign", person_id=person)
    assert answer.status_code == 303
    answer = await browser.post(f"/desk/inbound/{second}/discard", reason="a test of theirs")
    assert answer.status_code == 303
    states = {state: len((await office.get("sup-1", "/inbound", state=state)).json()["items"]) for state in STATES}
    assert states == {"open": 0, "waiting": 1, "discarded": 1}


STATES = ("open", "waiting", "discarded")
