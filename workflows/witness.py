"""Lets an operator's tool see what a replay brings to light: the entries and outcomes of a case's history.

Nobody listens in a worker. A record that was restored from an older copy is healed from here (`make drift`).
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from domain.command import Outcome
from domain.event import Entry

Listener = Callable[[str, Entry | Outcome], None]
_listening: list[Listener] = []


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Have the listener told of every entry and outcome that workflows of this process come to know."""
    _listening.append(listener)
    try:
        yield
    finally:
        _listening.remove(listener)


def tell(case_id: str, what: Entry | Outcome) -> None:
    for listener in _listening:
        listener(case_id, what)
