"""Charts as SVG that is drawn here: with a title, a sentence of what it shows, and no script."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

WIDTH, HEIGHT, EDGE = 560, 180, 34


@dataclass(frozen=True)
class Band:
    """A named range of the values, drawn behind them."""

    name: str
    low: float
    high: float


@dataclass(frozen=True)
class Mark:
    """One value: where it stands, and its words."""

    x: float
    y: float
    text: str


@dataclass(frozen=True)
class Line:
    """Values over time, ready to be drawn: marks in pixels, the line through them, bands, and what it says."""

    title: str
    says: str
    marks: list[Mark]
    path: str
    bands: list[tuple[Band, float, float]]
    low: float
    high: float
    first: datetime
    last: datetime
    width: int = WIDTH
    height: int = HEIGHT
    edge: int = EDGE


def line(title: str, says: str, values: Sequence[tuple[datetime, float]], bands: Sequence[Band]) -> Line | None:
    """Values over time, the oldest first; None for fewer than two, which are no course."""
    if len(values) < 2:
        return None
    low = min([0.0, *(value for _, value in values), *(band.low for band in bands)])
    high = max([*(value for _, value in values), *(band.high for band in bands)])
    first, last = values[0][0], values[-1][0]
    seconds = (last - first).total_seconds() or 1.0

    def across(at: datetime) -> float:
        return round(EDGE + (WIDTH - 2 * EDGE) * (at - first).total_seconds() / seconds, 1)

    def up(value: float) -> float:
        return round(HEIGHT - EDGE - (HEIGHT - 2 * EDGE) * (value - low) / ((high - low) or 1), 1)

    marks = [Mark(across(at), up(value), f"{at:%Y-%m-%d}: {value:g}") for at, value in values]
    path = "M" + " L".join(f"{mark.x},{mark.y}" for mark in marks)
    drawn = [(band, up(band.high), up(band.low)) for band in bands]
    return Line(title, says, marks, path, drawn, low, high, first, last)


@dataclass(frozen=True)
class Bar:
    """One bar: its words, its number, and how long it is, in hundredths of the longest."""

    label: str
    value: float
    share: int
    over: bool = False


def bars(values: Sequence[tuple[str, float]], most: float | None = None) -> list[Bar]:
    """Bars for some numbers; one above `most` says so."""
    longest = max([*(value for _, value in values), most or 0, 1])
    return [
        Bar(label, value, round(100 * value / longest), most is not None and value > most)
        for label, value in values
    ]
