"""How somebody is told outside the house: her own address, shown to be hers by a code, and her quiet hours."""

import hmac
import re
import secrets
from datetime import UTC, datetime, time, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Body, Response
from pydantic import BaseModel, ConfigDict, Field, field_validator
from sqlalchemy import Connection, delete, insert, update
from sqlalchemy import select as select_columns
from sqlmodel import col

from api.problems import BODY_LIMIT, Refusal, responses
from api.system import Principal, PrincipalDep, System, SystemDep
from domain.values import Slug, Zone
from infra import row_places
from infra.mail import MailServer, written
from infra.notice_tables import ReachRow
from infra.notice_texts import FALLBACK, languages, words

router = APIRouter(tags=["notices"], max_body_size=BODY_LIMIT)
EMAIL = "email"
ADDRESS = re.compile(r"[^@\s<>,;:\"()\[\]\\]{1,64}@[^@\s<>,;:\"()\[\]\\]{1,180}")
CODE_HOLDS, MOST_TRIES = timedelta(minutes=30), 5
ONE_CODE_A = timedelta(minutes=1)  # or anybody could be flooded with codes in our name
REFUSALS = responses(401, 409, 422, 429, 503)


class NewReach(BaseModel):
    """Where and when somebody is told. In quiet hours what can wait does; what is urgent never does."""

    model_config = ConfigDict(extra="forbid")

    address: str = Field(max_length=254, examples=["anna@example.org"])
    zone: Zone
    language: Slug = FALLBACK
    quiet_from: time | None = Field(default=None, examples=["20:00"])
    quiet_to: time | None = Field(default=None, examples=["07:00"])

    @field_validator("address")
    @classmethod
    def _an_address(cls, said: str) -> str:
        if not ADDRESS.fullmatch(said):
            raise ValueError("give one e-mail address, as anna@example.org")
        return said

    @field_validator("language")
    @classmethod
    def _a_language(cls, said: str) -> str:
        if said not in languages():
            raise ValueError(f"choose one of: {', '.join(languages())}")
        return said


class ReachView(BaseModel):
    """How one is reached. Notices leave the house when the address is verified and does not fail."""

    channel: str
    address: str
    zone: str
    language: str
    quiet_from: time | None
    quiet_to: time | None
    verified: bool
    failing_since: datetime | None


class Code(BaseModel):
    """The code that was sent to the address."""

    model_config = ConfigDict(extra="forbid")

    code: str = Field(pattern=r"^\d{6}$", examples=["123456"])


@router.get("/me/reach", responses=responses(401, 503))
async def read_reach(parts: SystemDep, who: PrincipalDep) -> list[ReachView]:
    """How you are told of what waits for you, outside this API."""
    async with parts.connection() as connection:
        rows = (await connection.execute(_mine(who))).all()
    return [_view(parts, who, row) for row in rows]


@router.put("/me/reach/email", responses=REFUSALS)
async def set_reach(
    new: Annotated[NewReach, Body()], parts: SystemDep, who: PrincipalDep, response: Response
) -> ReachView:
    """Say where you are told. 202 when a code was sent to the address: `verify` takes it.

    An address that is verified already keeps that when only hours, zone or language change.
    """
    before = next((row for row in await _rows(parts, who)), None)
    works = before is not None and before.verified_at is not None and before.failing_since is None
    same = works and _address(parts, who, before) == new.address
    now = datetime.now(UTC)
    waits = before is not None and before.code is not None and not same
    if before is not None and waits and before.code_until > now + CODE_HOLDS - ONE_CODE_A:
        raise Refusal(429, "TooManyRequests", "a code was sent just now; ask for another in a minute")
    code = None if same else f"{secrets.randbelow(1_000_000):06d}"
    if code is not None:
        await _send_code(parts, new, code)
        response.status_code = 202
    row = {
        "tenant": who.tenant,
        "subject": who.sub,
        "channel": EMAIL,
        "address": parts.keys.encrypted_text(new.address, row_places.reach(who.tenant, who.sub, EMAIL)),
        "zone": new.zone,
        "language": new.language,
        "quiet_from": _minutes(new.quiet_from),
        "quiet_to": _minutes(new.quiet_to),
        "code": _digest(parts, who, code) if code else None,
        "code_until": now + CODE_HOLDS if code else None,
        "code_tries": 0,
        "verified_at": before.verified_at if same and before is not None else None,
        "failing_since": None,
    }
    async with parts.engine.begin() as connection:
        await connection.execute(delete(ReachRow).where(*_where(who)))
        await connection.execute(insert(ReachRow).values(**row))
    return (await read_reach(parts, who))[0]


@router.post("/me/reach/email/verify", responses=REFUSALS)
async def verify_reach(said: Code, parts: SystemDep, who: PrincipalDep) -> ReachView:
    """Show that the address is yours, by the code that was sent there."""

    def check(connection: Connection) -> None:
        row = connection.execute(_mine(who).with_for_update()).first()
        good = row is not None and row.code is not None and row.code_until > datetime.now(UTC)
        if row is None or not good or row.code_tries >= MOST_TRIES:
            raise Refusal(409, "NoCode", "there is no code that still holds; send the address again")
        right = hmac.compare_digest(row.code, _digest(parts, who, said.code))
        now = datetime.now(UTC)
        values: dict[str, Any] = {"verified_at": now, "failing_since": None, "code": None} if right else {}
        change = update(ReachRow).where(*_where(who))
        connection.execute(change.values(code_tries=row.code_tries + 1, **values))
        wrong.append(not right)

    wrong: list[bool] = []
    async with parts.engine.begin() as connection:
        await connection.run_sync(check)
    if any(wrong):
        raise Refusal(409, "WrongCode", f"that is not the code; after {MOST_TRIES} tries ask for another")
    return (await read_reach(parts, who))[0]


@router.delete("/me/reach/email", status_code=204, responses=responses(401, 503))
async def delete_reach(parts: SystemDep, who: PrincipalDep) -> None:
    """Be told inside this API only."""
    async with parts.engine.begin() as connection:
        await connection.execute(delete(ReachRow).where(*_where(who)))


async def _send_code(parts: System, new: NewReach, code: str) -> None:
    """Raises 503 where there is no mail server, or it takes no mail."""
    if not parts.settings.smtp_url:
        raise Refusal(503, "NoMailServer", "no mail server is set: CASELOOM_SMTP_URL")
    said = words(new.language)
    name = f"<{secrets.token_hex(16)}@{parts.settings.mail_from.rpartition('@')[2]}>"
    text = said.code.format(code=code)
    sender, now = parts.settings.mail_from, datetime.now(UTC)
    letter = written(sender, new.address, name, said.code_subject, text, now)
    sent = await MailServer(parts.settings.smtp_url).send(letter)
    if sent.outcome == "bounced":
        raise Refusal(422, "AddressRefused", "the mail server takes no mail for this address")
    if sent.outcome != "sent":
        raise Refusal(503, "MailUnavailable", "the mail server does not take the code now; try again in a minute")


async def _rows(parts: System, who: Principal) -> list[Any]:
    async with parts.connection() as connection:
        return list((await connection.execute(_mine(who))).all())


def _where(who: Principal) -> tuple[Any, ...]:
    return (
        col(ReachRow.tenant) == who.tenant,
        col(ReachRow.subject) == who.sub,
        col(ReachRow.channel) == EMAIL,
    )


def _mine(who: Principal) -> Any:
    return select_columns(ReachRow.__table__).where(*_where(who))  # type: ignore[attr-defined]


def _address(parts: System, who: Principal, row: Any) -> str:
    return parts.keys.decrypted_text(row.address, row_places.reach(who.tenant, who.sub, EMAIL))


def _digest(parts: System, who: Principal, code: str) -> str:
    """A code as it is kept: nothing to be read from it without the key."""
    said = f"reach/{who.tenant}/{who.sub}/{code}".encode()
    return hmac.digest(parts.index_key, said, "sha256").hex()


def _minutes(said: time | None) -> int | None:
    return said.hour * 60 + said.minute if said is not None else None


def _clock(minutes: int | None) -> time | None:
    return time(minutes // 60, minutes % 60) if minutes is not None else None


def _view(parts: System, who: Principal, row: Any) -> ReachView:
    return ReachView(
        channel=row.channel,
        address=_address(parts, who, row),
        zone=row.zone,
        language=row.language,
        quiet_from=_clock(row.quiet_from),
        quiet_to=_clock(row.quiet_to),
        verified=row.verified_at is not None,
        failing_since=row.failing_since,
    )
