"""How every process meets Temporal: one plugin for worker, API, tests and replays, so that they cannot differ."""

import dataclasses
from collections.abc import Sequence

from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.converter import DefaultFailureConverterWithEncodedAttributes
from temporalio.envconfig import ClientConfig
from temporalio.plugin import SimplePlugin
from temporalio.runtime import LoggingConfig, PrometheusConfig, Runtime, TelemetryConfig, TelemetryFilter
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner

from infra.encryption import KeyRing, load_keys
from infra.settings import Settings


def plugin(keys: Sequence[bytes]) -> SimplePlugin:
    """The converter (pydantic, encrypted, failures too) and the sandbox."""
    converter = dataclasses.replace(
        pydantic_data_converter,
        payload_codec=KeyRing(keys),
        failure_converter_class=DefaultFailureConverterWithEncodedAttributes,
    )
    return SimplePlugin("caseloom", data_converter=converter, workflow_runner=SandboxedWorkflowRunner())


def runtime(metrics_address: str) -> Runtime:
    """The SDK's runtime; with an address it serves its metrics, and ours, for Prometheus there."""
    metrics = (
        PrometheusConfig(
            bind_address=metrics_address,
            counters_total_suffix=True,
            unit_suffix=True,
            durations_as_seconds=True,
        )
        if metrics_address
        else None
    )
    logging = LoggingConfig(filter=TelemetryFilter(core_level="WARN", other_level="ERROR"))
    return Runtime(telemetry=TelemetryConfig(metrics=metrics, logging=logging))


async def connect(settings: Settings, run: Runtime | None = None, lazy: bool = False) -> Client:
    """A client as the settings say; TLS and API key come from Temporal's own variables (`TEMPORAL_TLS_…`).

    Raises `RuntimeError` when the server does not answer, unless `lazy`.
    """
    config = dict(ClientConfig.load_client_connect_config())
    config["target_host"] = settings.temporal_address
    config["namespace"] = settings.temporal_namespace
    keys = load_keys(settings.encryption_keys, settings.data_dir)
    return await Client.connect(plugins=[plugin(keys)], runtime=run, lazy=lazy, **config)  # type: ignore[arg-type]


def workflow_id(tenant: str, case_id: str) -> str:
    """The id of a case's workflow: opaque, because the engine shows ids in clear text."""
    return f"case-{tenant}-{case_id}"
