"""Sending something to an address that somebody else has given: only to the outside, once; nothing is followed.

An address within our own network would let whoever gives it talk to what is not meant for him. So the name is
resolved once, every address of it is looked at, and the connection goes to one that was looked at.
"""

import asyncio
import ipaddress
import re
import socket
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import httpx2

SECONDS, LONGEST_ANSWER = 15.0, 64 * 1024
Address = ipaddress.IPv4Address | ipaddress.IPv6Address
# What `is_global` lets through on Python 3.11 and leads inside all the same: translations of IPv4, old local ones.
INSIDE = tuple(
    ipaddress.ip_network(network)
    for network in (
        *("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "fec0::/10", "::/96", "::ffff:0:0:0/96", "3fff::/20"),
        *("5f00::/16", "192.88.99.0/24", "192.0.0.0/24", "168.63.129.16/32"),  # the last two: metadata of clouds
    )
)
NAME = re.compile(r"[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*\.?", re.IGNORECASE)
NAMES = ThreadPoolExecutor(4, "names")  # a name whose server does not answer holds nothing else up


class NotOutside(Exception):
    """The address is not one of the outside world; the text says why, and names no address of ours."""


@dataclass(frozen=True)
class Answer:
    """What the other side said: a status, or the kind of the fault where it said nothing."""

    status: int | None = None
    fault: str | None = None
    retry_after: int | None = None


def check_url(url: str, loopback: bool) -> None:
    """Raises `NotOutside` for what cannot be a webhook's address, whatever its name means today."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise NotOutside("give an https address at the usual port") from None
    if parts.username or parts.password:
        raise NotOutside("leave name and password out of the address")
    if not url.isascii() or not url.isprintable() or " " in url:
        raise NotOutside("write the address without blanks, in ASCII")
    if loopback and host == "127.0.0.1" and parts.scheme in ("http", "https"):
        return
    if _is_inside(host):
        raise NotOutside("the address is not one of the outside world")
    if parts.scheme != "https" or port not in (None, 443):
        raise NotOutside("give an https address at the usual port")
    if not (":" in host or NAME.fullmatch(host)):
        raise NotOutside("give the name of a host in letters, digits and hyphens, an international one as `xn--…`")


async def post(url: str, body: bytes, headers: dict[str, str], loopback: bool = False) -> Answer:
    """Post once; no redirect, no proxy, and no more of the answer than 64 KiB. Raises `NotOutside`."""
    check_url(url, loopback)
    parts = urlsplit(url)
    host = parts.hostname or ""
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        async with asyncio.timeout(SECONDS):
            address = await _outside(host, port, loopback)
            where = f"[{address}]" if address.version == 6 else str(address)
            path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
            target = f"{parts.scheme}://{where}:{port}{path}"
            return await _post(target, body, {**headers, "Host": parts.netloc}, host)
    except (httpx2.HTTPError, httpx2.InvalidURL, ValueError, OSError, TimeoutError) as fault:
        return Answer(fault=type(fault).__name__)


async def _post(target: str, body: bytes, headers: dict[str, str], host: str) -> Answer:
    async with httpx2.AsyncClient(trust_env=False, follow_redirects=False, timeout=None) as http:
        more: dict[str, Any] = {"sni_hostname": host}
        async with http.stream("POST", target, content=body, headers=headers, extensions=more) as answer:
            read = 0
            async for part in answer.aiter_raw():
                read += len(part)
                if read > LONGEST_ANSWER:
                    break
            later = answer.headers.get("retry-after", "")
            asked = int(later) if later.isascii() and later.isdigit() and len(later) < 9 else None
            return Answer(answer.status_code, retry_after=asked)


async def _outside(host: str, port: int, loopback: bool) -> Address:
    """The first address of a name. Raises `NotOutside` where any of them leads inside."""
    look_up = partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
    found = await asyncio.get_running_loop().run_in_executor(NAMES, look_up)
    addresses = [ipaddress.ip_address(info[4][0]) for info in found]
    for address in addresses:
        if not is_outside(address) and not (loopback and address.is_loopback):
            raise NotOutside("the name leads to an address that is not of the outside world")
    return addresses[0]


def _is_inside(host: str) -> bool:
    """Whether a host is written as an address that is not of the outside world."""
    try:
        return not is_outside(ipaddress.ip_address(host.rstrip(".")))
    except ValueError:
        return False


def is_outside(address: Address) -> bool:
    """Whether an address is one of the outside world."""
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return is_outside(address.ipv4_mapped)
    inside = any(address in network for network in INSIDE if network.version == address.version)
    return address.is_global and not address.is_multicast and not inside
