"""The files of the catalogue: YAML in which every fault has its file, line and field, and one file on another.

A programme's file says in `extends` which base, or which version of a programme, it stands on, and writes only
what is its own. What it stands on may stand on another file in turn.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

Location = Sequence[int | str]
NOTHING = object()  # what is not in a file; None is what an author wrote as `null`
LONGEST = 100


class CatalogError(Exception):
    """A file of the catalogue cannot be used; the message has a line for each fault."""


@dataclass(frozen=True)
class CatalogFile:
    """One file as its author wrote it; `extends` is taken out of the data."""

    path: Path
    root: yaml.Node | None
    data: Any
    extends: str | None

    def fault(self, location: Location, says: str) -> str:
        """A fault in this file, in the form in which all are told."""
        field = ".".join(map(str, location)) or "file"
        return f"{self.path.name}:{_line(self.root, location)}: {field}: {says}"

    def has(self, location: Location) -> bool:
        """Whether the file has the first two parts of a field's path."""
        node = self.root
        for part in location[:2]:
            if isinstance(node, yaml.MappingNode):
                found = next((value for key, value in node.value if key.value == str(part)), None)
                if found is None:
                    return False
                node = found
        return True


def read(path: Path) -> CatalogFile:
    """Raises `CatalogError` for what is no YAML, or gives a key twice."""
    try:
        loader = _NoDuplicates(path.read_text(encoding="utf-8"))
        root = loader.get_single_node()
        data = loader.construct_document(root) if root is not None else None
    except UnicodeDecodeError:
        raise CatalogError(f"{path.name}:1: file: is not written in UTF-8") from None
    except yaml.YAMLError as fault:
        mark = getattr(fault, "problem_mark", None)
        line = mark.line + 1 if mark else 1
        raise CatalogError(f"{path.name}:{line}: {getattr(fault, 'problem', fault)}") from None
    extends = data.pop("extends", None) if isinstance(data, dict) else None
    return CatalogFile(path, root, data, None if extends is None else str(extends))


def layers(path: Path, sources: Mapping[str, Path]) -> list[CatalogFile]:
    """A file and those it stands on, itself first. Raises `CatalogError` for one that is missing, or a circle."""
    found = [read(path)]
    while (name := found[-1].extends) is not None:
        names = [file.path.stem for file in found]
        if name in names:
            circle = " extends ".join((*names[names.index(name) :], name))
            raise CatalogError(found[-1].fault(("extends",), f"goes round in a circle: {circle}"))
        if name not in sources:
            says = f"there is no base {name}, and no version of that name"
            raise CatalogError(found[-1].fault(("extends",), says))
        found.append(read(sources[name]))
    return found


def merged(files: Sequence[CatalogFile]) -> Any:
    """What the first file says, over what the others say: maps are merged, all else is replaced."""
    said: Any = {}
    for file in reversed(files):
        said = _over(said, file.data)
    return said


def fault_in(files: Sequence[CatalogFile], location: Location, says: str) -> str:
    """A fault, told where it stands: in the first of the files that has the field."""
    where = next((file for file in files if file.has(location)), files[0])
    return where.fault(location, says)


def differences(old: Any, new: Any, path: str = "") -> Iterator[tuple[str, str, str]]:
    """Where two files differ, with all that they stand on: the path, what was there, and what is there now."""
    old, new = _by_name(old), _by_name(new)
    if isinstance(old, dict) and isinstance(new, dict):
        for key in {**old, **new}:
            inside = f"{path}.{key}" if path else str(key)
            yield from differences(old.get(key, NOTHING), new.get(key, NOTHING), inside)
    elif old != new:
        yield path, _said(old), _said(new)


def _by_name(part: Any) -> Any:
    """A list whose items have names, by these: an item more at the top is not a change of all below it."""
    if not isinstance(part, list) or not all(isinstance(item, dict) and "name" in item for item in part):
        return part
    named = {item["name"]: item for item in part}
    return named if len(named) == len(part) > 0 else part


def _said(part: Any) -> str:
    if part is NOTHING:
        return "nothing"
    text = part if isinstance(part, str) else yaml.safe_dump(part, default_flow_style=True, width=10_000)
    line = " ".join(text.removesuffix("...\n").split())
    return line if len(line) <= LONGEST else f"{line[:LONGEST]}…"


def _over(base: Any, own: Any) -> Any:
    if isinstance(base, dict) and isinstance(own, dict):
        return {**base, **{key: _over(base.get(key), value) for key, value in own.items()}}
    return own


def _line(node: yaml.Node | None, location: Location) -> int:
    """The line of the deepest part of `location` that the file has."""
    line = node.start_mark.line + 1 if node else 1
    for part in location:
        if isinstance(node, yaml.MappingNode):
            found = next(((k, v) for k, v in node.value if k.value == str(part)), None)
            if found is None:
                continue
            line, node = found[0].start_mark.line + 1, found[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            line = node.start_mark.line + 1
    return line


class _NoDuplicates(yaml.CSafeLoader):
    """YAML that refuses a key given twice, of which plain YAML keeps the last, and days that there are not."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep) for key, _ in node.value]
        for n, key in enumerate(keys):
            if key in keys[:n]:
                raise yaml.MarkedYAMLError(
                    problem=f"{key} is given twice", problem_mark=node.value[n][0].start_mark
                )
        return super().construct_mapping(node, deep)

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """What looks like a date and is none, such as 2026-99-99, is a fault of its line."""
        try:
            return super().construct_object(node, deep)
        except ValueError as fault:
            raise yaml.MarkedYAMLError(problem=f"{node.value}: {fault}", problem_mark=node.start_mark) from None
