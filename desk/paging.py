"""Pages of lists: the cursor that an address holds, and the address of the page behind it."""

from fastapi import Request

from api.pages import Paging, paging


async def asked_page(cursor: str | None, limit: int) -> Paging:
    """The page that was asked for. Raises 422 for a cursor that is none of ours."""
    return await paging(limit, cursor)


def next_page(request: Request, cursor: str | None) -> str | None:
    """The address of the next page, with all that this one was filtered by."""
    if cursor is None:
        return None
    following = request.url.include_query_params(cursor=cursor)
    return f"{following.path}?{following.query}"
