"""How every process meets Temporal: one plugin for worker, API, tests and replays, so that they cannot differ."""

import dataclasses
from collections.abc import Sequence
from typing import Any, ClassVar

from pydantic_core import SchemaSerializer
from pydantic_core.core_schema import any_schema
from temporalio.api.common.v1 import Payload
from temporalio.client import Client
from temporalio.common import RawValue
from temporalio.contrib.pydantic import (
    PydanticJSONPlainPayloadConverter,
    PydanticPayloadConverter,
    pydantic_data_converter,
)
from temporalio.converter import DefaultFailureConverterWithEncodedAttributes
from temporalio.envconfig import ClientConfig
from temporalio.plugin import SimplePlugin
from temporalio.runtime import LoggingConfig, PrometheusConfig, Runtime, TelemetryConfig, TelemetryFilter
from temporalio.worker import UnsandboxedWorkflowRunner
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner

from infra.encryption import KeyMissing, KeyRing, load_keys
from infra.settings import Settings


class Sparse(PydanticJSONPlainPayloadConverter):
    """Leaves out of a value what is as its default says: a tenth of what a command leaves in history.

    So the defaults of what travels are stored with it, and never change (tests/infra/test_payloads.py).
    """

    _written: ClassVar[SchemaSerializer] = SchemaSerializer(any_schema())

    def to_payload(self, value: Any) -> Payload:
        data = self._written.to_json(value, exclude_defaults=True)
        return Payload(metadata={"encoding": self.encoding.encode()}, data=data)


class OnceBuilt(PydanticPayloadConverter):
    """The pydantic converter, built once: the SDK asks for a new one for every payload of every command."""

    _parts: ClassVar[dict[str, Any]] = {}

    def __init__(self) -> None:
        if not OnceBuilt._parts:
            super().__init__()
            self.converters = {**self.converters, Sparse().encoding.encode(): Sparse()}
            OnceBuilt._parts = self.__dict__
        self.__dict__ = OnceBuilt._parts

    def from_payloads(self, payloads: Sequence[Payload], type_hints: list[type] | None = None) -> list[Any]:
        """Raises `KeyMissing` for a value that waits for its key; raw ones are given as they are."""
        for number, payload in enumerate(payloads):
            raw = type_hints is not None and number < len(type_hints) and type_hints[number] is RawValue
            if not raw and (name := KeyRing.missing(payload)) is not None:
                raise KeyMissing(f"no encryption key {name}")
        return super().from_payloads(payloads, type_hints)


def plugin(keys: Sequence[bytes], checked: bool = False) -> SimplePlugin:
    """The converter (pydantic, encrypted, failures too), and the runner of workflows.

    `checked` runs them in the SDK's sandbox, as all tests do: it finds what is not deterministic, and takes a
    third of a worker's time, which a case in production need not pay (docs/performance.md).
    """
    converter = dataclasses.replace(
        pydantic_data_converter,
        payload_converter_class=OnceBuilt,
        payload_codec=KeyRing(keys),
        failure_converter_class=DefaultFailureConverterWithEncodedAttributes,
    )
    runner = SandboxedWorkflowRunner() if checked else UnsandboxedWorkflowRunner()
    return SimplePlugin("caseloom", data_converter=converter, workflow_runner=runner)


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
