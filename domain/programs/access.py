"""Who may do what, on which cases: the policy of `catalog/policy.yaml`, and the one question that it answers."""

from enum import StrEnum
from functools import cached_property
from typing import Self

from pydantic import Field, model_validator

from domain.values import Role, Sensitivity, Slug, Value


class Reach(StrEnum):
    """By what a person reaches a case; `catalog/policy.yaml` says what each means."""

    OWN = "own"
    TEAM = "team"
    TASK = "task"
    OFFERED = "offered"
    OPENED = "opened"
    FEED = "feed"
    DUTY = "duty"
    GLASS = "glass"
    SHARED = "shared"
    REFERRED = "referred"
    SHARED_BEHAVIORAL = "shared-behavioral"
    SHARED_PART2 = "shared-part2"
    SHARED_SUD = "shared-sud-counselling"
    TENANT = "tenant"


UNDER = {
    Sensitivity.BEHAVIORAL: Reach.SHARED_BEHAVIORAL,
    Sensitivity.PART2: Reach.SHARED_PART2,
    Sensitivity.SUD_COUNSELLING: Reach.SHARED_SUD,
}


def ways_of_share(told: str) -> frozenset[Reach]:
    """By which ways a share lets its reader reach the case: what it reads, and the labels that it names.

    `told` is the type of the share's line in the lists: `case` or `referrals`, `-and-` each of its labels.
    """
    reads, *labels = told.split("-and-")
    first = Reach.SHARED if reads == "case" else Reach.REFERRED
    return frozenset({first, *(way for label, way in UNDER.items() if label in labels)})


class Readers(Value):
    """Roles, and the cases on which something is granted to them."""

    roles: tuple[Role, ...] = Field(min_length=1)
    reach: tuple[Reach, ...] = Field(min_length=1)

    def include(self, role: Role, reaches: frozenset[Reach]) -> bool:
        return role in self.roles and not reaches.isdisjoint(self.reach)


class Grant(Readers):
    """Groups of actions that some roles have on some cases."""

    may: tuple[Slug, ...] = Field(min_length=1)


class AccessPolicy(Value):
    """Deny by default: what no grant gives is refused."""

    public: tuple[Slug, ...] = ()
    groups: dict[Slug, tuple[Slug, ...]]
    grants: tuple[Grant, ...]
    labels: dict[Sensitivity, tuple[Readers, ...]] = {}

    @model_validator(mode="after")
    def _each_action_once(self) -> Self:
        actions = [action for group in self.groups.values() for action in group]
        twice = sorted({a for a in actions if actions.count(a) > 1})
        unknown = sorted({group for grant in self.grants for group in grant.may} - set(self.groups))
        if twice or unknown:
            raise ValueError(f"actions in two groups: {twice}; groups that there are not: {unknown}")
        return self

    @cached_property
    def _reaches(self) -> dict[tuple[Role, str], frozenset[Reach]]:
        """On which cases a role has an action."""
        found: dict[tuple[Role, str], frozenset[Reach]] = {}
        for grant in self.grants:
            for key in ((role, a) for role in grant.roles for group in grant.may for a in self.groups[group]):
                found[key] = found.get(key, frozenset()) | {*grant.reach}
        return found

    def reach_of(self, role: Role, action: str) -> frozenset[Reach]:
        """By which ways a role has an action; empty where it has it nowhere."""
        return self._reaches.get((role, action), frozenset())

    def may(self, role: Role, action: str, reaches: frozenset[Reach]) -> bool:
        """Whether a role that reaches a case by these ways may do this there."""
        return not reaches.isdisjoint(self.reach_of(role, action))

    def roles_of(self, action: str) -> tuple[Role, ...]:
        """Who may do this at all."""
        return tuple(role for role in Role if self.reach_of(role, action))

    def reads(self, role: Role, label: Sensitivity, reaches: frozenset[Reach]) -> bool:
        """Whether what stands under a label is for such a reader. What is general is for all who read the case."""
        if label is Sensitivity.GENERAL:
            return True
        return any(readers.include(role, reaches) for readers in self.labels.get(label, ()))
