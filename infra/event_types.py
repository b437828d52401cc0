"""The kinds of events that others may hear of, as `catalog/events.yaml` has them."""

from functools import cache
from pathlib import Path
from typing import Any

import yaml

FILE = Path(__file__).parent.parent / "catalog" / "events.yaml"


@cache
def event_types() -> dict[str, str]:
    """What each kind means; a kind that is not among them is told to nobody outside."""
    said: dict[Any, Any] = yaml.safe_load(FILE.read_text())
    return {str(kind): str(means) for kind, means in said.items()}
