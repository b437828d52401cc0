"""Lists as tables: the same rows as JSON or as CSV, whose next page is named in the `Link` header."""

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any, Literal, get_args, get_origin

from fastapi import Request, Response
from pydantic import BaseModel

from api.pages import Page

Format = Literal["json", "csv"]


def as_csv(name: str, columns: Sequence[str], rows: Iterable[dict[str, Any]], *links: str) -> Response:
    """A file of comma-separated values after RFC 4180, with links to what belongs to it."""
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(columns), lineterminator="\r\n", extrasaction="ignore")
    writer.writeheader()
    writer.writerows({key: safe_cell(value) for key, value in row.items()} for row in rows)
    headers = {"Content-Disposition": f'attachment; filename="{name}.csv"'}
    if links:
        headers["Link"] = ", ".join(links)
    return Response(text.getvalue(), media_type="text/csv; charset=utf-8", headers=headers)


def page_as(form: Format, name: str, page: Page[Any], item: type[BaseModel], request: Request) -> Any:
    """A page as it was asked for. What of an item is a list or has parts of its own is in no CSV."""
    if form == "json":
        return page
    columns = [field for field, info in item.model_fields.items() if _is_plain(info.annotation)]
    rows = [one.model_dump(mode="json") for one in page.items]
    if page.next is None:
        return as_csv(name, columns, rows)
    following = request.url.include_query_params(cursor=page.next)
    return as_csv(name, columns, rows, f'<{following.path}?{following.query}>; rel="next"')


def _is_plain(annotation: Any) -> bool:
    """Whether a field is one value, and not a list or something with parts of its own."""
    parts = get_args(annotation) or (annotation,)
    return not any(
        get_origin(part) in (list, tuple, dict) or (isinstance(part, type) and issubclass(part, BaseModel))
        for part in parts
    )


def safe_cell(value: Any) -> Any:
    """A cell that no spreadsheet takes for a formula."""
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") else value
