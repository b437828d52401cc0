"""The description of the API is good enough for a machine: a client is made from it without a warning."""

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.app import app
from domain.values import Role
from infra import tokens
from tests.office import Office


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The package that `openapi-python-client` makes of it, on the path under the name that is returned."""
    folder = tmp_path_factory.mktemp("made")
    (folder / "openapi.json").write_text(json.dumps(app.openapi()))
    tools = Path(sys.executable).parent
    generate = [str(tools / "openapi-python-client"), "generate", "--path", "openapi.json", "--meta", "none"]
    made = subprocess.run(
        [*generate, "--output-path", "caseloom_client", "--fail-on-warning"],
        cwd=folder,
        env={**os.environ, "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 0, made.stdout + made.stderr
    sys.path.insert(0, str(folder))
    return "caseloom_client"


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
async def test_a_client_that_a_machine_has_made_opens_a_case_and_reads_what_is_owed(
    office: Office, client: str
) -> None:
    def of(path: str) -> Any:
        return importlib.import_module(f"{client}.{path}")

    settings = office.parts.settings
    token = tokens.issue(settings, "cm-anna", Role.CASE_MANAGER, ("north",))
    signed_in = of("client").AuthenticatedClient(base_url="http://caseloom.test", token=token)
    transport = httpx.ASGITransport(app=office.app)
    headers = {"Authorization": f"Bearer {token}"}
    signed_in.set_async_httpx_client(
        httpx.AsyncClient(transport=transport, base_url="http://caseloom.test", headers=headers)
    )
    referral = {"source": "primary-care", "reason": "Two admissions", "patient": {"reference": "Patient/1"}}
    new = of("models.new_case").NewCase.from_dict(
        {"program": "complex-care", "referral": referral, "team": "north"}
    )
    opened = await of("api.cases.open_new_case_cases_post").asyncio(client=signed_in, body=new)
    found = await of("api.lists.work_work_get").asyncio(client=signed_in)
    assert [item.case_id for item in found.items] == [opened.case_id]
    assert found.items[0].do.command == "complete-screening"
