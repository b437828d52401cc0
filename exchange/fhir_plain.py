"""A FHIR resource as it came, read by name like one that was checked; what is not there is None.

Checking each resource of a population's file takes nine times as long as reading it (150 synthetic patients).
"""

from typing import Any

NAMED = {"class_fhir": "class"}  # as `fhir.resources` names what is a word of the language


class Plain:
    """An object of JSON whose members are read as attributes. Raises `AttributeError` for what is no object."""

    __slots__ = ("_said",)

    def __init__(self, said: dict[str, Any]) -> None:
        self._said = said

    def __getattr__(self, name: str) -> Any:
        return plain(self._said.get(NAMED.get(name, name)))

    def get_resource_type(self) -> str:
        return str(self._said.get("resourceType"))


def plain(value: Any) -> Any:
    """The value with its objects as `Plain`."""
    if isinstance(value, dict):
        return Plain(value)
    return [plain(one) for one in value] if isinstance(value, list) else value
