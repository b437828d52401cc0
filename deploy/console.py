"""How the tools show what they found: as wide as the terminal, and wide where there is none.

Rich takes 80 columns for what is no terminal, and cuts what does not fit: an id out of a log or a pipe could not
be copied any more.
"""

import os
from collections.abc import Iterable

from rich.console import Console
from rich.table import Column

WIDE = 200


def console(stderr: bool = True) -> Console:
    """Where a tool prints; `COLUMNS` is obeyed where it is set."""
    found = Console(stderr=stderr)
    return found if found.file.isatty() or "COLUMNS" in os.environ else Console(stderr=stderr, width=WIDE)


def id_column(title: str) -> Column:
    """A column of ids, which gives way to no other column: it may fold, and is never cut."""
    return Column(title, overflow="fold", no_wrap=True)


def ids(found: Iterable[str]) -> str:
    """Ids for one cell of such a column: each on a line of its own, where it can be copied."""
    return "\n".join(found)
