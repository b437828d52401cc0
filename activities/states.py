"""The cases that this worker has settled lately, so that the next command of each need not read it again."""

from collections import OrderedDict
from threading import Lock

from sqlalchemy import Connection

from activities.record import Standing
from domain.case.case import Case
from domain.case.event import Position
from infra.encryption import KeyRing
from infra.timeline import state

MOST = 1000  # as many as a worker keeps workflows


class States:
    """Cases by the hash of their last entry: another past has another hash, so a state is never taken for it."""

    def __init__(self, keys: KeyRing) -> None:
        self.keys = keys
        self._known: OrderedDict[str, Case] = OrderedDict()
        self._lock = Lock()

    def at(self, head: str) -> Case | None:
        """The case whose last entry has this hash, if this worker has settled it lately."""
        if not head:  # of an older release: it tells nothing apart
            return None
        with self._lock:
            if head in self._known:
                self._known.move_to_end(head)
            return self._known.get(head)

    def read(self, connection: Connection, case_id: str, at: Position) -> Standing:
        """The case on record at this position."""
        if at.seq == 0:
            return Standing()
        return Standing(self.at(at.head) or state(connection, self.keys, case_id, at.seq), at)

    def follow(self, before: Standing, after: Standing) -> None:
        """Keep a case in the place of what it was before. To be called when the record has it, no earlier."""
        if after.case is None or not after.at.head:
            return
        with self._lock:
            self._known.pop(before.at.head, None)
            self._known[after.at.head] = after.case
            while len(self._known) > MOST:
                self._known.popitem(last=False)
