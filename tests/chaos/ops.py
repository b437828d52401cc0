"""The operation log: every command written down before it is sent, and again with what became of it."""

import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

Became = Literal["acknowledged", "refused", "unknown", "queued"]


@dataclass
class Operation:
    """One command. `key` is its Idempotency-Key; whoever repeats it repeats the operation, not a new one."""

    number: int
    case_id: str
    command_id: str
    kind: str
    sent: float = 0.0
    done: float | None = None
    became: Became = "unknown"
    status: int | None = None
    code: str | None = None


class OperationLog:
    """Kept in memory for the checker and on disk, line by line, for whoever reads a failed run."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("a", encoding="utf-8")
        self.operations: dict[str, Operation] = {}

    def begin(self, operation: Operation) -> None:
        """Write it down before it is sent: a run that dies leaves it as unknown."""
        operation.sent = time.time()
        self.operations[operation.command_id] = operation
        self._write(operation)

    def end(self, operation: Operation, became: Became, status: int | None, code: str | None = None) -> None:
        operation.done, operation.became, operation.status, operation.code = time.time(), became, status, code
        self._write(operation)

    def acknowledged(self) -> Iterator[Operation]:
        return (op for op in self.operations.values() if op.became == "acknowledged")

    def count(self) -> dict[str, int]:
        counts: dict[str, int] = {}
        for operation in self.operations.values():
            counts[operation.became] = counts.get(operation.became, 0) + 1
        return counts

    def _write(self, operation: Operation) -> None:
        self._file.write(json.dumps(asdict(operation)) + "\n")
        self._file.flush()

    def close(self) -> None:
        self._file.close()
