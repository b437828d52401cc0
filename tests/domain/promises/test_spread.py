"""A thousand promises of one second are looked after over a minute: never early, always the same share."""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from domain.promises.deadlines import rings_at, wake_at
from tests.story import TOLD, Story, in_force, whole_catalogue

MINUTE = timedelta(seconds=60)


def opened(case_id: str, program: str = "complex-care") -> Story:
    return Story(program).open(case_id=case_id)


@given(st.uuids())
def test_a_case_is_woken_when_it_is_due_or_a_little_later_and_always_the_same(case_id: object) -> None:
    """Not before, and within the minute; the same case, the same share."""
    case = opened(str(case_id)).known
    due, rings = wake_at(case), rings_at(case, MINUTE)
    assert due is not None
    assert rings is not None
    assert due <= rings < due + MINUTE
    assert rings == rings_at(case, MINUTE)
    assert rings_at(case, timedelta(0)) == due


def test_the_shares_of_many_cases_fill_the_minute_evenly() -> None:
    """A thousand cases: every ten seconds of the minute get their part."""
    delays = []
    for n in range(1000):
        case = opened(f"case{n}").known
        due, rings = wake_at(case), rings_at(case, MINUTE)
        assert due is not None
        assert rings is not None
        delays.append((rings - due).total_seconds())
    tenths = [sum(10 * n <= delay < 10 * (n + 1) for delay in delays) for n in range(6)]
    assert min(tenths) > 120
    assert max(tenths) < 220


def test_what_a_statute_or_a_persons_safety_sets_is_not_delayed() -> None:
    """A crisis is answered in its own second."""
    story = Story().followed_up()
    story.do("raise-crisis", description="x")
    [crisis] = [c for c in story.known.running if c.kind == "crisis"]
    assert crisis.statutory
    assert rings_at(story.known, timedelta(hours=1)) == wake_at(story.known) == crisis.next_at


def test_a_promise_of_seconds_is_delayed_by_less_than_a_quarter_of_it() -> None:
    """The demonstration's clocks stay quick under the same setting."""
    story = Story("demo").followed_up()
    for clock in story.known.running:
        alone = story.known.changed(clocks=(clock,))
        due, rings = wake_at(alone), rings_at(alone, MINUTE)
        assert due is not None
        assert rings is not None
        assert rings - due < (clock.due_at - clock.anchor) / 4


def test_statutory_is_said_where_a_code_of_law_or_of_payment_sets_the_number() -> None:
    """Every promise of the catalogue whose source is one, and every promise of a crisis, the demo's aside."""
    for name in {p.program for p in whole_catalogue().programs}:
        for path, policy in whole_catalogue().latest(name).policies.items():
            if policy.source.startswith(("CPT", "42 CFR")):
                assert policy.statutory, f"{name} {path}"
    for name in TOLD.keys() - {"demo"}:
        for path, policy in in_force().latest(name).policies.items():
            assert policy.statutory or not path.startswith("crisis."), f"{name} {path}"
