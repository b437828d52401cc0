"""The outline of a case: for who was given a task of it, is offered it, or referred the person."""

from domain.case.case import Case, Patient, Referral

NOT_SHOWN = "not shown: it is for those who work the case"
ALWAYS = (
    "id",
    "tenant",
    "program",
    "program_version",
    "seq",
    "stage",
    "opened_at",
    "opened_by",
    "zone",
    "owner",
    "team",
    "target_group",
    "closure",
    "sealed",
)
TO_ANSWER = ("risk", "transfer")
AT_WORK = ("consent", "risk", "crisis", "safety_plan")  # who visits must know of a danger, and how to meet it


def outline(case: Case, person: str) -> Case:
    """The case as `person` may see it: her tasks and their promises, what an offer must say, where it stands."""
    tasks = tuple(task for task in case.tasks if task.assignee == person)
    ids = {task.clock_id for task in tasks}
    offered = case.transfer is not None and case.transfer.to == person
    names = (*ALWAYS, *(TO_ANSWER if offered else ()), *(AT_WORK if tasks else ()))
    patient = Patient(reference=case.referral.patient.reference)
    shown = {name: getattr(case, name) for name in names}
    return Case(
        **shown,
        referral=Referral(source=case.referral.source, reason=NOT_SHOWN, patient=patient),
        tasks=tasks,
        clocks=tuple(clock for clock in case.clocks if clock.id in ids),
    )
