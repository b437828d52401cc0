"""What an event is called outside, how it is signed, and when one that was not taken is sent again."""

import base64
import hmac
from datetime import datetime, timedelta

AGAIN = tuple(timedelta(seconds=s) for s in (5, 300, 1800, 7200, 18_000, 36_000, 50_400))
GIVEN_UP_AFTER = timedelta(hours=28)  # Standard Webhooks 1.0.0: retries over more than a day
LONGEST_WAIT = timedelta(hours=1)  # however long the other side asks us to wait
BOTH_SIGN_FOR = timedelta(hours=24)
SECRET = "whsec_"


def type_of(kind: str) -> str:
    """The name of a kind of event as others see it (CloudEvents `type`)."""
    subject, _, what = kind.partition("-")
    return f"org.caseloom.{subject}.{what or 'happened'}.v1"


def signature(secret: str, message_id: str, at: datetime, body: bytes) -> str:
    """`v1,` and the HMAC-SHA256 over id, time and body (Standard Webhooks 1.0.0)."""
    key = base64.b64decode(secret.removeprefix(SECRET))
    said = f"{message_id}.{int(at.timestamp())}.".encode() + body
    return f"v1,{base64.b64encode(hmac.digest(key, said, 'sha256')).decode()}"


def tried_again(tries: int, now: datetime, retry_after: int | None) -> datetime:
    """When an event is sent again that was not taken, `tries` times by now."""
    asked = timedelta(seconds=retry_after) if retry_after else timedelta(0)
    return now + max(AGAIN[min(tries, len(AGAIN)) - 1], min(asked, LONGEST_WAIT))
