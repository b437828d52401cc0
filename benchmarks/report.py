"""What a benchmark says: ratios with their spread and their limit, as a table, as JSON and as a plot."""

import json
import platform
import statistics
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from rich.console import Console
from rich.table import Table

RESULTS = Path(__file__).parent / "results"
console = Console()


@dataclass
class Ratio:
    """One comparison, measured several times in one run. `limit` is what the median must keep."""

    name: str
    limit: float
    keeps: Literal["at least", "at most"]
    values: list[float] = field(default_factory=list)
    raw: list[dict[str, float]] = field(default_factory=list)

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    def middle(self, side: Literal["ours", "beside"]) -> float:
        """The median of what was measured on one side."""
        return statistics.median(values[side] for values in self.raw)

    @property
    def kept(self) -> bool:
        return self.median >= self.limit if self.keeps == "at least" else self.median <= self.limit

    def note(self, ours: float, floor: float, **more: float) -> None:
        """One repetition: what was measured here, and beside it."""
        self.values.append(ours / floor)
        self.raw.append({"ours": round(ours, 3), "beside": round(floor, 3), **more})


@dataclass
class Report:
    """All ratios of a run, and the figures that have no floor."""

    ratios: list[Ratio] = field(default_factory=list)
    figures: dict[str, float] = field(default_factory=dict)
    growth: dict[str, list[tuple[float, float]]] = field(default_factory=dict)

    def ratio(self, name: str, limit: float, keeps: Literal["at least", "at most"]) -> Ratio:
        found = Ratio(name, limit, keeps)
        self.ratios.append(found)
        return found

    def show(self, name: str) -> int:
        """Print the table, write the JSON and the plot; 1 when a limit was not kept."""
        table = Table(
            "what",
            "median",
            "from",
            "to",
            "limit",
            "",
            title="Against the limits",
        )
        self.ratios = [ratio for ratio in self.ratios if ratio.values]
        for ratio in self.ratios:
            mark = "[green]kept[/]" if ratio.kept else "[red]not kept[/]"
            spread = (f"{value:.2f}" for value in (ratio.median, min(ratio.values), max(ratio.values)))
            table.add_row(ratio.name, *spread, f"{ratio.keeps} {ratio.limit}", mark)
        console.print(table)
        figures = Table("figure", "value", title="Figures of this run, on this machine")
        for figure, value in self.figures.items():
            figures.add_row(figure, f"{value:,.1f}")
        console.print(figures)
        RESULTS.mkdir(exist_ok=True)
        said: dict[str, Any] = {
            "at": datetime.now(UTC).isoformat(),
            "machine": platform.processor(),
            **asdict(self),
        }
        (RESULTS / f"{name}.json").write_text(json.dumps(said, indent=2) + "\n")
        self._plot(name)
        console.print(f"written: {RESULTS / name}.json" + (f" and {name}.png" if self.growth else ""))
        return int(not all(ratio.kept for ratio in self.ratios))

    def _plot(self, name: str) -> None:
        """Cost against size: each line relative to its own first point."""
        if not self.growth:
            return
        import matplotlib

        matplotlib.use("Agg")
        from matplotlib import pyplot

        figure, axes = pyplot.subplots(figsize=(8, 4.5))
        for title, points in self.growth.items():
            first = points[0][1]
            axes.plot([size for size, _ in points], [cost / first for _, cost in points], marker="o", label=title)
        axes.axhline(1.2, color="grey", linestyle=":", label="a fifth more")
        axes.set(xscale="log", xlabel="size", ylabel="cost against the smallest size", ylim=(0, None))
        axes.legend(frameon=False)
        figure.tight_layout()
        figure.savefig(RESULTS / f"{name}.png", dpi=120)
