"""HL7 v2 as real systems send it: read whatever its bytes look like, and left to people where they must decide."""

import os
from datetime import UTC, date, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from domain.programs.feed import Feed
from exchange.hl7_answer import answer, wants_none
from exchange.hl7_meaning import Because, Meaning, meaning
from exchange.hl7_message import Unreadable, read
from exchange.hl7_stay import Other, changes_its_kind, to_tell
from exchange.hl7_time import when
from infra import catalog

FEED = catalog.feeds()["demo-hospital"]
NEW_YORK = ZoneInfo("America/New_York")
DATA = Path(os.environ.get("THIRD_PARTY_DATA", "/nowhere")) / "hl7v2"


def hl7(event: str, pv1: dict[int, str] | None = None, pid: dict[int, str] | None = None, **more: str) -> bytes:
    """A message about patient 4711, visit V1, class I, by the numbers of the fields."""
    header = f"MSH|^~\\&|ADT|MH|CL|CM|20261120120000||ADT^{event}|{more.get('id', 'c1')}|P|2.5"
    visit = {2: "I", 19: "V1", **(pv1 or {})}
    patient = {3: "4711^^^MH^MR~999^^^SSA^SS", 5: "Zephyrine^Alice", **(pid or {})}
    rows = [("EVN", {1: "A01", 2: "20261120110000"}), ("PID", patient), ("PV1", visit)]
    lines = [header, *(_line(name, fields) for name, fields in rows), *more.get("and_", "").splitlines()]
    return "\r".join(line for line in lines if line).encode()


def _line(name: str, fields: dict[int, str]) -> str:
    return "|".join([name, *(fields.get(n, "") for n in range(1, max(fields) + 1))])


def test_whatever_surrounds_a_message_it_says_the_same() -> None:
    """A byte order mark, line feeds, frames, blank lines, a missing last carriage return."""
    plain = hl7("A01")
    wanted = meaning(read(plain, "utf-8"), FEED)
    assert wanted.stays
    for raw in (
        b"\xef\xbb\xbf" + plain,
        plain.replace(b"\r", b"\n"),
        plain.replace(b"\r", b"\r\n") + b"\r\n",
        b"\x0b" + plain + b"\x1c",
        plain.replace(b"\r", b"\r\r"),
    ):
        assert meaning(read(raw, "utf-8"), FEED) == wanted


def test_a_message_with_separators_of_its_own_is_read_by_them() -> None:
    header = b"MSH$*%!@$ADT$MH$CL$CM$20261120120000$$ADT*A01$c1$P$2.5"
    raw = header + b"\rPID$1$$4711***MH*MR%999***S*SS\rPV1$1$I$W*1$$$$$$$$$$$$$$$$V1"
    found = meaning(read(raw, "utf-8"), FEED)
    assert [i.value for i in found.about] == ["4711"]
    assert found.stays[0].visit.startswith("V1")


def test_escapes_are_undone_after_the_fields_are_parted() -> None:
    found = read(hl7("A01", pid={3: "a\\T\\b\\F\\c\\X41\\\\.br\\d^^^MH^MR"}), "utf-8")
    assert meaning(found, FEED).about[0].value == "a&b|cA\nd"


@pytest.mark.parametrize(
    ("named", "bytes_", "guessed"),
    [("", "é".encode(), False), ("8859/1", b"\xe9", False), ("UNICODE UTF-8", b"\xe9", True), ("", b"\xe9", True)],
)
def test_a_character_set_that_lies_is_noticed_and_read_nevertheless(
    named: str, bytes_: bytes, guessed: bool
) -> None:
    raw = (
        hl7("A01", pid={5: "Ren"})
        .replace(b"|2.5", b"|2.5||||||" + named.encode())
        .replace(b"Ren", b"Ren" + bytes_)
    )
    found = read(raw, "utf-8")
    assert (found.first("PID").value(5), found.guessed) == ("René", guessed)


@pytest.mark.parametrize(
    "raw", [b"", b"garbage", b"MSH", b"PID|1||4711", b"MSHx~", b"\x00\x01", hl7("A01") + b"\r" + hl7("A01")]
)
def test_what_is_no_message_is_refused_without_being_quoted(raw: bytes) -> None:
    with pytest.raises(Unreadable) as refused:
        read(raw, "utf-8")
    assert "4711" not in str(refused.value)


@pytest.mark.parametrize(
    ("said", "wanted"),
    [
        ("20261120", date(2026, 11, 20)),
        ("2026112009", datetime(2026, 11, 20, 14, tzinfo=UTC)),
        ("202611200930", datetime(2026, 11, 20, 14, 30, tzinfo=UTC)),
        ("20261120093015.1234", datetime(2026, 11, 20, 14, 30, 15, tzinfo=UTC)),
        ("20261120093015+0215", datetime(2026, 11, 20, 7, 15, 15, tzinfo=UTC)),
        ("20260308023000", datetime(2026, 3, 8, 7, 30, tzinfo=UTC)),  # the clocks jump from two to three
        ("20261101013000", datetime(2026, 11, 1, 5, 30, tzinfo=UTC)),  # this hour comes twice
        ("20260229", None),
        ("2026", None),
        ("202611200960", None),
        ("20261120240000", None),
        ("20261120093015+9900", None),
        ("tomorrow", None),
        ("", None),
    ],
)
def test_times_are_local_unless_they_say_otherwise(said: str, wanted: datetime | date | None) -> None:
    assert when(said, NEW_YORK) == wanted


def stays(raw: bytes, feed: Feed = FEED) -> list[tuple[str, str, str, bool]]:
    found = meaning(read(raw, "utf-8"), feed)
    return [(s.event, s.setting, s.at.strftime("%d %H"), s.retracted) for s in found.stays]


def because(raw: bytes) -> Because | None:
    found = meaning(read(raw, "utf-8"), FEED)
    assert not (found.nothing and found.people)
    return found.people or found.nothing


IN, OUT = {44: "20261118090000"}, {45: "20261120100000"}


def test_a_stay_is_told_by_its_own_times_and_else_by_the_events() -> None:
    """EVN-1 says A01 in all of them: MSH-9 is believed."""
    assert stays(hl7("A01", IN)) == [("admission", "inpatient", "18 14", False)]
    assert stays(hl7("A01")) == [("admission", "inpatient", "20 16", False)]
    assert stays(hl7("A03", IN | OUT)) == [
        ("admission", "inpatient", "18 14", False),
        ("discharge", "inpatient", "20 15", False),
    ]
    assert stays(hl7("A03")) == [("discharge", "inpatient", "20 16", False)]
    assert stays(hl7("A11", IN)) == [("admission", "inpatient", "18 14", True)]
    assert stays(hl7("A13", IN)) == [("discharge", "inpatient", "20 16", True)]
    for event in ("A01", "A04", "A03"):
        assert stays(hl7(event, {2: "E", 44: "20261119"})) == [("visit", "emergency", "19 00", False)]


def test_an_update_says_only_what_it_knows_of_the_stay() -> None:
    """When a message was written is not when somebody came: without PV1-44 it changes nothing."""
    assert stays(hl7("A08", IN)) == [("admission", "inpatient", "18 14", False)]
    assert stays(hl7("A02", IN | OUT))[1][0] == "discharge"
    assert because(hl7("A08")) is Because.NO_TIME
    assert meaning(read(hl7("A08"), "utf-8"), FEED).people is None


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (hl7("A01", {2: "ff"}), Because.UNKNOWN_CLASS),
        (hl7("A40", and_="MRG|4712^^^MH^MR"), Because.TWO_RECORDS),
        (hl7("A07"), Because.STAY_CHANGED),
        (hl7("A31", pid={30: "Y"}), Because.DIED),
        (hl7("A03", {36: "20"}), Because.DIED),
        (hl7("A01", {19: "", 44: ""}), Because.NO_VISIT),
    ],
)
def test_what_only_people_can_decide_is_left_to_them(raw: bytes, why: Because) -> None:
    assert meaning(read(raw, "utf-8"), FEED).people is why


@pytest.mark.parametrize("event", ["A05", "A12", "A14", "A25", "A28", "A31", "A38", "Z99"])
def test_what_is_planned_or_about_no_stay_is_nothing_for_a_case(event: str) -> None:
    assert meaning(read(hl7(event), "utf-8"), FEED).nothing is Because.NOT_ADMISSION
    assert meaning(read(hl7("A01", {2: "O"}), "utf-8"), FEED).nothing is Because.NO_STAY


def test_a_discharge_says_where_she_went_and_a_death_is_told_and_shown() -> None:
    home = meaning(read(hl7("A03", IN | OUT | {36: "01"}), "utf-8"), FEED)
    assert [stay.disposition for stay in home.stays] == [None, "home"]
    died = meaning(read(hl7("A03", {36: "20"}), "utf-8"), FEED)
    assert (died.stays[0].disposition, died.people) == ("died", Because.DIED)


@pytest.mark.parametrize("raw", [hl7("A01", pid={3: ""}), hl7("A40"), hl7("A40", and_="MRG|")])
def test_what_an_event_must_have_and_has_not_is_named(raw: bytes) -> None:
    with pytest.raises(Unreadable):
        meaning(read(raw, "utf-8"), FEED)


def said(event: str, pv1: dict[int, str]) -> Meaning:
    return meaning(read(hl7(event, pv1), "utf-8"), FEED)


def test_of_two_messages_about_one_part_of_a_stay_the_later_one_holds() -> None:
    """Whichever came first; and what was taken back before is told as something new."""
    left, cancelled = said("A03", IN | OUT), said("A13", OUT)
    newer, older = Other(cancelled, told=True, later=True), Other(cancelled, told=True, later=False)
    assert [part.stay.event for part in to_tell(left, [newer])] == ["admission"]
    assert [(part.stay.event, part.taken_back) for part in to_tell(left, [older])] == [
        ("admission", 0),
        ("discharge", 1),
    ]
    assert to_tell(cancelled, []) == [(cancelled.stays[0], 0)]


def test_a_stay_that_was_told_and_becomes_another_is_noticed_and_a_new_one_is_not() -> None:
    told, refused = Other(said("A01", IN), True, False), Other(said("A01", IN), False, False)
    for changed in (said("A08", {2: "O"}), said("A08", IN | {2: "E"})):
        assert changes_its_kind(changed, [told])
        assert not changes_its_kind(changed, [refused])
    assert not changes_its_kind(said("A03", IN | OUT), [told])


def test_an_answer_goes_back_the_way_the_message_came_and_repeats_nothing() -> None:
    found = read(hl7("A01", id="ctl-7"), "utf-8")
    said = read(answer(found, "AE", datetime(2026, 11, 20, tzinfo=UTC), "own", "PID-3 names no patient"), "utf-8")
    assert [said.header.value(n) for n in (3, 5, 9, 11, 12)] == ["CL", "ADT", "ACK", "P", "2.5"]
    assert (said.first("MSA").value(1), said.first("MSA").value(2)) == ("AE", "ctl-7")
    assert "Alice" not in str(said)
    assert answer(None, "AR", datetime(2026, 11, 20, tzinfo=UTC), "own").count(b"MSA|AR|") == 1


@pytest.mark.parametrize(
    ("asked", "silent", "code"),
    [("AL", set(), "CA"), ("NE", {"AA", "AE"}, ""), ("ER", {"AA"}, ""), ("SU", {"AE"}, "CA")],
)
def test_a_sender_in_enhanced_mode_hears_what_it_asked_for(asked: str, silent: set[str], code: str) -> None:
    found = read(hl7("A01").replace(b"|2.5", b"|2.5|||" + asked.encode()), "utf-8")
    assert {c for c in ("AA", "AE") if wants_none(found, c)} == silent
    if code:
        assert f"MSA|{code}|c1".encode() in answer(found, "AA", datetime(2026, 11, 20, tzinfo=UTC), "own")


@pytest.mark.skipif(
    not DATA.is_dir(), reason="THIRD_PARTY_DATA names no folder with `hl7v2`: no HL7 messages of others"
)
def test_every_third_party_message_is_read_or_refused_by_name() -> None:
    """Of 124 messages of four projects: those with MSH are all read, and none makes the reader fail."""
    refused = []
    paths = sorted(DATA.rglob("*.hl7"))
    for path in paths:
        try:
            meaning(read(path.read_bytes(), "utf-8"), FEED)
        except Unreadable as fault:
            refused.append(str(fault))
    assert set(refused) == {"PID-3 names no patient"}
    assert len(refused) < len(paths) / 5
