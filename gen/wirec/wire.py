"""Reader of .wire: fixed headers, framings and JSON messages.

    header  NAME  big-endian  BYTES
      FIELD  u8|u16|u32|u64  [= N | one of WORD N, WORD N … | bits WORD N, WORD N …]
      refuse  TERM & TERM …  as ERROR        TERM: WORD, !WORD, FIELD = N, FIELD != N, FIELD < N, FIELD > N
    frame   NAME  uvarint|u16be|u32be  at most BYTES
    json    NAME  framed uvarint|u16be|u32be  at most BYTES
      KEY    string LOW .. HIGH | bool  [need]

A header's `= N` fails with the error HEADER_FIELD, `one of` likewise; ERROR is a name of errors.list.
"""
from dataclasses import dataclass, field

from gen.wirec import names
from gen.wirec.rows import Row, rows

WIDTHS = {"u8": 1, "u16": 2, "u32": 4, "u64": 8}
FRAMINGS = ("uvarint", "u16be", "u32be")
COMPARISONS = {"=": "==", "!=": "!=", "<": "<", ">": ">"}
JSON_MOST_KEYS = 64


@dataclass
class HeaderField:
    name: str
    width: int
    constant: object = None
    choices: dict = field(default_factory=dict)  # word -> number, the only values allowed
    bits: dict = field(default_factory=dict)     # word -> mask


@dataclass
class Term:
    field: object
    compare: str           # of C: ==, !=, <, >, or & and !& for bits
    value: int
    text: str


@dataclass
class Refusal:
    terms: list
    error: str
    line: int


@dataclass
class Header:
    name: str
    size: int
    row: Row
    fields: list = field(default_factory=list)
    refusals: list = field(default_factory=list)


@dataclass
class Frame:
    name: str
    framing: str
    most: int


@dataclass
class Key:
    name: str
    kind: str
    least: int
    most: int
    need: bool


@dataclass
class Json:
    name: str
    framing: str
    most: int
    row: Row
    keys: list = field(default_factory=list)


@dataclass
class File:
    stem: str
    place: str
    headers: list = field(default_factory=list)
    frames: list = field(default_factory=list)
    jsons: list = field(default_factory=list)


class Reader:
    def __init__(self, file, errors):
        self.file, self.errors = file, errors
        self.open = None
        self.seen = set()

    def read(self, text):
        for row in rows(self.file.place, text):
            if row.indented:
                self.inner(row)
            else:
                self.outer(row)
            row.end()
        self.close()

    def outer(self, row):
        self.close()
        kind = row.choice("word to begin a line with", ("header", "frame", "json"))
        name = row.name(f"a {kind}")
        if name in self.seen:
            row.fail(f"'{name}' is there already")
        self.seen.add(name)
        if kind == "header":
            row.expect("big-endian")
            self.open = Header(name, row.number("the size in bytes", 1, 64), row)
            self.file.headers.append(self.open)
        elif kind == "frame":
            self.file.frames.append(Frame(name, *self.framing(row)))
        else:
            row.expect("framed")
            self.open = Json(name, *self.framing(row), row)
            self.file.jsons.append(self.open)

    def framing(self, row):
        framing = row.choice("framing", FRAMINGS)
        row.expect("at", "most")
        return framing, row.number("the limit in bytes", 1, 0xFFFF if framing == "u16be" else (1 << 32) - 1)

    def inner(self, row):
        if isinstance(self.open, Header):
            if row.accept("refuse"):
                self.refusal(row, self.open)
            else:
                self.header_field(row, self.open)
        elif isinstance(self.open, Json):
            self.key(row, self.open)
        else:
            row.fail("an indented line belongs to a header or json above it; there is none")

    def close(self):
        """What can only be said about a whole header or message."""
        if isinstance(self.open, Header):
            total = sum(f.width for f in self.open.fields)
            if total != self.open.size:
                self.open.row.fail(f"header {self.open.name}: its fields have {total} bytes, not {self.open.size}")
        elif isinstance(self.open, Json) and not self.open.keys:
            self.open.row.fail(f"json {self.open.name} has no keys")
        self.open = None

    def header_field(self, row, header):
        if header.refusals:
            row.fail(f"header {header.name}: fields stand before the refusals")
        name = row.name("a field")
        if name in [f.name for f in header.fields]:
            row.fail(f"header {header.name} has a field '{name}' already")
        f = HeaderField(name, WIDTHS[row.choice("type", tuple(WIDTHS))])
        highest = (1 << 8 * f.width) - 1
        if row.accept("="):
            f.constant = row.number("the value", 0, highest)
            self.error(row, f"{header.name}_{name}")
        elif row.accept("one"):
            row.expect("of")
            f.choices = self.words(row, header, highest)
            self.error(row, f"{header.name}_{name}")
        elif row.accept("bits"):
            f.bits = self.words(row, header, highest)
            for word, value in f.bits.items():
                if value == 0 or value & (value - 1):
                    row.fail(f"'{word} {value}': a bit is a power of two")
        header.fields.append(f)

    def words(self, row, header, highest):
        found = {}
        taken = {w for f in header.fields for w in (*f.choices, *f.bits)} | {f.name for f in header.fields}
        while True:
            word = row.name("a value")
            if word in found or word in taken:
                row.fail(f"header {header.name} has a word '{word}' already")
            value = row.number("the value", 0, highest)
            if value in found.values():
                row.fail(f"'{word} {value}': another word has that value already")
            found[word] = value
            if not row.accept(","):
                return found

    def error(self, row, name):
        if name not in self.errors:
            row.fail(f"no error '{name}' in errors.list")
        return name

    def refusal(self, row, header):
        terms = []
        while True:
            terms.append(self.term(row, header))
            if not row.accept("&"):
                break
        row.expect("as")
        header.refusals.append(Refusal(terms, self.error(row, row.take("an error")), row.line))

    def term(self, row, header):
        word = row.take("a condition")
        bare = word.lstrip("!")
        for f in header.fields:
            if bare in f.choices:
                return Term(f, "!=" if word != bare else "==", f.choices[bare], word)
            if bare in f.bits:
                return Term(f, "!&" if word != bare else "&", f.bits[bare], word)
            if word == f.name:
                sign = row.choice("comparison", tuple(COMPARISONS))
                value = row.number("the value", 0, (1 << 8 * f.width) - 1)
                return Term(f, COMPARISONS[sign], value, f"{word} {sign} {value}")
        row.fail(f"header {header.name} knows no '{bare}'")

    def key(self, row, message):
        name = row.name("a key")
        if name in [k.name for k in message.keys]:
            row.fail(f"json {message.name} has a key '{name}' already")
        kind, least, most = row.choice("type", ("string", "bool")), 0, 0
        if kind == "string":
            least = row.number("the least length in bytes", 0, message.most)
            row.expect("..")
            most = row.number("the greatest length in bytes", least, message.most)
        message.keys.append(Key(name, kind, least, most, row.accept("need")))
        if len(message.keys) > JSON_MOST_KEYS:
            row.fail(f"json {message.name}: more than {JSON_MOST_KEYS} keys")


def error_names(spec_dir):
    path = spec_dir / "errors.list"
    if not path.exists():
        return set()
    return {row.words[0] for row in rows(names.place(spec_dir, path), path.read_text())}


def read(spec_dir, path, errors):
    file = File(path.stem, names.place(spec_dir, path))
    Reader(file, errors).read(path.read_text())
    return file
