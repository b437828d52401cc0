"""Every setting, read from the environment. The names are the variables' names."""

from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """What a process needs to know of where it runs. The defaults suit one machine on loopback."""

    model_config = SettingsConfigDict(env_prefix="CASELOOM_", extra="ignore")

    data_dir: Path = Path(".data")
    database_url: str = Field(default="", validation_alias="DATABASE_URL")
    temporal_address: str = Field(default="127.0.0.1:7233", validation_alias="TEMPORAL_ADDRESS")
    temporal_namespace: str = Field(default="default", validation_alias="TEMPORAL_NAMESPACE")
    task_queue: str = "caseloom"
    metrics_address: str = ""
    jitter_seconds: int = Field(default=60, ge=0, le=3600)
    worker_deployment_name: str = Field(default="", validation_alias="WORKER_DEPLOYMENT_NAME")
    worker_build_id: str = Field(default="", validation_alias="WORKER_BUILD_ID")
    history_events: int = Field(default=300, ge=20, le=2000)
    encryption_keys: str = ""
    index_key: str = ""
    issuer: str = "caseloom"
    audience: str = "caseloom"
    jwks_url: str = ""
    smart_issuers: str = ""
    smart_token_url: str = ""
    token_hours: float = Field(default=24, gt=0)
    local_sign_in: bool = False
    oidc_issuer: str = ""
    oidc_client_id: str = ""
    oidc_client_secret: str = ""
    oidc_redirect: str = ""
    hosts: str = "127.0.0.1,localhost,[::1]"
    requests_per_minute: int = Field(default=1200, ge=1)
    profile: Literal["", "production"] = ""
    update_seconds: float = Field(default=3.0, gt=0)
    record_seconds: float = Field(default=1.5, gt=0)
    suppress_below: int = Field(default=0, ge=0, le=1000)
    caseload_standard: float = Field(default=20, gt=0)
    caseload_most: int = Field(default=40, gt=0)
    review_share: float = Field(default=0.1, ge=0, le=1)
    review_cap: int = Field(default=10, ge=0, le=1000)
    checkpoints: str = ""
    webhook_loopback: bool = False
    smtp_url: str = ""
    mail_from: str = Field(default="caseloom@localhost", pattern=r"^[^@\s<>,;]+@[^@\s<>,;]+$")
    public_url: str = "http://127.0.0.1:8000"
    feeds: str = ""
    hl7_host: str = "127.0.0.1"
    hl7_certificate: str = ""
    hl7_key: str = ""
    hl7_clients: str = ""
    log_format: str = Field(default="", pattern="^(|json|console)$")

    @property
    def checkpoints_folder(self) -> Path:
        """Where checkpoints are kept; in the data folder unless another place is given."""
        return Path(self.checkpoints) if self.checkpoints else self.data_dir.absolute() / "checkpoints"

    @property
    def database(self) -> str:
        """The SQLAlchemy address of the record; a SQLite file in the data folder unless one is given."""
        if not self.database_url:
            return f"sqlite+aiosqlite:///{self.data_dir.absolute() / 'caseloom.db'}"
        if self.database_url.startswith("postgresql://"):
            return self.database_url.replace("postgresql://", "postgresql+psycopg://", 1)
        return self.database_url
