"""A feed of HL7 v2 messages as its file has it: who sends, and what the sender's local codes mean."""

from typing import Annotated, Literal

from pydantic import Field

from domain.programs.policies import Disposition
from domain.values import Line, Slug, Value, Zone

Code = Annotated[str, Field(min_length=1, max_length=40)]


class Authority(Value):
    """Which of a patient's identifiers are read (PID-3), and as whose they are known here.

    `assigner` is the first part of PID-3.4, `type` is PID-3.5; one that is left out is not asked for.
    """

    system: Line = Field(description="The system under which the person's identifier is on record")
    assigner: Code | None = None
    type: Code | None = None


class Feed(Value):
    """One sender on a port of its own. A port is a feed, and a feed belongs to one tenant.

    `classes` says which setting of the programmes a patient class (PV1-2) is, or that it is no stay; one that the
    file does not know asks a person. `dispositions` says where somebody went by PV1-36.
    """

    name: Slug
    title: Line
    tenant: Slug
    zone: Zone = Field(description="The zone of times that name none")
    charset: Literal["utf-8", "iso-8859-1", "cp1252"] = "utf-8"
    test: bool = Field(default=False, description="Takes messages that are marked as training or debugging")
    patients: tuple[Authority, ...] = Field(min_length=1)
    classes: dict[Code, Slug | None]
    emergency: Slug = Field(default="emergency", description="The setting whose stays are told as visits")
    dispositions: dict[Code, Disposition] = {}
    open_in: Slug | None = Field(default=None, description="The programme for a known person who has no open case")
    team: Slug | None = Field(default=None, description="Whose leads work off what no rule can place")
