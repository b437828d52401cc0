"""Screening a population: how long it takes from the first part to the last result, and what it holds in memory.

The people are made up here, as an EHR's bulk export has them: some 28 kB of FHIR each, of which half is of no use.
"""

import asyncio
import json
import random
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from benchmarks.report import Report
from benchmarks.stage import Stage, resident, timed
from domain.values import Role

LIMIT_SECONDS, OF_PEOPLE, LIMIT_MB = 300.0, 100_000, 300.0  # a hundred thousand in five minutes, in 300 MB
PART = 8 * 1024 * 1024
ICD = "http://hl7.org/fhir/sid/icd-10-cm"
CODES = (
    "I10",
    "I50.9",
    "J44.9",
    "E11.9",
    "N18.4",
    "C34.9",
    "F32.9",
    "M54.5",
    "I25.10",
    "G30.9",
    "K74.60",
    "Z00.00",
)


def person(number: int, today: datetime) -> Iterator[dict[str, Any]]:
    """One person's resources: the higher the chance, the more of everything."""
    chance = random.Random(number)
    name, ill = f"p{number:06}", chance.random()
    subject = {"reference": f"Patient/{name}"}
    yield {
        **{"resourceType": "Patient", "id": name, "birthDate": f"{1930 + chance.randrange(80)}-05-15"},
        "name": [{"given": ["Probe"], "family": f"Number {number}"}],
        "identifier": [{"system": "urn:mrn", "value": name}],
        "text": {"div": "x" * 600},
    }
    for n in range(int(3 + 15 * ill)):
        status = "active" if chance.random() < 0.6 else "resolved"
        coding = [{"system": ICD, "code": chance.choice(CODES), "display": "a condition"}]
        yield {
            **{"resourceType": "Condition", "id": f"{name}-c{n}", "subject": subject, "code": {"coding": coding}},
            **{"clinicalStatus": {"coding": [{"code": status}]}, "note": [{"text": "x" * 200}]},
        }
    for n in range(int(4 + 20 * ill * ill)):
        day = (today - timedelta(days=chance.randrange(1500))).date().isoformat()
        period = {"start": f"{day}T10:00:00Z", "end": f"{day}T12:00:00Z"}
        code = chance.choice(["AMB"] * 8 + ["EMER", "IMP"])
        yield {
            **{"resourceType": "Encounter", "id": f"{name}-e{n}", "status": "finished", "subject": subject},
            **{"class": {"code": code}, "period": period, "participant": [{"individual": {"display": "x" * 200}}]},
        }
    for n in range(int(12 * ill)):
        yield {
            **{"resourceType": "MedicationRequest", "id": f"{name}-m{n}", "status": "active", "intent": "order"},
            **{"subject": subject, "medicationCodeableConcept": {"text": f"drug {chance.randrange(300)}"}},
            "dosageInstruction": [{"text": "x" * 150}],
        }
    for n in range(30):
        yield {
            **{"resourceType": "Observation", "id": f"{name}-o{n}", "subject": subject, "valueInteger": n},
            **{"code": {"text": "x" * 120}, "category": [{"text": "x" * 120}]},
        }


def written(folder: Path, people: int) -> list[Path]:
    """The parts, made before anything is timed."""
    today, paths = datetime.now(UTC), list[Path]()
    lines, size = list[bytes](), 0
    for number in range(people):
        for resource in person(number, today):
            lines.append(json.dumps(resource).encode())
            size += len(lines[-1]) + 1
        if size > PART or number == people - 1:
            paths.append(folder / f"{len(paths):05}.ndjson")
            paths[-1].write_bytes(b"\n".join(lines))
            lines, size = [], 0
    return paths


async def screening(stage: Stage, report: Report, people: int) -> None:
    """Seconds and memory for so many people, and what a command takes meanwhile."""
    seconds = report.ratio(
        f"screening {people:,} people: time, against {LIMIT_SECONDS:.0f} s for 100,000", 1.0, "at most"
    )
    memory = report.ratio(f"screening: memory of API and worker, against {LIMIT_MB:.0f} MB more", 1.0, "at most")
    director = stage.plant.sign_in("dir-1", Role.DIRECTOR)
    case_id = await stage.ready()
    parts = (stage.plant.api, stage.plant.workers[0])
    before = sum(map(resident, parts))
    held, commands = [before], list[float]()
    with tempfile.TemporaryDirectory(prefix="caseloom-bench-") as name:
        paths = written(Path(name), people)
        began = time.perf_counter()
        made = await stage.http.post(
            "/screenings", json={"program": "complex-care", "team": "north"}, headers=director
        )
        made.raise_for_status()
        here = f"/screenings/{made.json()['id']}"
        for number, path in enumerate(paths, 1):
            (
                await stage.http.put(f"{here}/parts/{number}", content=path.read_bytes(), headers=director)
            ).raise_for_status()
            held.append(sum(map(resident, parts)))
        (await stage.http.post(f"{here}/begin", headers=director)).raise_for_status()
        while (found := (await stage.http.get(here, headers=director)).json())["status"] == "running":
            commands.append(await timed(stage.do(case_id, "add-note", text="meanwhile")))
            held.append(sum(map(resident, parts)))
            await asyncio.sleep(0.5)
        seconds.note((time.perf_counter() - began) * OF_PEOPLE / people, LIMIT_SECONDS)
    memory.note((max(held) - before) / 1e6, LIMIT_MB)
    assert sum(found["people"].values()) == people, found
    report.figures["screening: people a second"] = people / (seconds.raw[-1]["ours"] * people / OF_PEOPLE)
    if commands:
        report.figures["screening: ms of a command meanwhile, the slowest"] = max(commands)
