"""What the columns of somebody's CSV file mean: whose row it is, who she is, her conditions, her numbers."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from domain.programs.policies import Measure
from domain.values import Line, Slug, Value

Column = Annotated[str, StringConstraints(min_length=1, max_length=80)]


class CodeColumns(Value):
    """Columns with codes of one system; `between` parts several codes of one column."""

    columns: tuple[Column, ...] = Field(min_length=1, max_length=50)
    system: Line = Field(description="The code system's address, such as http://hl7.org/fhir/sid/icd-10-cm")
    between: Annotated[str, StringConstraints(min_length=1, max_length=3)] | None = None


class PersonColumns(Value):
    """Columns that say who somebody is; `born_format` is as `strptime` reads it."""

    given: Column | None = None
    family: Column | None = None
    born: Column | None = None
    born_format: Line = "%Y-%m-%d"
    phone: Column | None = None
    postal_code: Column | None = None
    payer: Column | None = None
    member_id: Column | None = None


class ColumnMapping(Value):
    """How one source's file is read. Several rows of one person are put together; of a number the largest holds.

    `id` is the column of her number under `system`. `missing` are the texts that say that nothing is known.
    """

    name: Slug
    title: Line
    delimiter: Literal[",", ";", "\t", "|"] = ","
    charset: Literal["utf-8", "iso-8859-1", "cp1252"] = "utf-8"
    missing: tuple[str, ...] = ("",)
    id: Column
    system: Line
    person: PersonColumns = PersonColumns()
    dead: Column | None = Field(default=None, description="The column that says that she has died")
    dead_values: tuple[str, ...] = ()
    conditions: tuple[CodeColumns, ...] = ()
    numbers: dict[Measure, Column] = Field(
        default={}, description="Numbers that the sender has counted, by what a factor of the risk looks at"
    )

    @property
    def columns(self) -> list[str]:
        """The columns that the file must have."""
        said = self.person.model_dump(exclude={"born_format"}, exclude_none=True).values()
        coded = (column for codes in self.conditions for column in codes.columns)
        dead = [self.dead] if self.dead else []
        return list(dict.fromkeys((self.id, *said, *dead, *coded, *self.numbers.values())))
