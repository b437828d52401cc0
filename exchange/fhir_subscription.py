"""Subscriptions in FHIR R4, by the R5 Backport (hl7.org/fhir/uv/subscriptions-backport, 1.1.0).

A rest-hook is told that something has changed and its id at the most, never what it says.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from domain.values import reasonable
from exchange.fhir_codes import OURS, Resource, at

BACKPORT = "http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition"
PAYLOAD, FILTER = f"{BACKPORT}/backport-payload-content", f"{BACKPORT}/backport-filter-criteria"
HEARTBEAT = f"{BACKPORT}/backport-heartbeat-period"
TOPICS = {  # by the last part of the topic's address: what of a case it is about
    "task": ("Task",),
    "service-request": ("ServiceRequest",),
    "care-plan": ("CarePlan", "Goal"),
    "episode-of-care": ("EpisodeOfCare",),
    "encounter": ("Encounter", "Communication"),
    "care-team": ("CareTeam",),
}
HEADER = re.compile(r"([A-Za-z0-9-]{1,64}): *([\x21-\x7e](?:[\x20-\x7e]{0,1998}[\x21-\x7e])?)")
OURS_TO_SET = (
    *("host", "content-length", "content-type", "content-encoding", "transfer-encoding", "connection", "upgrade"),
    *("te", "trailer", "expect", "keep-alive"),
)
SHORTEST_HEARTBEAT = 60  # seconds
MOST_HEADERS = 10


class NotASubscription(Exception):
    """What was sent is none that this server can keep. `where` is the element, the text says what it takes."""

    def __init__(self, where: str, why: str) -> None:
        super().__init__(why)
        self.where = where


@dataclass(frozen=True)
class Wanted:
    """What somebody subscribes to, where she is told, and with what."""

    topic: str
    patient: str | None
    url: str
    headers: tuple[tuple[str, str], ...]
    content: str
    heartbeat: int | None
    ends_at: datetime | None


@dataclass(frozen=True)
class Told:
    """One event as a subscriber hears of it; without a focus where she may not read any more what it is about."""

    number: int
    at: datetime
    focus: str | None


def topic_url(topic: str) -> str:
    return f"{OURS}/SubscriptionTopic/{topic}"


def wanted(said: dict[str, Any]) -> Wanted:
    """What a Subscription asks for. Raises `NotASubscription`."""
    if said.get("resourceType") != "Subscription":
        raise NotASubscription("Subscription", "send a resource of the type Subscription")
    if said.get("status", "requested") != "requested":
        raise NotASubscription("Subscription.status", "a new one is `requested`")
    topic = str(said.get("criteria")).removeprefix(topic_url(""))
    if topic not in TOPICS or said["criteria"] != topic_url(topic):
        raise NotASubscription("Subscription.criteria", f"name a topic: {', '.join(map(topic_url, TOPICS))}")
    channel = said.get("channel")
    if not isinstance(channel, dict) or channel.get("type") != "rest-hook":
        raise NotASubscription("Subscription.channel.type", "the channel is a rest-hook")
    if channel.get("payload") != "application/fhir+json":
        raise NotASubscription("Subscription.channel.payload", "what is sent is application/fhir+json")
    url = channel.get("endpoint")
    if not isinstance(url, str) or not 0 < len(url) <= 500:
        raise NotASubscription(
            "Subscription.channel.endpoint", "say where it is posted, in at most 500 characters"
        )
    content = _extended(channel.get("_payload"), PAYLOAD, "valueCode") or "empty"
    if content not in ("empty", "id-only"):
        raise NotASubscription(
            "Subscription.channel.payload", "its content is `empty` or `id-only`; read the rest"
        )
    return Wanted(
        topic=topic,
        patient=_patient(topic, said.get("_criteria")),
        url=url,
        headers=_headers(channel.get("header", [])),
        content=str(content),
        heartbeat=_heartbeat(channel),
        ends_at=_end(said.get("end")),
    )


def _extended(element: Any, url: str, name: str, where: str = "Subscription.channel") -> Any:
    """The value of an extension of an element; None without. Raises `NotASubscription` for another shape."""
    if element is None:
        return None
    extensions = element.get("extension", []) if isinstance(element, dict) else None
    if not isinstance(extensions, list) or not all(isinstance(one, dict) for one in extensions):
        raise NotASubscription(where, "its extensions are a list of objects")
    some = [one for one in extensions if one.get("url") == url]
    if len(some) > 1 or (some and name not in some[0]):
        raise NotASubscription(where, f"give {url} once, as {name}")
    return some[0][name] if some else None


def _patient(topic: str, criteria: Any) -> str | None:
    """Whose resources are meant: the one filter that topics take."""
    where = "Subscription.criteria"
    said = _extended(criteria, FILTER, "valueString", where)
    if said is None:
        return None
    match = re.fullmatch(r"([A-Za-z]+)\?patient=(?:Patient/)?([A-Za-z0-9.-]{1,64})", str(said))
    if match is None or match[1] not in TOPICS[topic]:
        raise NotASubscription(where, f"a topic is filtered by `{TOPICS[topic][0]}?patient=Patient/{{id}}` alone")
    return match[2]


def _headers(said: Any) -> tuple[tuple[str, str], ...]:
    if not isinstance(said, list) or len(said) > MOST_HEADERS:
        raise NotASubscription("Subscription.channel.header", f"give at most {MOST_HEADERS} headers")
    matches = [match for one in said if isinstance(one, str) and (match := HEADER.fullmatch(one))]
    names = [match[1].lower() for match in matches]
    if len(matches) < len(said) or len({*names}) < len(names) or not {*names}.isdisjoint(OURS_TO_SET):
        raise NotASubscription(
            "Subscription.channel.header", "write each once, as `Name: value`; some are set by us"
        )
    return tuple((match[1], match[2]) for match in matches)


def _heartbeat(channel: dict[str, Any]) -> int | None:
    seconds = _extended(channel, HEARTBEAT, "valueUnsignedInt")
    if seconds is None:
        return None
    if isinstance(seconds, bool) or not isinstance(seconds, int) or not SHORTEST_HEARTBEAT <= seconds <= 86_400:
        raise NotASubscription("Subscription.channel", f"a heartbeat has {SHORTEST_HEARTBEAT} to 86400 seconds")
    return seconds


def _end(said: Any) -> datetime | None:
    if said is None:
        return None
    try:
        found = datetime.fromisoformat(said)
        if found.tzinfo is not None:
            return reasonable(found)
    except (TypeError, ValueError, OverflowError):
        pass
    raise NotASubscription("Subscription.end", "write the end as an instant, 2026-03-01T10:00:00Z")


def subscription(row: Any, url: str) -> Resource:
    """A subscription as it stands; its headers are told to nobody."""
    criteria = f"{TOPICS[row.topic][0]}?patient=Patient/{row.person_id}" if row.person_id else None
    beats = [{"url": HEARTBEAT, "valueUnsignedInt": row.heartbeat}] if row.heartbeat else []
    channel = {
        **({"extension": beats} if beats else {}),
        **{"type": "rest-hook", "endpoint": url, "payload": "application/fhir+json"},
        "_payload": {"extension": [{"url": PAYLOAD, "valueCode": row.content}]},
    }
    found: Resource = {
        "resourceType": "Subscription",
        "id": row.id,
        "meta": {"profile": [f"{BACKPORT}/backport-subscription"]},
        "status": row.status,
        **({"end": at(row.ends_at)} if row.ends_at else {}),
        "reason": "To hear of changes in cases that the person shares",
        "criteria": topic_url(row.topic),
        **({"_criteria": {"extension": [{"url": FILTER, "valueString": criteria}]}} if criteria else {}),
        **({"error": row.error} if row.error else {}),
        "channel": channel,
    }
    return found


def status_of(row: Any, kind: str, told: Iterable[Told] = ()) -> Resource:
    """How a subscription stands, as a notification says it; `kind` says what the notification is."""
    found = [
        {"name": "subscription", "valueReference": {"reference": _address(row)}},
        {"name": "topic", "valueCanonical": topic_url(row.topic)},
        {"name": "status", "valueCode": row.status},
        {"name": "type", "valueCode": kind},
    ]
    events = [_event(row, one) for one in told]
    newest = max([row.events, *(one.number for one in told)])
    return {
        "resourceType": "Parameters",
        "id": f"{row.id}-{newest}",
        "meta": {"profile": [f"{BACKPORT}/backport-subscription-status-r4"]},
        "parameter": [*found, {"name": "events-since-subscription-start", "valueString": str(newest)}, *events],
    }


def _event(row: Any, one: Told) -> dict[str, Any]:
    said: list[dict[str, Any]] = [
        {"name": "event-number", "valueString": str(one.number)},
        {"name": "timestamp", "valueInstant": at(one.at)},
    ]
    if row.content == "id-only" and one.focus is not None:
        said.append({"name": "focus", "valueReference": {"reference": f"{row.base}/{one.focus}"}})
    return {"name": "notification-event", "part": said}


def notification(row: Any, kind: str, now: datetime, told: Iterable[Told] = ()) -> Resource:
    """What is posted to a subscriber: how the subscription stands and, by their ids, what has changed."""
    told = list(told)
    status = status_of(row, kind, told)
    first = {
        "fullUrl": f"{row.base}/Parameters/{status['id']}",
        "resource": status,
        "request": {"method": "GET", "url": f"{_address(row)}/$status"},
        "response": {"status": "200"},
    }
    changed = [
        {
            "fullUrl": f"{row.base}/{one.focus}",
            "request": {"method": "PUT", "url": one.focus},
            "response": {"status": "200"},
        }
        for one in told
        if row.content == "id-only" and one.focus is not None
    ]
    return {
        "resourceType": "Bundle",
        "meta": {"profile": [f"{BACKPORT}/backport-subscription-notification-r4"]},
        "type": "history",
        "timestamp": at(now),
        "entry": [first, *changed],
    }


def _address(row: Any) -> str:
    return f"{row.base}/Subscription/{row.id}"
