"""What people are called: those at work by their names of the directory, and whom a case is about."""

import time

from sqlmodel import col, select

from api.identity import called
from api.system import System
from domain.case.case import Case
from infra import row_places
from infra.tables import StaffRow

KNOWN_SECONDS = 30.0
MOST = 2000


class Names:
    """The names of a tenant's people, as they were some seconds ago; whoever has none is called by her id."""

    def __init__(self, said: dict[str, str], standing: dict[str, tuple[str, str | None]] | None = None) -> None:
        self._said, self._standing = said, standing or {}

    def agrees(self, subject: str, role: str, teams: tuple[str, ...]) -> bool:
        """Whether the directory has somebody in this role and team still; of whom it has not, nothing is said."""
        there = self._standing.get(subject)
        return there is None or there == (role, teams[0] if teams else None)

    def choices(self) -> list[tuple[str, str]]:
        """Everybody who is at work, by name, to choose from."""
        return sorted(((s, n) for s, n in self._said.items() if s in self._standing), key=lambda pair: pair[1])

    def __call__(self, subject: str | None) -> str:
        return self._said.get(subject, subject) if subject else ""

    def all(self, subjects: object) -> str:
        """Several of them, one behind the other."""
        return ", ".join(self(str(one)) for one in subjects) if isinstance(subjects, list | tuple) else ""

    def within(self, text: str) -> str:
        """A sentence with the names in place of the ids that stand in it as words."""
        return " ".join(self._word(word) for word in text.split(" "))

    def _word(self, word: str) -> str:
        bare = word.strip(",.;:()")
        return word.replace(bare, self._said[bare]) if bare in self._said else word


_KNOWN: dict[tuple[int, str], tuple[float, Names]] = {}


async def names_of(parts: System, tenant: str) -> Names:
    """The names of a tenant's directory."""
    key = (id(parts), tenant)
    at, known = _KNOWN.get(key, (float("-inf"), Names({})))
    if time.monotonic() - at < KNOWN_SECONDS:
        return known
    query = select(StaffRow).where(StaffRow.tenant == tenant).order_by(col(StaffRow.subject)).limit(MOST)
    async with parts.session() as session:
        rows = (await session.exec(query)).all()
    said = {r.subject: parts.keys.decrypted_text(r.name, row_places.staff(tenant, r.subject)) for r in rows}
    standing = {row.subject: (row.role, row.team) for row in rows if row.active}
    named = Names({subject: name for subject, name in said.items() if name}, standing)
    _KNOWN[key] = (time.monotonic(), named)
    return _KNOWN[key][1]


async def name_of(parts: System, case: Case) -> str | None:
    """By which the person of a case is called; None where nobody has said it."""
    person_id = case.referral.patient.reference
    return (await called(parts, case.tenant, [person_id])).get(person_id)


def titles_of(parts: System, case: Case) -> dict[str, str]:
    """The programme's own words for what stands in the case as a code."""
    try:
        program = parts.rulebook.program(case.program, case.program_version)
    except LookupError:
        return {}
    tasks = {name: task.title for name, task in program.tasks.items()}
    return {**tasks, case.program: program.title, **{s.name: s.title for s in program.sections}}
