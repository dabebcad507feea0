"""Reader of .bounds: what each message may hold at most, what happens above that, and which message is which event.

    Identify                   framed uvarint at most 8192      every message that no other holds; `framed …` may be absent
    Identify.publicKey         at most 2048         refuse      every field with bytes or text
    Identify.listenAddrs       at most 64 of 256    drop        every repeated field; `of SIZE` only for bytes and text
    PublicKey.Type             known                refuse      an enum that may only hold its listed values
    PeerRecord.inner           lazy at most 4096    refuse      a message kept as bytes, to be read later
    Identify                   order 5 6 1 2 3 4 8              of writing, when it is not that of the numbers
    event hop.ok when HopMessage.type = STATUS & status = OK
    event hop.odd else HopMessage                               what no other row of the message takes

`drop` leaves out what breaks the limit, `refuse` refuses the whole message.
"""
import itertools
import re
from dataclasses import dataclass

from gen.report import SpecError
from gen.wirec import names
from gen.wirec.proto import TEXTS
from gen.wirec.rows import rows

DEEPEST = 8
POLICIES = ("drop", "refuse")
EVENT = re.compile(r"[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*")


@dataclass
class Term:
    """One condition: a field is (not) there, or an enum or number is (not) a value."""
    field: object
    negated: bool
    value: object = None   # None asks for presence only


@dataclass
class Event:
    name: str
    line: int
    terms: list


class Reader:
    def __init__(self, place, file):
        self.place, self.file = place, file

    def message(self, row, name):
        if name not in self.file.messages:
            row.fail(f"no message '{name}' in {self.file.place}")
        return self.file.messages[name]

    def subject(self, row):
        """What a row is about: a message, or a field of one."""
        word = row.take("a message or field")
        if word in self.file.messages:
            return self.file.messages[word], None
        owner, _, name = word.rpartition(".")
        message = self.message(row, owner or word)
        return message, self.field(row, message, name)

    def field(self, row, message, name):
        for field in message.fields:
            if field.name == name:
                return field
        row.fail(f"{message.name} has no field '{name}'")

    def read(self, text):
        for row in rows(self.place, text):
            if row.accept("event"):
                self.event(row)
                continue
            message, field = self.subject(row)
            if field:
                self.bound(row, message, field)
            elif row.accept("order"):
                self.order(row, message)
            else:
                self.whole(row, message)
            row.end()

    def whole(self, row, message):
        if message.limit:
            row.fail(f"{message.name} has its limit already")
        if row.accept("framed"):
            message.framed = row.choice("framing", ("uvarint", "u16be", "u32be"))
        row.expect("at", "most")
        message.limit = row.number("the limit in bytes", 1)
        if message.framed == "u16be" and message.limit > 0xFFFF:
            row.fail(f"{message.name}: a u16be length cannot say {message.limit}")

    def order(self, row, message):
        if message.order:
            row.fail(f"{message.name} has its order already")
        while row.peek() is not None:
            message.order.append(row.number("a field number"))
        if sorted(message.order) != [f.number for f in message.fields]:
            row.fail(f"{message.name}: the order must name each field number once: "
                     + " ".join(str(f.number) for f in message.fields))

    def bound(self, row, message, field):
        where = f"{message.name}.{field.name}"
        if field.policy:
            row.fail(f"{where} has its bound already")
        if row.accept("known"):
            if field.kind != "enum":
                row.fail(f"{where} is no enum, so nothing can be known of its values")
            field.known = True
        if row.accept("lazy"):
            if field.kind != "message":
                row.fail(f"{where} is no message, so it cannot be lazy")
            field.lazy, field.kind, field.of = True, "bytes", None
        if row.accept("at"):
            row.expect("most")
            self.sizes(row, field, where)
        elif not field.known or field.label == "repeated":
            row.fail(f"{where}: 'at most' should stand here")
        field.policy = row.choice("policy", POLICIES)

    def sizes(self, row, field, where):
        first = row.number("the limit", 1)
        if field.label != "repeated":
            if field.kind not in TEXTS:
                row.fail(f"{where} is one {field.kind} and has no size to limit")
            field.limit = first
            return
        field.most = first
        if field.kind in TEXTS:
            row.expect("of")
            field.limit = row.number("the limit in bytes", 1)

    def event(self, row):
        name = row.take("an event")
        if not EVENT.fullmatch(name):
            row.fail(f"'{name}' is no event: subject.verb_past")
        if row.accept("else"):
            message = self.message(row, row.take("a message"))
            if message.otherwise:
                row.fail(f"{message.name} has its else already")
            message.otherwise = Event(name, row.line, [])
            row.end()
            return
        row.expect("when")
        message, terms = None, []
        while True:
            word = row.take("a field")
            negated = word.startswith("!")
            word = word.lstrip("!")
            if message is None:
                owner, _, word = word.rpartition(".")
                message = self.message(row, owner)
            terms.append(self.term(row, message, word, negated))
            if not row.accept("&"):
                break
        row.end()
        message.events.append(Event(name, row.line, terms))

    def term(self, row, message, word, negated):
        field = self.field(row, message, word)
        if row.peek() not in ("=", "!="):
            if field.label == "required":
                row.fail(f"{message.name}.{field.name} is required, so it is always there")
            return Term(field, negated)
        if negated:
            row.fail("'!' and a comparison exclude each other; write != instead")
        negated = row.take("a comparison") == "!="
        value = row.take("a value")
        if field.label == "repeated" or field.kind != "enum":
            row.fail(f"{message.name}.{field.name}: only a single enum can be compared")
        if value not in field.of.values:
            row.fail(f"{field.of.name} has no value '{value}'")
        return Term(field, negated, value)


def holds(event, situation):
    """situation: field name -> None (absent), or the name of an enum's value, or "…" (there, with some other value)."""
    for term in event.terms:
        has = situation[term.field.name]
        truth = has is not None if term.value is None else has == term.value
        if term.value is not None and has is None:
            return False
        if truth == term.negated:
            return False
    return True


def situations(events):
    """All that the rows of one message can tell apart."""
    fields = {t.field.name: t.field for e in events for t in e.terms}
    choices = []
    for field in fields.values():
        seen = list(field.of.values) if field.kind == "enum" and field.label != "repeated" else []
        if not field.known:
            seen.append("…")
        choices.append(([] if field.label == "required" else [None]) + seen)
    return [dict(zip(fields, choice)) for choice in itertools.product(*choices)]


def described(situation):
    return " & ".join(f"!{n}" if v is None else n if v == "…" else f"{n} = {v}" for n, v in situation.items())


def check_events(place, message):
    for situation in situations(message.events):
        taken = [e for e in message.events if holds(e, situation)]
        if len(taken) > 1:
            raise SpecError(place, taken[1].line,
                            f"{message.name}: {described(situation)} is {taken[0].name} of line {taken[0].line} already")
    for event in message.events:
        if not any(holds(event, s) for s in situations(message.events)):
            raise SpecError(place, event.line, f"{message.name}: no message can be {event.name}")


def held(message):
    return [f.of for f in message.fields if f.kind == "message"]


def sorted_by_use(file):
    """Each message after those that it holds; one that holds itself would never end and must be lazy somewhere."""
    done, order = {}, []

    def visit(message, path):
        if message.name in path:
            raise SpecError(file.place, message.line, f"{message.name} holds itself; make a field lazy in .bounds")
        if message.name not in done:
            depth = 1 + max((visit(inner, path + [message.name]) for inner in held(message)), default=0)
            if depth > DEEPEST:
                raise SpecError(file.place, message.line, f"{message.name}: nested deeper than {DEEPEST}")
            done[message.name] = depth
            order.append(message)
        return done[message.name]

    for message in file.messages.values():
        visit(message, [])
    return {m.name: m for m in order}


def check_complete(place, file):
    inside = {inner.name for m in file.messages.values() for inner in held(m)}
    for message in file.messages.values():
        if not message.limit and message.name not in inside:
            raise SpecError(place, 1, f"{message.name}: no limit; a line '{message.name} at most BYTES' is missing")
        message.order = message.order or [f.number for f in message.fields]
        for f in message.fields:
            needs = f.label == "repeated" or f.kind in TEXTS
            if needs and not f.policy:
                form = " of ".join(["COUNT"] * (f.label == "repeated") + ["BYTES"] * (f.kind in TEXTS))
                raise SpecError(place, 1, f"{message.name}.{f.name}: no limit; a line "
                                          f"'{message.name}.{f.name} at most {form} drop|refuse' is missing")
            f.policy = f.policy or "refuse"


def read(spec_dir, file):
    path = spec_dir / "proto" / f"{file.stem}.bounds"
    place = names.place(spec_dir, path)
    if not path.exists():
        raise SpecError(file.place, 1, f"{place} is missing: every message needs its limits")
    reader = Reader(place, file)
    reader.read(path.read_text())
    file.messages = sorted_by_use(file)
    check_complete(place, file)
    for message in file.messages.values():
        check_events(place, message)
    return file
