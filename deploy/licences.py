"""`make licences`: what stands in the image, with its licence, as the packages themselves say it."""

import re
import sys
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path

from rich.table import Table

from deploy.console import console as shown

LOCK = Path(__file__).with_name("requirements.lock")
PINNED = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^]]*\])?==([^ ;]+)", re.MULTILINE)
LONGEST = 60
console = shown(stderr=False)


def pinned() -> dict[str, str]:
    """The packages of the image, and which version."""
    return dict(PINNED.findall(LOCK.read_text()))


def licence_of(name: str) -> str | None:
    """What a package says its licence is; None where it is for other machines, and not installed here."""
    try:
        said = metadata(name)
    except PackageNotFoundError:
        return None
    classes = [c.rpartition(" :: ")[2] for c in said.get_all("Classifier", []) if c.startswith("License ::")]
    [expression], [free] = (said.get_all(name, [""])[:1] for name in ("License-Expression", "License"))
    return (expression or ", ".join(classes) or free.split("\n")[0])[:LONGEST] or "does not say"


def main() -> int:
    table = Table("package", "version", "licence")
    silent = 0
    for name, version in sorted(pinned().items()):
        if (licence := licence_of(name)) is not None:
            table.add_row(name, version, licence)
            silent += licence == "does not say"
    console.print(table)
    return int(silent > 0)


if __name__ == "__main__":
    sys.exit(main())
