"""The place of each encrypted value: table and key of its row, to which it is bound. Elsewhere it cannot be read.

A place is associated data of what is stored: changed, nothing that was written under it can be read any more.
"""


def timeline(case_id: str, seq: int) -> str:
    return f"timeline/{case_id}/{seq}"


def state(case_id: str) -> str:
    return f"states/{case_id}"


def snapshot(case_id: str, seq: int) -> str:
    return f"snapshots/{case_id}/{seq}"


def task(case_id: str, task_id: str) -> str:
    return f"tasks/{case_id}/{task_id}"


def clock(case_id: str, clock_id: str) -> str:
    return f"clocks/{case_id}/{clock_id}"


def item(case_id: str, kind: str, item_id: str) -> str:
    return f"items/{case_id}/{kind}/{item_id}"


def notice(case_id: str, key: str) -> str:
    return f"outbox/{case_id}/{key}"


def queued(case_id: str, command_id: str) -> str:
    return f"queued/{case_id}/{command_id}"


def quarantined(case_id: str, command_id: str) -> str:
    return f"quarantine/{case_id}/{command_id}"


def proposal(proposal_id: str) -> str:
    return f"proposals/{proposal_id}"


def proposal_reason(proposal_id: str) -> str:
    return f"proposals/{proposal_id}/reason"


def inbound(message_id: str) -> str:
    return f"inbound/{message_id}"


def inbound_reason(message_id: str) -> str:
    return f"inbound/{message_id}/reason"


def bulk_action(action_id: str) -> str:
    return f"bulk_actions/{action_id}"


def staff(tenant: str, subject: str) -> str:
    return f"staff/{tenant}/{subject}"


def reach(tenant: str, subject: str, channel: str) -> str:
    return f"reach/{tenant}/{subject}/{channel}"


def endpoint_url(endpoint_id: str) -> str:
    return f"endpoints/{endpoint_id}/url"


def endpoint_secret(endpoint_id: str) -> str:
    return f"endpoints/{endpoint_id}/secret"


def person(tenant: str, person_id: str) -> str:
    return f"persons/{tenant}/{person_id}"


def person_version(tenant: str, person_id: str, version: int) -> str:
    return f"person_history/{tenant}/{person_id}/{version}"


def block(screening_id: str, shard: int, part: int) -> str:
    return f"screening_blocks/{screening_id}/{shard}/{part}"


def screened(screened_id: str) -> str:
    return f"screened/{screened_id}"


def screened_reason(screened_id: str) -> str:
    return f"screened/{screened_id}/reason"


def subscription_url(subscription_id: str) -> str:
    return f"subscriptions/{subscription_id}/url"


def subscription_headers(subscription_id: str) -> str:
    return f"subscriptions/{subscription_id}/headers"
