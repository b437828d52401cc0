"""An HL7 v2 message as real systems send it: read leniently, refused only where nobody could know what it says.

Its own separators and its own character set are believed; byte order marks, line feeds instead of carriage returns
and control characters are what senders add, and change nothing.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

CODE = re.compile(r"[A-Za-z0-9]{2,4}")  # a type of message, or an event
ESCAPED = re.compile(r"\\([^\\]*)\\")
CHARSETS = {
    "": None,
    "ASCII": "utf-8",  # those who say ASCII and send more mostly send UTF-8
    "8859/1": "iso-8859-1",
    "8859/15": "iso-8859-15",
    "UNICODE": "utf-8",
    "UNICODE UTF-8": "utf-8",
}
FRAMES = "\ufeff\x0b\x1c\x00"
BEFORE = b"\xef\xbb\xbf\x0b\x1c\x00\r\n "
DELETED = '""'


class Unreadable(ValueError):
    """No message of HL7 v2; the text says why, and quotes nothing of it."""


@dataclass(frozen=True)
class Separators:
    """What stands between fields, components, repetitions and subcomponents, and begins an escape."""

    field: str
    component: str = "^"
    repetition: str = "~"
    escape: str = "\\"
    sub: str = "&"

    def plain(self, text: str) -> str:
        """A value without its escapes; what only says how to print it is left out."""
        if self.escape not in text:
            return text
        if self.escape != "\\":
            text = text.replace(self.escape, "\\")
        return ESCAPED.sub(lambda found: self._meant(found[1]), text)

    def _meant(self, code: str) -> str:
        named = {"F": self.field, "S": self.component, "T": self.sub, "R": self.repetition, "E": self.escape}
        if code in named:
            return named[code]
        if code.startswith("X"):
            try:
                return bytes.fromhex(code[1:]).decode("utf-8", errors="replace")
            except ValueError:
                return ""
        return "\n" if code.startswith((".br", ".sp")) else ""


@dataclass(frozen=True)
class Segment:
    """A line of a message. Fields, components and subcomponents are counted from one, as HL7 does."""

    name: str
    fields: Sequence[str]
    by: Separators

    def raw(self, field: int) -> str:
        """A field as it came; nothing where the segment is shorter."""
        return self.fields[field] if field < len(self.fields) else ""

    def repeats(self, field: int) -> Iterator[str]:
        yield from (one for one in self.raw(field).split(self.by.repetition) if one)

    def part(self, repeat: str, component: int, sub: int = 1) -> str:
        """A part of one repetition, without escapes; what the sender has deleted is nothing."""
        components = repeat.split(self.by.component)
        found = components[component - 1] if component <= len(components) else ""
        subs = found.split(self.by.sub)
        value = self.by.plain(subs[sub - 1]).strip() if sub <= len(subs) else ""
        return "" if value == DELETED else value

    def value(self, field: int, component: int = 1) -> str:
        """The first repetition's part of a field."""
        return self.part(next(self.repeats(field), ""), component)


@dataclass(frozen=True)
class Message:
    """The segments of a message; `guessed` where its character set was not the one it names."""

    segments: tuple[Segment, ...]
    guessed: bool = False

    def first(self, name: str) -> Segment:
        """The first segment of a name, or an empty one."""
        empty = Segment(name, (), self.header.by)
        return next((segment for segment in self.segments if segment.name == name), empty)

    @property
    def header(self) -> Segment:
        return self.segments[0]

    @property
    def kind(self) -> str:
        """What it is, such as ADT. MSH-9 is believed, not EVN-1, which senders forget to change."""
        return self.header.value(9, 1)

    @property
    def event(self) -> str:
        """What happened, such as A01."""
        return self.header.value(9, 2)

    @property
    def named(self) -> str:
        """Type and event as they may stand in a list or a log, such as adt-a03; nothing where it has no type."""
        return "-".join(part.lower() for part in (self.kind, self.event) if CODE.fullmatch(part))


def text_of(raw: bytes, charset: str) -> str:
    """A message as people read it, also one that is none; `charset` is that of a message that names none."""
    raw = raw.lstrip(BEFORE)
    return _decoded(raw, _named_charset(raw[:1000].decode("ascii", errors="replace")) or charset)[0]


def read(raw: bytes, charset: str) -> Message:
    """Read one message. `charset` is that of a message that names none. Raises `Unreadable`."""
    raw = raw.lstrip(BEFORE)
    head = raw[:1000].decode("ascii", errors="replace")
    if not head.startswith("MSH") or len(head) < 8:
        raise Unreadable("it does not begin with MSH")
    by = _separators(head)
    text, guessed = _decoded(raw, _named_charset(head) or charset)
    lines = [line.strip(FRAMES) for line in re.split(r"\r\n|\r|\n", text)]
    segments = tuple(_segment(line, by) for line in lines if line.strip())
    if any(s.name in ("FHS", "BHS") for s in segments) or sum(s.name == "MSH" for s in segments) > 1:
        raise Unreadable("it is a batch; send one message at a time")
    return Message(segments, guessed)


def _named_charset(head: str) -> str | None:
    """The character set that MSH-18 names, where it is one that we know."""
    first = re.split(r"[\r\n]", head, maxsplit=1)[0].split(head[3:4] or "|")
    named = re.split(r"[^A-Z0-9 /-]", first[17].strip().upper())[0] if len(first) > 17 else ""
    return CHARSETS.get(named)


def _separators(head: str) -> Separators:
    field, rest = head[3], head[4:].split(head[3], 1)[0]
    if field.isalnum() or not rest:
        raise Unreadable("MSH names no separators")
    return Separators(field, *rest[:4])


def _decoded(raw: bytes, charset: str) -> tuple[str, bool]:
    """The text, and whether its character set had to be guessed; in the last one every byte is a character."""
    for tried in (charset, "utf-8", "cp1252"):
        try:
            return raw.decode(tried), tried != charset
        except UnicodeDecodeError:
            continue
    return raw.decode("iso-8859-1"), True


def _segment(line: str, by: Separators) -> Segment:
    fields = line.split(by.field)
    if fields[0] == "MSH":  # the separator itself is MSH-1
        fields = ["MSH", by.field, *fields[1:]]
    return Segment(fields[0].strip(), tuple(fields), by)
