"""Sending one e-mail, and what the mail server made of it."""

import asyncio
from dataclasses import dataclass
from datetime import datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from typing import Literal
from urllib.parse import unquote, urlsplit

import aiosmtplib

SECONDS, IN_ALL = 15.0, 20.0  # for a command; for a message, within the heartbeat of a delivery
LOOPBACK = ("127.0.0.1", "localhost", "::1")
Outcome = Literal["sent", "deferred", "bounced", "unknown"]


@dataclass(frozen=True)
class Sent:
    """What became of a message: deferred is tried again, unknown as well but may have arrived, bounced is not: the
    address takes no mail.
    """

    outcome: Outcome
    code: str | None = None


@dataclass(frozen=True)
class MailServer:
    """Where mail is handed in: `smtp://host:port` (TLS from the first command on, but on loopback) or `smtps://`."""

    url: str

    async def send(self, message: EmailMessage) -> Sent:
        """Hand in a message for one recipient. Never raises for what a mail server does."""
        parts = urlsplit(self.url)
        secure = parts.scheme == "smtps"
        try:
            async with asyncio.timeout(IN_ALL):
                await aiosmtplib.send(
                    message,
                    hostname=parts.hostname,
                    port=parts.port,
                    username=unquote(parts.username) if parts.username else None,
                    password=unquote(parts.password) if parts.password else None,
                    use_tls=secure,
                    start_tls=None if secure or parts.hostname in LOOPBACK else True,
                    timeout=SECONDS,
                )
        except aiosmtplib.SMTPRecipientsRefused as refused:
            code = refused.recipients[0].code
            return Sent("bounced" if code >= 500 else "deferred", str(code))
        except aiosmtplib.SMTPResponseException as fault:  # about us or this message, not about the person
            return Sent("deferred", str(fault.code))
        except (TimeoutError, aiosmtplib.SMTPServerDisconnected, aiosmtplib.SMTPReadTimeoutError) as fault:
            return Sent("unknown", type(fault).__name__)
        except (aiosmtplib.SMTPException, OSError) as fault:
            return Sent("deferred", type(fault).__name__)
        return Sent("sent")


def written(sender: str, to: str, message_id: str, subject: str, text: str, at: datetime) -> EmailMessage:
    """An e-mail that no machine answers. Raises `ValueError` for a line feed where none may be."""
    message = EmailMessage(policy=SMTP)
    message["From"], message["To"], message["Subject"] = sender, to, subject
    message["Message-ID"], message["Date"] = message_id, format_datetime(at)
    message["Auto-Submitted"] = "auto-generated"
    message["X-Auto-Response-Suppress"] = "All"
    message.set_content(text)
    return message
