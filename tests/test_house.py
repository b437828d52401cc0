"""The rules of the house: who may import whom, and what stays out of the domain."""

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path
from types import NoneType
from typing import Any, get_args

import pytest
from pydantic import BaseModel

import domain.commands  # noqa: F401 - so that every event is known
from domain.case.event import Event

ROOT = Path(__file__).parents[1]
MAY_IMPORT = {
    "domain": {"domain"},
    "workflows": {"workflows", "domain", "activities"},
    "activities": {"activities", "domain", "exchange", "infra", "workflows.messages", "workflows"},
    "exchange": {"exchange", "domain"},
    "api": {"api", "domain", "exchange", "infra", "workflows.messages", "workflows"},
    "desk": {"desk", "api", "domain", "infra"},
    "infra": {"infra", "domain"},
    "deploy": {"deploy", "domain", "infra", "activities", "workflows", "worker"},
}
# The wings and single files of the domain: each stands on those before it and knows nothing of those after it.
WINGS = (
    "values",
    "notices",
    "webhooks",
    "persons",
    "clocks",
    "programs",
    "case",
    "promises",
    "steps",
    "addressees",
    "tick",
    "corrections",
    "commands",
    "decide",
    "next_steps",
    "simulation",
    "items",
    "lines",
    "measures",
)
OURS = {*MAY_IMPORT, "worker", "listener", "tests"}
NOT_IN_DOMAIN = {"temporalio", "sqlmodel", "sqlalchemy", "fastapi", "structlog", "os", "random", "time", "uuid"}


def imports(path: Path) -> set[str]:
    """The modules that a file imports, anywhere in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def files(room: str) -> list[Path]:
    return [p for p in (ROOT / room).rglob("*.py") if "migrations" not in p.parts]


@pytest.mark.parametrize("room", sorted(MAY_IMPORT))
def test_a_room_imports_only_what_it_may(room: str) -> None:
    """The table of the README, kept."""
    for path in files(room):
        for name in imports(path):
            top = name.split(".")[0]
            assert top not in OURS or top in MAY_IMPORT[room], f"{path.name} imports {name}"


def wing(path: Path) -> str:
    """The wing of the domain in which a file stands, or its own name if it stands in none."""
    return path.relative_to(ROOT / "domain").parts[0].removesuffix(".py")


def test_a_wing_of_the_domain_imports_only_what_stands_below_it() -> None:
    """A file that is in no wing and not in the list fails too: it has no place yet."""
    packages = {ROOT / "domain/__init__.py", *(ROOT / "domain").glob("*/__init__.py")}
    assert all(path.read_text() == "" for path in packages)
    for path in set(files("domain")) - packages:
        assert wing(path) in WINGS, f"domain/{path.name} stands in no wing"
        below = WINGS[: WINGS.index(wing(path)) + 1]
        for name in imports(path):
            room, _, rest = name.partition(".")
            assert room != "domain" or not rest or rest.split(".")[0] in below, f"{path.name} imports {name}"


def test_no_files_of_the_domain_import_one_another_in_a_circle() -> None:
    """Within a wing any file may stand on any other, as long as one of them is read first."""
    names = {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in files("domain")}
    TopologicalSorter({name: imports(path) & set(names) for name, path in names.items()}).prepare()


def test_the_api_knows_the_workflow_by_the_names_of_its_messages_only() -> None:
    """Nothing of the loop can leak into a route."""
    for path in (*files("api"), *files("activities")):
        from_workflows = {n for n in imports(path) if n.startswith("workflows.")}
        assert all(n.startswith("workflows.messages") for n in from_workflows), path.name


def test_the_domain_is_pure() -> None:
    """Standard library and pydantic; no clock, no chance, no world."""
    for path in files("domain"):
        tops = {name.split(".")[0] for name in imports(path)}
        assert not tops & NOT_IN_DOMAIN, path.name
        assert "datetime.now" not in path.read_text(), path.name


def test_the_domain_imports_at_the_top_of_a_file_only() -> None:
    """The workflow's sandbox takes modules in at its start: one that comes later would be there twice."""
    for path in files("domain"):
        for function in ast.walk(ast.parse(path.read_text())):
            if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                inside = [n for n in ast.walk(function) if isinstance(n, ast.Import | ast.ImportFrom)]
                assert not inside, f"{path.name}: {function.name}"


def test_the_workflow_room_reads_no_world() -> None:
    """Every workflow run imports it: its package is empty, and infra stays outside."""
    assert (ROOT / "workflows/__init__.py").read_text() == ""
    for path in files("workflows"):
        assert not {name for name in imports(path) if name.startswith("infra")}, path.name


def test_no_file_is_too_long_to_read_in_one_sitting() -> None:
    """400 lines, and a p90 of function length of 25."""
    lengths = []
    for room in [*MAY_IMPORT, "listener.py", "worker.py"]:
        for path in files(room) if (ROOT / room).is_dir() else [ROOT / room]:
            text = path.read_text()
            assert text.count("\n") <= 400, path.name
            functions = (ast.FunctionDef, ast.AsyncFunctionDef)
            lengths += [
                (n.end_lineno or n.lineno) - n.lineno + 1
                for n in ast.walk(ast.parse(text))
                if isinstance(n, functions)
            ]
    assert sorted(lengths)[int(0.9 * len(lengths))] <= 25


def test_what_an_event_may_leave_out_has_a_default() -> None:
    """Empty fields are not written into the timeline: read again, each needs a default, however deep it stands."""
    seen: set[type[BaseModel]] = set()

    def walk(model: type[BaseModel]) -> None:
        if model in seen:
            return
        seen.add(model)
        for name, field in model.model_fields.items():
            parts = set(_inside(field.annotation))
            assert NoneType not in parts or not field.is_required(), f"{model.__name__}.{name} needs a default"
            for part in parts:
                if isinstance(part, type) and issubclass(part, BaseModel):
                    walk(part)

    for event in Event.kinds.values():
        walk(event)
    assert len(seen) > 50


def _inside(annotation: Any) -> Iterator[Any]:
    yield annotation
    for part in get_args(annotation):
        yield from _inside(part)
