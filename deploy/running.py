"""Where the system of a data folder runs, as `make up` wrote it down, for the tools that look after it."""

import json
import os

from infra.settings import Settings


def settings() -> Settings:
    """The settings from the environment; the engine's address is `make up`'s where none is given."""
    found = Settings()
    running = found.data_dir / "running.json"
    if "TEMPORAL_ADDRESS" in os.environ or not running.exists():
        return found
    return found.model_copy(update={"temporal_address": json.loads(running.read_text())["temporal"]})
