"""A system for real people does not start on settings that protect nobody, and says what to do about each."""

import base64
import os
from pathlib import Path
from typing import Any

import pytest

from infra.profile import UnsafeSettings, refusals, require_safe
from infra.settings import Settings

SAFE: dict[str, Any] = {
    "profile": "production",
    "encryption_keys": base64.b64encode(os.urandom(32)).decode(),
    "jwks_url": "https://id.example.org/keys",
    "hosts": "cases.example.org",
    "DATABASE_URL": "postgresql://caseloom:a-long-one-of-its-own@database/caseloom",
    "TEMPORAL_ADDRESS": "temporal:7233",
}


def settings(folder: Path, **other: Any) -> Settings:
    folder.chmod(0o700)
    return Settings(data_dir=folder, **{**SAFE, **other})


def test_safe_settings_start_and_a_machine_of_ones_own_may_have_any(tmp_path: Path) -> None:
    require_safe(settings(tmp_path))
    require_safe(Settings(data_dir=tmp_path))


@pytest.mark.parametrize(
    ("other", "says"),
    [
        ({"encryption_keys": base64.b64encode(bytes(32)).decode()}, "openssl rand"),
        ({"encryption_keys": base64.b64encode(b"short").decode()}, "32 bytes"),
        ({"encryption_keys": ""}, "CASELOOM_ENCRYPTION_KEYS"),
        ({"jwks_url": ""}, "CASELOOM_JWKS_URL"),
        ({"jwks_url": "http://id.example.org/keys"}, "https"),
        ({"hosts": "cases.example.org,*"}, "CASELOOM_HOSTS"),
        ({"TEMPORAL_ADDRESS": "engine.example.org:7233"}, "TEMPORAL_TLS"),
        ({"TEMPORAL_ADDRESS": "10.0.0.7:7233"}, "TEMPORAL_TLS"),
        ({"DATABASE_URL": "postgresql://caseloom:postgres@database/caseloom"}, "password"),
    ],
)
def test_each_unsafe_setting_is_refused_by_itself_with_what_to_do(
    tmp_path: Path, other: dict[str, Any], says: str
) -> None:
    found = list(refusals(settings(tmp_path, **other)))
    assert len(found) == 1, found
    assert says in found[0]
    with pytest.raises(UnsafeSettings, match=r"not fit for production"):
        require_safe(settings(tmp_path, **other))


def test_a_data_folder_that_others_can_read_is_refused(tmp_path: Path) -> None:
    found = settings(tmp_path)
    tmp_path.chmod(0o755)
    assert [line for line in refusals(found) if "chmod 700" in line]
