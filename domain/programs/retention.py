"""How long what is known of a person is kept after the last of her case, and what keeps it from being erased."""

from datetime import date, timedelta

from pydantic import Field

from domain.clocks.budget import add_months
from domain.values import PartialDay, Slug, Text, Value, span_of

MONTHS = 12  # of a year


class Retention(Value):
    """Years from the last entry of a closed case. `until_age`: a minor's record is kept until she is that old.

    Six years at the least: HIPAA's own papers are kept as long (45 CFR 164.316(b)(2)(i)).
    """

    years: int = Field(ge=6, le=100)
    until_age: int | None = Field(default=None, ge=18, le=40)
    source: Text
    verified: bool = True


class RetentionRules(Value):
    """How long the cases of each programme are kept, as `catalog/retention.yaml` says."""

    default: Retention
    programs: dict[Slug, Retention] = {}

    def of(self, program: str) -> Retention:
        return self.programs.get(program, self.default)


def kept_until(retention: Retention, last_entry: date, born: PartialDay | None) -> date:
    """The last day on which a closed case is kept; of a birth date known in part, its latest day counts."""
    last = add_months(last_entry, retention.years * MONTHS)
    if retention.until_age is None or born is None:
        return last
    of_age = add_months(span_of(born)[1], retention.until_age * MONTHS)
    return max(last, of_age - timedelta(days=1))
