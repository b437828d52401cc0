"""Cases as older releases have left them, going on under today's code."""

import gzip
import uuid
from pathlib import Path

from activities.derived import rebuild_case
from activities.rows import add, snapshot
from domain.case import Case
from domain.record import Page
from infra import database, temporal
from infra.tables import SnapshotRow
from infra.temporal import workflow_id
from infra.timeline import GAP
from tests.chaos.parts import ROOT, Plant
from workflows.messages import CASE_WORKFLOW, TASK_TIMEOUT, Life

LEFT = ("screening", "follow-up", "consent-withdrawn", "whole-care")


async def inherit(plant: Plant) -> None:
    """Begin what older releases have handed on. Their past is not on record: a kept state stands for it."""
    client = await temporal.connect(plant.settings)
    engine = database.blocking(plant.settings.database)
    for path in sorted((ROOT / "tests" / "snapshots").glob("*/*.json.gz")):
        if path.name.removesuffix(".json.gz") not in LEFT:
            continue
        life, case = _left(path)
        with engine.begin() as connection:
            add(connection, SnapshotRow, [snapshot(case, GAP, case.opened_at)])
            rebuild_case(connection, case.id)
        await client.start_workflow(
            CASE_WORKFLOW,
            life,
            id=workflow_id("local", case.id),
            task_queue=plant.settings.task_queue,
            task_timeout=TASK_TIMEOUT,
        )
        plant.cases.append(case.id)
    engine.dispose()


def _left(path: Path) -> tuple[Life, Case]:
    """What was handed on, under an id of its own, all of it on record."""
    life = Life.model_validate_json(gzip.decompress(path.read_bytes()))
    assert life.case is not None
    case = life.case.changed(id=uuid.uuid4().hex)
    return life.changed(case_id=case.id, case=case, page=Page(), inbox=(), outcomes=(), history_events=100), case
