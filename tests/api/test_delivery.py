"""What waits for somebody reaches her outside the house: gathered, in her hours, and says nothing of anybody."""

import asyncio
import email
import re
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from email.policy import default
from typing import Any

import pytest
import pytest_asyncio
from aiosmtpd.smtp import SMTP
from sqlalchemy import Connection, update
from sqlalchemy import select as select_columns
from sqlmodel import col

from activities.deliver import Delivering
from infra import database
from infra.encryption import ring_of
from infra.loopback import free_port
from infra.notice_tables import AttemptRow, DeliveryRow, ReachRow
from infra.notices import tell_leads
from infra.settings import Settings
from tests.office import Office
from worker import hang_bell

ALICE: dict[str, Any] = {"names": [{"given": ["Alice"], "family": "Zephyrine"}], "birth_date": "1950-05-05"}
ONE = pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
NIGHT = {"quiet_from": "00:00", "quiet_to": "23:59", "zone": "UTC"}


class Post:
    """A real mail server. It keeps what it takes, and may be told to answer otherwise."""

    def __init__(self) -> None:
        self.letters: list[EmailMessage] = []
        self.answers: list[str] = []
        self.drops = 0
        self.slow = 0.0
        self.refuses: str | None = None

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:
        if self.refuses is not None:
            refused, self.refuses = self.refuses, None
            return refused
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        if self.answers:
            return self.answers.pop(0)
        await asyncio.sleep(self.slow)
        self.letters.append(email.message_from_bytes(envelope.content, policy=default))
        if self.drops:
            self.drops -= 1
            server.transport.abort()
        return "250 kept"

    def to(self, address: str) -> list[EmailMessage]:
        """The notices that somebody got; codes are no notices."""
        mine = [letter for letter in self.letters if letter["To"] == address]
        return [letter for letter in mine if letter["Subject"] not in ("Your code", "Su código")]


@pytest_asyncio.fixture(loop_scope="session")
async def post() -> AsyncIterator[Post]:
    found = Post()
    loop, port = asyncio.get_running_loop(), free_port()
    serving = await loop.create_server(lambda: SMTP(found), host="127.0.0.1", port=port)
    found.port = port  # type: ignore[attr-defined]
    async with serving:
        yield found


@pytest.fixture
def settings(settings: Settings, post: Post) -> Settings:
    url = f"smtp://127.0.0.1:{post.port}"  # type: ignore[attr-defined]
    return settings.model_copy(update={"smtp_url": url, "mail_from": "caseloom@example.org"})


async def reached(office: Office, post: Post, who: str, **more: Any) -> str:
    """Have somebody say where she is reached, and show it by the code; return her address."""
    address = f"{who}@example.org"
    body = {"address": address, "zone": "America/New_York", **more}
    put = await office.http.put("/me/reach/email", json=body, headers=office.sign_in(who))
    assert put.status_code == 202, put.text
    code = re.search(r"\d{6}", post.letters[-1].get_content())
    assert code is not None
    shown = await office.post(who, "/me/reach/email/verify", {"code": code.group()})
    assert (shown.status_code, shown.json()["verified"]) == (200, True)
    return address


async def now_due(office: Office) -> None:
    """The time to gather is over."""
    async with office.parts.engine.begin() as connection:
        past = update(DeliveryRow).where(col(DeliveryRow.next_at).is_not(None))
        await connection.execute(past.values(next_at=datetime.now(UTC) - timedelta(seconds=1)))


async def deliveries(office: Office, who: str) -> list[Any]:
    query = select_columns(DeliveryRow.__table__).where(col(DeliveryRow.recipient) == who)  # type: ignore[attr-defined]
    async with office.parts.engine.connect() as connection:
        return list((await connection.execute(query.order_by(col(DeliveryRow.created_at)))).all())


async def outcomes(office: Office) -> list[str]:
    async with office.parts.engine.connect() as connection:
        query = select_columns(col(AttemptRow.outcome)).order_by(col(AttemptRow.at))
        return list((await connection.execute(query)).scalars())


@pytest.fixture
def carrier(office: Office, settings: Settings) -> Iterator[Delivering]:
    """What a lane does, without the bell: a test says when."""
    engine = database.blocking(office.parts.engine.url)
    yield Delivering(engine, ring_of(settings), office.parts.client, settings)
    engine.dispose()


async def deliver(carrier: Delivering, who: str) -> None:
    """Everything that is due to somebody, as her lane does it."""
    from temporalio.testing import ActivityEnvironment

    while await ActivityEnvironment().run(carrier.deliver, "local", who):
        pass


async def test_what_is_urgent_arrives_by_itself_and_says_nothing_of_anybody(
    office: Office, post: Post, settings: Settings
) -> None:
    """From the crisis to the mailbox through bell and lane, on both databases; again until it is read."""
    address = await reached(office, post, "cm-anna", language="es")
    await hang_bell(office.parts.client, settings)
    case_id = await office.open(person=ALICE, owner="cm-anna")
    await office.do(case_id, "raise-crisis", "cm-ben", description="Alice has a knife", immediate_danger=True)
    async with asyncio.timeout(30):
        while not post.to(address):
            await asyncio.sleep(0.1)
    [letter] = post.to(address)[:1]
    assert (letter["Subject"], letter["Auto-Submitted"]) == ("Urgente: algo la espera ahora", "auto-generated")
    said = letter.as_string()
    for word in ("Alice", "Zephyrine", "knife", "complex", "suicid", case_id):
        assert word not in said
    async with asyncio.timeout(10):
        while not (rows := [d for d in await deliveries(office, "cm-anna") if d.times_sent]):
            await asyncio.sleep(0.1)
    assert (rows[0].state, rows[0].next_at is not None) == ("pending", True)  # it comes again until it is read


@ONE
async def test_what_can_wait_is_gathered_into_one_mail(office: Office, post: Post, carrier: Delivering) -> None:
    address = await reached(office, post, "cm-anna")
    for _ in range(3):
        await office.open("cm-ben", owner="cm-anna")
    await deliver(carrier, "cm-anna")
    assert post.to(address) == []  # it is waited for more of them
    await now_due(office)
    await deliver(carrier, "cm-anna")
    [letter] = post.to(address)
    assert letter["Subject"] == "3 notices wait for you"
    assert letter.get_content().count("A case waits for you") == 3
    assert {d.state for d in await deliveries(office, "cm-anna")} == {"sent"}
    await deliver(carrier, "cm-anna")
    assert len(post.to(address)) == 1


@ONE
async def test_before_it_is_sent_it_is_looked_at_again(office: Office, post: Post, carrier: Delivering) -> None:
    """What she has read meanwhile is not sent, nor what is kept; nor to whom is kept from the case."""
    address = await reached(office, post, "cm-anna")
    case_id = await office.open("cm-ben", owner="cm-anna")
    [notice] = (await office.get("cm-anna", "/notices")).json()["items"]
    await office.post("cm-anna", f"/notices/{case_id}/{notice['key']}/read", {})
    await now_due(office)
    await deliver(carrier, "cm-anna")
    assert post.to(address) == []
    assert [d.state for d in await deliveries(office, "cm-anna")] == ["read"]
    sena = await reached(office, post, "senior-1")
    asked = await office.open(owner="cm-anna")
    await office.walk(asked)
    wish = (await office.do(asked, "request-approval", subject="tier-override", tier="low"))["created"][0]
    await office.do(asked, "decide-approval", "senior-1", approval_id=wish, approve=True, comment="yes")
    await now_due(office)
    await deliver(carrier, "senior-1")
    assert post.to(sena) == []  # he has decided it meanwhile
    ben = await reached(office, post, "cm-ben")
    task = await office.open(owner="cm-anna")
    await office.walk(task)
    await office.do(task, "add-task", task="education", assignee="cm-ben")
    await office.do(task, "exclude-assignee", "sup-1", person="cm-ben", reason="her brother")
    await now_due(office)
    await deliver(carrier, "cm-ben")
    assert post.to(ben) == []
    assert {d.state for d in await deliveries(office, "cm-ben")} == {"withdrawn"}


@ONE
async def test_at_night_what_can_wait_does_and_what_is_urgent_does_not(
    office: Office, post: Post, carrier: Delivering
) -> None:
    address = await reached(office, post, "cm-anna", **NIGHT)
    case_id = await office.open("cm-ben", owner="cm-anna")
    await now_due(office)
    await deliver(carrier, "cm-anna")
    assert post.to(address) == []
    [waits] = await deliveries(office, "cm-anna")
    assert waits.state == "pending"
    await office.do(case_id, "raise-crisis", "cm-ben", description="x")
    await deliver(carrier, "cm-anna")
    assert [letter["Subject"] for letter in post.to(address)] == ["Urgent: something waits for you now"]


@ONE
@pytest.mark.parametrize("fault", ["451 busy", "452 full", "dropped"])
async def test_a_mail_that_was_not_taken_is_tried_again_under_its_id(
    office: Office, post: Post, carrier: Delivering, fault: str
) -> None:
    """Where the answer was lost it may be there twice, under one Message-ID; nothing is lost."""
    address = await reached(office, post, "cm-anna")
    await office.open("cm-ben", owner="cm-anna")
    await now_due(office)
    if fault == "dropped":
        post.drops = 1
    else:
        post.answers = [fault]
    await deliver(carrier, "cm-anna")
    [waits] = await deliveries(office, "cm-anna")
    assert (waits.state, waits.tries) == ("pending", 1)
    await office.open("cm-ben", owner="cm-anna")  # a new one does not change the message that is tried again
    await now_due(office)
    await deliver(carrier, "cm-anna")
    assert await outcomes(office) == ["unknown" if fault == "dropped" else "deferred", "sent", "sent"]
    ids = [letter["Message-ID"] for letter in post.to(address)]
    assert len(set(ids)) == 2
    assert len(ids) == (3 if fault == "dropped" else 2)


@ONE
async def test_a_lane_killed_between_sending_and_marking_sends_the_same_mail_again(
    office: Office, post: Post, carrier: Delivering, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = await reached(office, post, "cm-anna")
    await office.open("cm-ben", owner="cm-anna")
    await now_due(office)

    def killed(*_: Any) -> None:
        raise SystemError

    monkeypatch.setattr(carrier, "_mark", killed)
    with pytest.raises(SystemError):
        await deliver(carrier, "cm-anna")
    monkeypatch.undo()
    assert [d.state for d in await deliveries(office, "cm-anna")] == ["sending"]
    await deliver(carrier, "cm-anna")
    assert len(post.to(address)) == 1  # somebody else may be at it
    await now_due(office)
    await deliver(carrier, "cm-anna")
    one, two = post.to(address)
    assert one["Message-ID"] == two["Message-ID"]
    assert [d.state for d in await deliveries(office, "cm-anna")] == ["sent"]


@ONE
async def test_an_address_that_does_not_exist_is_tried_no_more_and_named(
    office: Office, post: Post, carrier: Delivering
) -> None:
    """She sees it herself; what comes later waits for an address that works."""
    await reached(office, post, "cm-anna")
    await office.open("cm-ben", owner="cm-anna")
    await now_due(office)
    post.refuses = "550 no such user"
    await deliver(carrier, "cm-anna")
    [bounced] = await deliveries(office, "cm-anna")
    assert (bounced.state, bounced.fault) == ("bounced", "550")
    [reach] = (await office.get("cm-anna", "/me/reach")).json()
    assert reach["failing_since"] is not None
    await office.open("cm-ben", owner="cm-anna")
    await now_due(office)
    await deliver(carrier, "cm-anna")
    assert [d.fault for d in await deliveries(office, "cm-anna")] == ["550", "NoChannel"]
    await reached(office, post, "cm-anna")
    await now_due(office)
    await deliver(carrier, "cm-anna")
    assert [d.state for d in await deliveries(office, "cm-anna")] == ["bounced", "sent"]


@ONE
@pytest.mark.parametrize("answer", ["550 relaying denied", "554 no mail today", "530 authentication required"])
async def test_what_a_mail_server_has_against_us_is_not_held_against_the_person(
    office: Office, post: Post, carrier: Delivering, answer: str
) -> None:
    """Her address goes on to work, and the mail is tried again."""
    address = await reached(office, post, "cm-anna")
    await office.open("cm-ben", owner="cm-anna")
    await now_due(office)
    post.answers = [answer]
    await deliver(carrier, "cm-anna")
    [waiting] = await deliveries(office, "cm-anna")
    assert (waiting.state, waiting.fault) == ("pending", answer[:3])
    await now_due(office)
    await deliver(carrier, "cm-anna")
    assert len(post.to(address)) == 1


@ONE
async def test_a_mail_server_that_is_too_slow_counts_as_a_try(
    office: Office, post: Post, carrier: Delivering, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A message has a time in all, and not for each command only; so a slow server never goes on for ever."""
    await reached(office, post, "cm-anna")
    await office.open("cm-ben", owner="cm-anna")
    await now_due(office)
    monkeypatch.setattr("infra.mail.IN_ALL", 0.3)
    post.slow = 1.0
    await deliver(carrier, "cm-anna")
    [waiting] = await deliveries(office, "cm-anna")
    assert (waiting.state, waiting.tries, waiting.fault) == ("pending", 1, "TimeoutError")
    assert "unknown" in await outcomes(office)


@ONE
async def test_who_asked_for_an_approval_hears_by_mail_what_became_of_it(
    office: Office, post: Post, carrier: Delivering
) -> None:
    address = await reached(office, post, "cm-anna")
    case_id = await office.open(owner="cm-anna")
    await office.do(case_id, "record-consent", form="verbal")
    asked = await office.do(case_id, "request-approval", subject="closure", reason="not-eligible")
    body = {"approval_id": asked["created"][0], "approve": False, "comment": "Not yet"}
    await office.do(case_id, "decide-approval", "sup-1", **body)
    await now_due(office)
    await deliver(carrier, "cm-anna")
    assert [letter for letter in post.to(address) if "was not approved" in letter.get_content()]


@ONE
async def test_an_urgent_notice_is_sent_before_hundreds_that_wait_for_the_morning(
    office: Office, post: Post, carrier: Delivering
) -> None:
    """More than are looked at in one go."""
    address, now = await reached(office, post, "sup-1", **NIGHT), datetime.now(UTC)

    def many(connection: Connection) -> None:
        for n in range(600):
            tell_leads(connection, office.parts.keys, "local", "north", f"proposal{n}", "proposal", now)
        last = update(DeliveryRow).where(col(DeliveryRow.case_id) == "proposal599")
        connection.execute(last.values(urgent=True))

    async with office.parts.engine.begin() as connection:
        await connection.run_sync(many)
    await now_due(office)
    await deliver(carrier, "sup-1")
    assert len(post.to(address)) == 1
    rows = await deliveries(office, "sup-1")
    assert [row for row in rows if row.times_sent == 0 and row.next_at <= datetime.now(UTC)] == []


@ONE
async def test_a_mail_that_could_not_be_sent_is_not_tried_again_in_her_quiet_hours(
    office: Office, post: Post, carrier: Delivering
) -> None:
    address = await reached(office, post, "cm-anna")
    await office.open("cm-ben", owner="cm-anna")
    await now_due(office)
    post.answers = ["451 later"]
    await deliver(carrier, "cm-anna")
    async with office.parts.engine.begin() as connection:
        await connection.execute(update(ReachRow).values(quiet_from=0, quiet_to=1439, zone="UTC"))
    await now_due(office)
    await deliver(carrier, "cm-anna")
    assert post.to(address) == []


@ONE
async def test_what_could_not_leave_the_house_for_a_day_is_old_news(
    office: Office, post: Post, carrier: Delivering
) -> None:
    """Where there was no mail server for weeks, the first day with one floods nobody."""
    address = await reached(office, post, "cm-anna")
    await office.open("cm-ben", owner="cm-anna")
    async with office.parts.engine.begin() as connection:
        weeks_ago = datetime.now(UTC) - timedelta(days=30)
        await connection.execute(update(DeliveryRow).values(created_at=weeks_ago, next_at=weeks_ago))
    await deliver(carrier, "cm-anna")
    assert (post.to(address), [row.state for row in await deliveries(office, "cm-anna")]) == ([], ["dead"])


@ONE
async def test_one_code_a_minute_is_sent_to_an_address_that_nobody_has_shown_to_be_hers(
    office: Office, post: Post
) -> None:
    async def put(address: str) -> int:
        body, who = {"address": address, "zone": "America/New_York"}, office.sign_in("cm-anna")
        return (await office.http.put("/me/reach/email", json=body, headers=who)).status_code

    assert [await put(address) for address in ("a@[1", "[x@y.org", "a b@c.org")] == [422, 422, 422]
    assert [await put(f"stranger-{n}@example.org") for n in range(3)] == [202, 429, 429]
    assert len(post.letters) == 1


@ONE
async def test_an_address_is_hers_when_she_has_the_code_and_not_before(office: Office, post: Post) -> None:
    """Five tries, then another code; neither address nor code stands in clear anywhere."""
    body = {"address": "somebody-else@example.org", "zone": "UTC"}
    await office.http.put("/me/reach/email", json=body, headers=office.sign_in("cm-anna"))
    right = re.search(r"\d{6}", post.letters[-1].get_content())
    assert right is not None
    wrong = f"{(int(right.group()) + 1) % 1_000_000:06d}"
    for _ in range(5):
        answer = await office.post("cm-anna", "/me/reach/email/verify", {"code": wrong})
        assert (answer.status_code, answer.json()["code"]) == (409, "WrongCode")
    late = await office.post("cm-anna", "/me/reach/email/verify", {"code": right.group()})
    assert (late.status_code, late.json()["code"]) == (409, "NoCode")
    async with office.parts.engine.connect() as connection:
        row = (await connection.execute(select_columns(ReachRow.__table__))).one()  # type: ignore[attr-defined]
    assert "example.org" not in str(tuple(row))
    assert right.group() not in str(tuple(row))
    for bad in ("anna", "a@b c", "a@b\nBcc: x@y", "a@b,c@d"):
        answer = await office.http.put(
            "/me/reach/email", json={**body, "address": bad}, headers=office.sign_in("cm-anna")
        )
        assert answer.status_code == 422


@ONE
async def test_a_person_s_hours_can_change_without_another_code(office: Office, post: Post) -> None:
    address = await reached(office, post, "cm-anna")
    body = {"address": address, "zone": "UTC", "quiet_from": "22:00", "quiet_to": "06:30"}
    answer = await office.http.put("/me/reach/email", json=body, headers=office.sign_in("cm-anna"))
    said = answer.json()
    assert (answer.status_code, said["verified"], said["quiet_to"]) == (200, True, "06:30:00")
    gone = await office.http.delete("/me/reach/email", headers=office.sign_in("cm-anna"))
    assert gone.status_code == 204
    assert (await office.get("cm-anna", "/me/reach")).json() == []
