"""All that a case says in FHIR, each resource as it is now, with the event that changed it last.

The case is folded once: whenever an event touches the parts that a resource is made from, it is made anew, and has
that event as its version if it says something else than before.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime

from domain.case.case import Case
from domain.case.event import ENTERED_IN_ERROR, Entry
from domain.programs.rulebook import Rulebook
from exchange.fhir_case import BUILDERS, ENDED, Standing
from exchange.fhir_codes import HL7, Resource, at, concept, id_in, reference, staff
from exchange.fhir_findings import BY_KIND, RECONCILED, Lists, medications

WRONG = {"QuestionnaireResponse", "Observation", "Encounter", "Communication"}
MADE_ANEW = {"EpisodeOfCare", "CarePlan", "CareTeam", "Consent", "RiskAssessment"}  # one of each, by many commands
NOT_OUTSIDE = {"Consent": ("provision",), "RiskAssessment": ("note",)}
TAKES_BACK = ("transition-retracted", "transition-corrected")  # a stay that is merely long ago stays as it was


@dataclass(frozen=True)
class Version:
    """A resource, and the number, time and author of the event that changed it last."""

    content: Resource
    seq: int
    changed_at: datetime
    by: str

    @property
    def resource(self) -> Resource:
        """The resource with its version."""
        meta = {"versionId": str(self.seq), "lastUpdated": at(self.changed_at), **self.content.get("meta", {})}
        head = {"resourceType": self.content["resourceType"], "id": self.content["id"], "meta": meta}
        return head | {name: value for name, value in self.content.items() if name not in head}

    @property
    def kind(self) -> str:
        return str(self.content["resourceType"])

    @property
    def outside(self) -> "Version":
        """The same for a system outside: not who else may be told, and not from which findings a risk follows."""
        content = {
            name: value for name, value in self.content.items() if name not in NOT_OUTSIDE.get(self.kind, ())
        }
        return replace(self, content=content)

    @property
    def provenance(self) -> Resource:
        """Who changed it last, and when."""
        name = self.content["id"]
        target = f"{name}/_history/{self.seq}"
        author = concept("Author", (f"{HL7}/provenance-participant-type", "author"))
        return {
            "resourceType": "Provenance",
            "id": id_in(name.partition("-")[0], f"prov-{self.kind}-{name}-{self.seq}"),
            "target": [reference(self.kind, target)],
            "recorded": at(self.changed_at),
            "agent": [{"type": author, "who": staff(self.by)}],
        }


Found = dict[tuple[str, str], Version]


def resources(
    steps: Iterable[tuple[Case | None, Entry, Case]],
    known: Rulebook,
    readable: Callable[[Entry], bool],
) -> list[Version]:
    """The resources of a case, from every entry with the case before and after it.

    `readable` says which entries are for this reader: what was found under a label that is not is left out, and so
    is what the same command brought about, such as the task that follows from an answer.
    """
    steps = list(steps)
    kept_back = {entry.command_id for _, entry, _ in steps if not readable(entry)}
    found: Found = {}
    hidden: set[tuple[str, str]] = set()
    by_command: dict[str, list[tuple[str, str]]] = {}
    lists = Lists()
    for before, entry, after in steps:
        program = known.program(after.program, after.program_version)
        standing = Standing(after, program, after.referral.patient.reference)
        for builder, parts in BUILDERS:
            if before is None or any(getattr(before, p) is not getattr(after, p) for p in parts):
                made = list(builder(standing))
                if entry.command_id in kept_back:
                    hidden |= {_key(one) for one in made if _key(one) not in found}
                else:
                    hidden -= {_key(one) for one in made if one["resourceType"] in MADE_ANEW}
                _put(found, made, entry)
                earlier = builder(Standing(before, program, standing.person_id)) if before is not None else ()
                _end(found, made, earlier, entry)
        if entry.kind in BY_KIND and readable(entry):
            made = list(BY_KIND[entry.kind](after, entry, known))
            _put(found, made, entry)
            by_command.setdefault(entry.command_id, []).extend(_key(one) for one in made)
        if entry.kind == RECONCILED and readable(entry):
            listed = medications(after, entry, known)
            _put(found, lists.add(entry.command_id, str(entry.data["occurred_at"]), listed), entry)
        if entry.kind == ENTERED_IN_ERROR:
            _put(found, lists.take_back(str(entry.data["of_command"])), entry)
            _take_back(found, by_command.get(str(entry.data["of_command"]), []), entry)
    return [version for key, version in found.items() if key not in hidden]


def _key(content: Resource) -> tuple[str, str]:
    return str(content["resourceType"]), str(content["id"])


def _put(found: Found, made: Iterable[Resource], entry: Entry) -> None:
    for content in made:
        key = _key(content)
        if key not in found or found[key].content != content:
            found[key] = Version(content, entry.seq, entry.at, entry.actor.subject)


def _end(found: Found, made: list[Resource], earlier: Iterable[Resource], entry: Entry) -> None:
    """What the case does not have any more: a goal or a problem that was left out, a resolved flag, a referral,
    a stay that was taken back.
    """
    now = {_key(content) for content in made}
    for content in earlier:
        key = _key(content)
        if key in now or key not in found:
            continue
        if key[0] == "ServiceRequest":
            status = "revoked" if entry.kind == "referral-revoked" else "completed"
            _put(found, [{**content, "status": status}], entry)
        elif key[0] == "Task" and entry.kind == "referral-revoked":
            _put(found, [{**content, "status": "cancelled"}], entry)
        elif key[0] == "Encounter" and entry.kind in TAKES_BACK:
            _put(found, [{**content, "status": "entered-in-error"}], entry)
        elif key[0] in ENDED:
            field, still, value = ENDED[key[0]]
            _put(found, [{**content, field: value if content[field] == still else content[field]}], entry)


def _take_back(found: Found, keys: Iterable[tuple[str, str]], entry: Entry) -> None:
    for key in keys:
        if key[0] in WRONG and key in found:
            _put(found, [{**found[key].content, "status": "entered-in-error"}], entry)


def of_kind(versions: Iterable[Version], kind: str) -> Iterator[Version]:
    return (version for version in versions if version.kind == kind)
