"""Keyset pages: each answer carries a cursor to the next, as fast at the end as at the start."""

import base64
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
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
        if cursor and not (isinstance(after, list) and after and all(isinstance(part, str) for part in after)):
            raise ValueError
    except (ValueError, TypeError):
        raise _bad_cursor() from None
    return Paging(limit=limit, after=after)


PagingDep = Annotated[Paging, Depends(paging)]


def _bad_cursor() -> Refusal:
    return Refusal(422, "Malformed", "pass the cursor as an earlier page gave it, with the same sort")


@dataclass(frozen=True)
class Order:
    """How a list is sorted: by these columns, which together name one row."""

    keys: Sequence[Any]
    descending: bool = False

    @property
    def mark(self) -> str:
        """Tells a cursor of this order from those of others."""
        named = [f"{key.table.name}.{key.name}" for key in self.keys]
        return hashlib.sha256(f"{named} {self.descending}".encode()).hexdigest()[:8]

    def slice(self, query: SelectOfScalar[Row], page: Paging) -> SelectOfScalar[Row]:
        """The rows after the cursor, and one more to know whether there is a next page. Raises 422."""
        if page.after is not None:
            mark, *texts = page.after
            if mark != self.mark or len(texts) != len(self.keys):
                raise _bad_cursor()
            after = tuple_(*(_value(key, text) for key, text in zip(self.keys, texts, strict=True)))
            query = query.where(tuple_(*self.keys) < after if self.descending else tuple_(*self.keys) > after)
        order = [key.desc() if self.descending else key.asc() for key in self.keys]
        return query.order_by(*order).limit(page.limit + 1)

    def cursor(self, *values: Any) -> str:
        """The cursor behind the row that has these values in its key columns."""
        texts = [value.isoformat() if isinstance(value, datetime) else str(value) for value in values]
        return base64.urlsafe_b64encode(json.dumps([self.mark, *texts]).encode()).decode()


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
