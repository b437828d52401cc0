"""Keyset pages: each answer carries a cursor to the next, as fast at the end as at the start."""

import base64
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Generic, TypeVar

from fastapi import Depends, Query
from pydantic import BaseModel, Field
from sqlalchemy import ColumnElement, literal, tuple_
from sqlmodel.sql.expression import SelectOfScalar

from api.problems import Refusal
from domain.values import printable

Item = TypeVar("Item")
Row = TypeVar("Row")
MOST = 200
MOST_SEQ = 2**31


class Page(BaseModel, Generic[Item]):
    """Some items, and the cursor of those that follow."""

    items: list[Item]
    next: str | None = Field(default=None, description="Pass it as `cursor` for the next page")


class Paging(BaseModel):
    limit: int
    after: list[str] | None


async def paging(
    limit: Annotated[int, Query(ge=1, le=MOST)] = 50,
    cursor: Annotated[str | None, Query(max_length=500)] = None,
) -> Paging:
    """Raises 422 for a cursor that is not one of ours."""
    try:
        after = json.loads(base64.urlsafe_b64decode(cursor.encode())) if cursor else None
        if cursor and not (isinstance(after, list) and all(isinstance(part, str) for part in after)):
            raise ValueError
    except (ValueError, TypeError):
        raise _bad_cursor() from None
    return Paging(limit=limit, after=after)


PagingDep = Annotated[Paging, Depends(paging)]


def _bad_cursor() -> Refusal:
    return Refusal(422, "Malformed", "pass the cursor as an earlier page gave it, with the same sort")


def slice_of(
    query: SelectOfScalar[Row], page: Paging, keys: Sequence[Any], descending: bool = False
) -> SelectOfScalar[Row]:
    """The rows after the cursor in the order of `keys`, and one more to know whether there is a next page."""
    if page.after is not None:
        if len(page.after) != len(keys):
            raise _bad_cursor()
        values = tuple_(*(_value(key, text) for key, text in zip(keys, page.after, strict=True)))
        query = query.where(tuple_(*keys) < values if descending else tuple_(*keys) > values)
    order = [key.desc() if descending else key.asc() for key in keys]
    return query.order_by(*order).limit(page.limit + 1)


def cursor_of(values: Sequence[Any]) -> str:
    texts = [value.isoformat() if isinstance(value, datetime) else str(value) for value in values]
    return base64.urlsafe_b64encode(json.dumps(texts).encode()).decode()


def _value(key: ColumnElement[Any], text: str) -> Any:
    python = key.type.python_type
    value: datetime | int | str = text
    try:
        printable(text)
        if python is datetime:
            value = datetime.fromisoformat(text).astimezone(UTC)
        elif python is int:
            value = int(text)
            if not 0 <= value < MOST_SEQ:
                raise ValueError
    except (ValueError, OverflowError):
        raise _bad_cursor() from None
    return literal(value, key.type)
