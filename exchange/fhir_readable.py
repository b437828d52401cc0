"""What one reader may read of a case as FHIR: all, what a share names, or the referrals to a recipient alone."""

from collections.abc import Sequence
from dataclasses import dataclass

from domain.case.case import Case
from domain.case.event import Entry, label_of
from domain.programs.access import AccessPolicy, Reach
from domain.programs.rulebook import Rulebook
from domain.values import Role
from exchange.fhir_codes import id_in
from exchange.fhir_out import Version, resources
from exchange.fhir_referral_task import PART

READ = "read-case-resources"
Step = tuple[Case | None, Entry, Case]


@dataclass(frozen=True)
class Reader:
    """Who reads, and by which ways she reaches the case."""

    subject: str
    role: Role
    ways: frozenset[Reach]

    def reads(self, policy: AccessPolicy, entry: Entry) -> bool:
        """Whether what an entry said is for this reader: its author, or somebody who reads its label."""
        return entry.actor.subject == self.subject or policy.reads(self.role, label_of(entry.data), self.ways)


def readable(steps: Sequence[Step], known: Rulebook, reader: Reader, until: int | None = None) -> list[Version]:
    """The resources of a case that a reader may read, from all its entries, as they were after entry `until`."""
    policy = known.policy
    told = [step for step in steps if until is None or step[1].seq <= until]
    every = resources(told, known, lambda entry: reader.reads(policy, entry))
    if not policy.may(reader.role, READ, reader.ways - {Reach.SHARED, Reach.REFERRED}):
        every = [version.outside for version in every]
    if policy.may(reader.role, READ, reader.ways - {Reach.REFERRED}):
        return every
    mine = _referred_to(reader.subject, [after for _, _, after in steps])
    return [version for version in every if version.content["id"] in mine]


def _referred_to(reader: str, cases: Sequence[Case]) -> set[str]:
    """The ids of what tells of the referrals to a recipient whose account reads no more than these."""
    names = {r.with_whom.casefold() for r in cases[-1].readers if r.id == reader}
    to_it = {r.id: r for case in cases for r in case.referrals if r.recipient.casefold() in names}
    return {id_in(cases[-1].id, f"{part}{name}") for name in to_it for part in (PART, "referral-")}
