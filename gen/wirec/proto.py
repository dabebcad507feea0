"""Reader of .proto: the part of proto2 that libp2p needs, in our own hand. Every label is written out.

Not in the language: groups, maps, oneof (write the arms as optional and let .bounds tell them apart), services,
options, imports, extensions, defaults and floating point.
"""
import re
from dataclasses import dataclass, field

from gen.report import SpecError
from gen.wirec import names

NUMBERS = {"bool": 1, "int32": 4, "int64": 8, "uint32": 4, "uint64": 8, "sint32": 4, "sint64": 8, "fixed32": 4, "fixed64": 8}
TEXTS = ("bytes", "string")
LABELS = ("optional", "required", "repeated")
HIGHEST = (1 << 29) - 1
TOKEN = re.compile(r"\s*(//[^\n]*|[A-Za-z_][A-Za-z_0-9.]*|-?[0-9]+|[{}=;]|\S)")


@dataclass
class Enum:
    name: str
    line: int
    values: dict = field(default_factory=dict)


@dataclass
class Field:
    name: str
    label: str
    type: str
    number: int
    line: int
    kind: str = ""         # a name of NUMBERS or TEXTS, or "enum" or "message"
    of: object = None      # the Enum or Message
    most: int = 1          # from here on filled in by .bounds
    limit: int = 0
    policy: str = ""
    known: bool = False
    lazy: bool = False


@dataclass
class Message:
    name: str
    line: int
    fields: list = field(default_factory=list)
    limit: int = 0         # from here on filled in by .bounds
    framed: str = ""
    order: list = field(default_factory=list)
    events: list = field(default_factory=list)
    otherwise: object = None


@dataclass
class File:
    stem: str
    place: str
    enums: dict
    messages: dict         # each after those that it holds


class Reader:
    def __init__(self, place, text):
        self.place = place
        self.tokens = []
        for number, line in enumerate(text.splitlines(), 1):
            self.tokens += [(t, number) for t in TOKEN.findall(line) if not t.startswith("//")]
        self.at = 0
        self.enums, self.messages = {}, {}

    def fail(self, line, message):
        raise SpecError(self.place, line, message)

    def line(self):
        return self.tokens[min(self.at, len(self.tokens) - 1)][1] if self.tokens else 1

    def take(self, what=None):
        if self.at >= len(self.tokens):
            self.fail(self.line(), f"the file ends where {what or 'more'} should stand")
        token, line = self.tokens[self.at]
        self.at += 1
        if what in ("{", "}", "=", ";") and token != what:
            self.fail(line, f"'{token}' where '{what}' should stand")
        return token

    def name(self, what):
        token = self.take(what)
        if not re.fullmatch(r"[A-Za-z_][A-Za-z_0-9]*", token):
            self.fail(self.tokens[self.at - 1][1], f"'{token}' is not a name; {what} should stand here")
        return token

    def number(self, what):
        token = self.take(what)
        if not re.fullmatch(r"-?[0-9]+", token):
            self.fail(self.tokens[self.at - 1][1], f"'{token}' is not a number; {what} should stand here")
        return int(token)

    def file(self):
        while self.at < len(self.tokens):
            line = self.line()
            word = self.take()
            if word == "enum":
                self.enum("")
            elif word == "message":
                self.message("")
            else:
                self.fail(line, f"'{word}': only enum and message may stand here")

    def declare(self, outer, line):
        name = outer + self.name("a name")
        if name in self.enums or name in self.messages:
            self.fail(line, f"'{name}' is there already")
        return name

    def enum(self, outer):
        line = self.line()
        enum = Enum(self.declare(outer, line), line)
        self.enums[enum.name] = enum
        self.take("{")
        while self.tokens[self.at:] and self.tokens[self.at][0] != "}":
            line = self.line()
            name = self.name("a value's name")
            self.take("=")
            value = self.number("its number")
            self.take(";")
            if name in enum.values or value in enum.values.values():
                self.fail(line, f"{enum.name}: '{name} = {value}' is there already")
            if not -(1 << 31) <= value < 1 << 31:
                self.fail(line, f"{enum.name}.{name}: {value} does not fit into 32 bits")
            enum.values[name] = value
        self.take("}")
        if not enum.values:
            self.fail(enum.line, f"{enum.name} has no values")

    def message(self, outer):
        line = self.line()
        message = Message(self.declare(outer, line), line)
        self.messages[message.name] = message
        self.take("{")
        while self.tokens[self.at:] and self.tokens[self.at][0] != "}":
            line = self.line()
            word = self.take()
            if word == "enum":
                self.enum(message.name + ".")
            elif word == "message":
                self.message(message.name + ".")
            elif word in LABELS:
                message.fields.append(self.field(message, word, line))
            else:
                self.fail(line, f"{message.name}: '{word}' where a label (optional, required, repeated) should stand")
        self.take("}")

    def field(self, message, label, line):
        kind = self.take("a type")
        name = self.name("a field's name")
        self.take("=")
        number = self.number("its number")
        self.take(";")
        if not 1 <= number <= HIGHEST:
            self.fail(line, f"{message.name}.{name}: field numbers go from 1 to {HIGHEST}")
        for other in message.fields:
            if other.number == number or names.c_field(other.name) == names.c_field(name):
                self.fail(line, f"{message.name}.{name} = {number} clashes with {other.name} = {other.number}")
        return Field(name, label, kind, number, line)

    def resolve(self):
        """Types get their meaning; as in proto2, the innermost scope that knows a name wins."""
        for message in self.messages.values():
            for f in message.fields:
                if f.type in NUMBERS or f.type in TEXTS:
                    f.kind = f.type
                    continue
                scope = message.name.split(".")
                for depth in range(len(scope), -1, -1):
                    full = ".".join(scope[:depth] + [f.type])
                    if full in self.enums or full in self.messages:
                        f.kind = "enum" if full in self.enums else "message"
                        f.of = self.enums.get(full) or self.messages[full]
                        break
                else:
                    self.fail(f.line, f"{message.name}.{f.name}: unknown type '{f.type}'")
            message.fields.sort(key=lambda f: f.number)


def read(spec_dir, path):
    place = names.place(spec_dir, path)
    reader = Reader(place, path.read_text())
    reader.file()
    reader.resolve()
    return File(path.stem, place, reader.enums, reader.messages)
