"""The API process: puts the system's parts together and serves the routes. The other composition root."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog
from fastapi import Depends, FastAPI

from api import (
    absence,
    agenda,
    assignment,
    audit,
    batch,
    break_glass,
    bulk_actions,
    calendars,
    case_history,
    cases,
    cds,
    clocks,
    commands,
    disclosures,
    docs,
    erasures,
    feeds,
    fhir_read,
    fhir_subscriptions,
    fhir_task,
    forecast,
    forms,
    health,
    inbound,
    instruments,
    items,
    lists,
    merging,
    metrics,
    next_steps,
    partners,
    persons,
    plans,
    problems,
    program_moves,
    programs,
    proposals,
    quarantine,
    reach,
    referrals,
    refused_referrals,
    reports,
    retention,
    rosters,
    screened,
    screening_parts,
    screenings,
    simulations,
    smart,
    staff,
    supervision,
    timeline,
    webhooks,
    work,
)
from api.questions import asked_clearly
from api.smart import scoped
from api.system import System, allowed
from api.transport import Transport
from infra import catalog, database, logs, profile, temporal
from infra.encryption import index_key, ring_of
from infra.loopback import free_port
from infra.settings import Settings
from infra.tokens import Verifier

log = structlog.get_logger()


async def connect(settings: Settings) -> System:
    """The parts of a running system, as the settings say. The engine may still be away."""
    if not settings.metrics_address:
        settings = settings.model_copy(update={"metrics_address": f"127.0.0.1:{free_port()}"})
    runtime = temporal.runtime(settings.metrics_address)
    return System(
        settings=settings,
        rulebook=catalog.load(),
        engine=database.connect(settings.database),
        client=await temporal.connect(settings, runtime, lazy=True),
        verifier=Verifier(settings),
        runtime=runtime,
        keys=ring_of(settings),
        index_key=index_key(settings.index_key, settings.data_dir),
    )


@asynccontextmanager
async def lifespan(application: FastAPI) -> AsyncIterator[None]:
    settings = Settings()
    logs.configure(settings.log_format)
    profile.require_safe(settings)
    system = await connect(settings)
    application.state.system = system
    asyncio.get_running_loop().set_default_executor(database.threads())
    log.info("api_started", programs=len(system.rulebook.programs))
    yield
    await system.close()
    log.info("api_stopped")


ROOMS = (
    cases,
    timeline,
    case_history,
    commands,
    batch,
    feeds,
    proposals,
    screenings,
    screening_parts,
    screened,
    refused_referrals,
    partners,
    persons,
    disclosures,
    retention,
    erasures,
    referrals,
    work,
    next_steps,
    inbound,
    lists,
    forecast,
    agenda,
    calendars,
    staff,
    reach,
    absence,
    assignment,
    merging,
    program_moves,
    bulk_actions,
    supervision,
    reports,
    rosters,
    simulations,
    programs,
    quarantine,
    instruments,
    forms,
    plans,
    items,
    clocks,
    audit,
    break_glass,
    webhooks,
    fhir_subscriptions,
    fhir_read,
    fhir_task,
    cds,
    metrics,
)


PUBLIC = (health.public, calendars.public, cds.public, smart.public)  # asked without a token of sign-in


def build() -> FastAPI:
    """The application with all its routes, without a system behind it yet."""
    application = FastAPI(
        title="Caseloom",
        version="0.4.0",
        summary="Case orchestration for health and social care",
        description=(
            "Answers: 200/201 applied, once and for ever · 202 queued, ask at `Location` · 404 also for what one "
            "may not know of · 409 refused by the state of the case · 412 the case has moved on · 422 malformed · "
            "503 unknown, repeat with the same `Idempotency-Key`."
        ),
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
        dependencies=[Depends(asked_clearly)],
    )
    problems.install(application)
    application.add_middleware(Transport)
    for router in PUBLIC:
        application.include_router(router)
    for room in ROOMS:
        application.include_router(room.router, dependencies=[Depends(allowed), Depends(scoped)])
    docs.install(application)
    return application


app = build()
