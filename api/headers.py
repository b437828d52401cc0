"""The headers that say how a command is meant."""

from typing import Annotated

from fastapi import Depends, Header

from api.problems import Refusal
from api.submission import Wish


async def wish(
    idempotency_key: Annotated[
        str | None,
        Header(
            min_length=1,
            max_length=200,
            description="Makes repeating safe: the same key is applied once, for ever",
        ),
    ] = None,
    if_match: Annotated[
        str | None, Header(description="The ETag of the case as you saw it; 412 when it has moved on")
    ] = None,
    prefer: Annotated[
        str | None, Header(description="`respond-async`: queue it durably and answer 202 at once")
    ] = None,
) -> Wish:
    """Raises 422 for an If-Match that is not an ETag of ours."""
    seq = (if_match or "").removeprefix("W/").strip('"')
    number = seq.isascii() and seq.isdigit() and len(seq) < 10
    if if_match is not None and if_match != "*" and not number:
        raise Refusal(422, "Malformed", 'If-Match takes the ETag of the case, such as "12"')
    return Wish(
        key=idempotency_key,
        expected_seq=int(seq) if number else None,
        later="respond-async" in [word.strip().lower() for word in (prefer or "").split(",")],
    )


WishDep = Annotated[Wish, Depends(wish)]
