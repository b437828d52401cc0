"""What a sender hears back: that a message is stored, or why it is of no use. Nothing that it said is repeated."""

from datetime import datetime
from typing import Literal

from exchange.hl7_message import Message

Code = Literal["AA", "AE", "AR"]
COMMIT: dict[Code, str] = {"AA": "CA", "AE": "CE", "AR": "CR"}


def wants_none(message: Message, code: Code) -> bool:
    """Whether the sender asked for no answer of this kind (MSH-15, the enhanced mode)."""
    asked = message.header.value(15)
    return asked == "NE" or (asked == "ER" and code == "AA") or (asked == "SU" and code != "AA")


def answer(message: Message | None, code: Code, now: datetime, own_id: str, says: str = "") -> bytes:
    """An ACK, or the accept acknowledgement of a sender in enhanced mode. `says` is why it is not AA."""
    first = message.header if message else None
    by = first.by if first else None
    marks = f"{by.component}{by.repetition}{by.escape}{by.sub}" if by else "^~\\&"
    bar, part = (by.field, by.component) if by else ("|", "^")
    enhanced = bool(first and first.value(15))
    kind = f"ACK{part}{message.event}{part}ACK" if message and message.event else "ACK"
    said = {n: first.raw(n) if first else "" for n in (3, 4, 5, 6, 10, 11, 12)}
    header = ["MSH", marks, said[5], said[6], said[3], said[4], f"{now:%Y%m%d%H%M%S}+0000", "", kind, own_id]
    lines = [[*header, said[11] or "P", said[12] or "2.5"], ["MSA", COMMIT[code] if enhanced else code, said[10]]]
    if code != "AA":
        fault = "207" if code == "AE" else "200"  # HL7 table 0357: application internal error, unsupported message
        lines.append(["ERR", "", "", f"{fault}{part}{says}", "E"])
    return "".join(bar.join(line) + "\r" for line in lines).encode()
