"""People at work while things go wrong: commands, doubled, queued, repeated until somebody answers, or not."""

import asyncio
import random
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2

from api.submission import command_id
from api.system import Principal
from domain.values import Role
from infra.encryption import index_key
from tests.chaos.ops import Operation, OperationLog
from tests.chaos.parts import Plant
from tests.story import referral

ANNA = Principal(sub="cm-anna", role=Role.CASE_MANAGER, teams=("north",), tenant="local")
STAFF = (
    ("cm-anna", "case-manager", "sup-1"),
    ("senior-1", "senior-case-manager", "sup-1"),
    ("sup-1", "supervisor", "dir-1"),
    ("dir-1", "director", None),
)
CONTACT = {"mode": "telephone", "party": "patient", "reached": True, "outcome": "Well"}
HAPPENED = {
    "add-note": "note-added",
    "add-task": "task-added",
    "log-contact": "contact-logged",
    "complete-task": "task-completed",
}
PATIENCE = 8.0
SETTLE_SECONDS = 60.0


class Workload:
    """One office: its people send commands to its cases until told to stop."""

    def __init__(self, plant: Plant, log: OperationLog, chance: random.Random) -> None:
        self.plant, self.log, self.chance = plant, log, chance
        self.headers = plant.sign_in("cm-anna", Role.CASE_MANAGER, "north")
        self.index_key = index_key(plant.settings.index_key, plant.settings.data_dir)
        self.tasks: dict[str, list[str]] = {}
        self.stopping = False
        self.newest: dict[str, int] = {}
        self.reads = 0
        self.contradictions: list[str] = []
        self.numbered = 0

    async def __aenter__(self) -> "Workload":
        self.http = httpx2.AsyncClient(base_url=self.plant.address, timeout=PATIENCE)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.http.aclose()

    async def hire(self) -> None:
        """The staff directory, so that ladders find somebody."""
        director = self.plant.sign_in("dir-1", Role.DIRECTOR)
        for subject, role, supervisor in STAFF:
            body = {"name": subject, "role": role, "team": "north", "supervisor": supervisor}
            (await self.http.put(f"/staff/{subject}", json=body, headers=director)).raise_for_status()

    async def open_cases(self, number: int, program: str = "complex-care") -> None:
        """Open cases, eight at a time."""
        gate = asyncio.Semaphore(8)

        async def one() -> None:
            async with gate:
                self.plant.cases.append(await self.open_case(program))

        await asyncio.gather(*(one() for _ in range(number)))

    async def open_case(self, program: str) -> str:
        body = {"program": program, "referral": referral(), "team": "north", "owner": "cm-anna"}
        headers = {**self.headers, "Idempotency-Key": uuid.UUID(int=self.chance.getrandbits(128)).hex}
        async with asyncio.timeout(SETTLE_SECONDS):
            while True:
                try:
                    answer = await self.http.post("/cases", json=body, headers=headers)
                    if answer.status_code == 201:
                        return str(answer.json()["case_id"])
                except httpx2.HTTPError:
                    pass
                await asyncio.sleep(0.2)

    async def run(self, people: int) -> None:
        """Everybody works until `stopping`."""
        await asyncio.gather(*(self._person(random.Random(self.chance.random())) for _ in range(people)))

    async def _person(self, chance: random.Random) -> None:
        while not self.stopping:
            await (self._read(chance) if chance.random() < 0.2 else self._something(chance))
            await asyncio.sleep(chance.random() * 0.02)

    async def _read(self, chance: random.Random) -> None:
        """Look at a case: what was acknowledged before is in it, for the record is never behind."""
        case_id = chance.choice(self.plant.cases)
        known = self.newest.get(case_id, 0)
        try:
            answer = await self.http.get(f"/cases/{case_id}", headers=self.headers)
        except httpx2.HTTPError:
            return
        if 400 <= answer.status_code < 500:
            self.contradictions.append(f"case {case_id}: it was opened, and read with {answer.status_code}")
        if answer.status_code == 200:
            self.reads += 1
            seq = answer.json()["case"]["seq"]
            if seq < known:
                self.contradictions.append(f"case {case_id}: {known} was acknowledged, {seq} is shown")

    async def _something(self, chance: random.Random) -> None:
        """One command: alone, doubled at once, sent to be queued, or repeated until somebody answers."""
        case_id = chance.choice(self.plant.cases)
        kind, body = self._command(case_id, chance)
        operation, key = self._begin(case_id, kind)
        later = {"Prefer": "respond-async"} if chance.random() < 0.1 else {}
        copies = 3 if chance.random() < 0.1 else 1
        await asyncio.gather(*(self._send(operation, key, body, later) for _ in range(copies)))
        while operation.became in ("unknown", "queued") and chance.random() < 0.7 and not self.stopping:
            await asyncio.sleep(chance.random() * 0.5)
            await self._send(operation, key, body, {})

    def _command(self, case_id: str, chance: random.Random) -> tuple[str, dict[str, Any]]:
        """Mostly work, sometimes what must be refused."""
        known = self.tasks.setdefault(case_id, [])
        part = chance.random()
        if part < 0.15 and known:
            return "complete-task", {"task_id": known.pop(chance.randrange(len(known)))}
        if part < 0.3:
            due = datetime.now(UTC) + timedelta(days=3)
            return "add-task", {"task": "education", "due_at": due.isoformat()}
        if part < 0.4:
            return "log-contact", CONTACT
        if part < 0.5:
            return "complete-task", {"task_id": "t9999"}
        return "add-note", {"text": f"note {self.numbered}"}

    def _begin(self, case_id: str, kind: str) -> tuple[Operation, str]:
        self.numbered += 1
        key = f"op-{self.numbered}"
        operation = Operation(self.numbered, case_id, command_id(self.index_key, ANNA, case_id, key), kind)
        self.log.begin(operation)
        return operation, key

    async def _send(self, operation: Operation, key: str, body: dict[str, Any], more: dict[str, str]) -> None:
        headers = {**self.headers, "Idempotency-Key": key, **more}
        path = f"/cases/{operation.case_id}/commands/{operation.kind}"
        try:
            answer = await self.http.post(path, json=body, headers=headers)
        except httpx2.HTTPError:
            return
        self._note(operation, answer)

    def _note(self, operation: Operation, answer: httpx2.Response) -> None:
        """What the answer promises. Once it is known, it must not change; the checker looks at the first."""
        status = answer.status_code
        if operation.became in ("acknowledged", "refused"):
            if operation.became == "acknowledged" and 400 <= status < 500:
                self.contradictions.append(f"operation {operation.number}: first acknowledged, then {status}")
            return
        if status == 200:
            self.log.end(operation, "acknowledged", status)
            self.newest[operation.case_id] = max(answer.json()["seq"], self.newest.get(operation.case_id, 0))
            if operation.kind == "add-task":
                self.tasks[operation.case_id] += answer.json()["created"][:1]
        elif status == 202:
            self.log.end(operation, "queued", status)
        elif 400 <= status < 500:
            self.log.end(operation, "refused", status, answer.json().get("code"))
        else:
            self.log.end(operation, "unknown", status)

    async def alive(self, seconds: float) -> float:
        """A note to some case until it is acknowledged; return the seconds it took. Raises `TimeoutError`."""
        began = asyncio.get_running_loop().time()
        await self._note_to(self.chance.choice(self.plant.cases), "alive", seconds)
        return asyncio.get_running_loop().time() - began

    async def last_words(self) -> list[str]:
        """One last note to every case: what a lost task left on record is known to its case from then on.

        Returns the cases that did not answer.
        """
        silent = []
        gate = asyncio.Semaphore(8)

        async def last_word(case_id: str) -> None:
            async with gate:
                try:
                    await self._note_to(case_id, "the last one", SETTLE_SECONDS)
                except TimeoutError:
                    silent.append(case_id)

        await asyncio.gather(*(last_word(case_id) for case_id in self.plant.cases))
        return silent

    async def _note_to(self, case_id: str, text: str, seconds: float) -> None:
        """As a person does who wants to be sure: the same command under the same key, until it is answered."""
        operation, key = self._begin(case_id, "add-note")
        async with asyncio.timeout(seconds):
            while operation.became not in ("acknowledged", "refused"):
                await self._send(operation, key, {"text": text}, {})
                await asyncio.sleep(0.05)

    async def ask(self, operation: Operation) -> str:
        """What `GET /cases/…/commands/…` says of an operation: its status, or `never` for one nobody knows."""
        path = f"/cases/{operation.case_id}/commands/{operation.command_id}"
        answer = await self.http.get(path, headers=self.headers)
        if answer.status_code == 404:
            return "never"
        return str(answer.json().get("status"))
