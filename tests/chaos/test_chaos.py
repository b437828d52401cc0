"""A small round of faults on every run of the tests; the whole grid is `make chaos`."""

import pytest

from tests.chaos.herd import stampede
from tests.chaos.run import chaos

BESIDE_OTHER_TESTS = 6.0  # they have the machine too: how long it takes says nothing here, that it comes does
SMALL = [
    "worker killed between commit and answer",
    "engine killed",
    "API killed before its answer",
    "network cut between API and engine",
    "garbage sent to cases",
]


@pytest.mark.timeout(300)
async def test_kills_cuts_locks_and_garbage_lose_nothing_and_do_nothing_twice() -> None:
    """The operation log, the timelines and the cases themselves agree; after every fault a command is answered."""
    findings = await chaos(seed=2026, minutes=0, names=SMALL, own_disk=False, patience=BESIDE_OTHER_TESTS)
    assert findings.faults == []
    assert findings.operations["acknowledged"] > 30
    assert {name for name, _ in findings.rounds} == set(SMALL)


@pytest.mark.timeout(300)
async def test_promises_due_in_one_second_each_climb_once_and_never_early() -> None:
    """Forty cases: every one has its miss and its first rung, and people go on working meanwhile."""
    found = await stampede(40, spread=10)
    assert found.faults == []
    assert found.climbed == 40
