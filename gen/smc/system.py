"""Systems: which machines step together, who hears what, what the world may do, and what must hold.
The reader and its checks; write_system.py has the outputs."""
import dataclasses

from gen.report import SpecError
from gen.smc.reader import PLAIN, Line, near, strip_comment

PROPERTIES = ("always", "never", "leads", "reach", "apart", "commute", "classes")


@dataclasses.dataclass
class Property:
    line: int
    kind: str            # stays, iff, implies, never, leads, reach, apart, commute, classes
    text: str            # as written, for messages
    name: str = ""       # after `as`
    left: list = dataclasses.field(default_factory=list)    # of conjunctions of atoms: (machine, kind, value, wanted)
    right: list = dataclasses.field(default_factory=list)
    events: list = dataclasses.field(default_factory=list)
    others: list = dataclasses.field(default_factory=list)  # events to commute with
    parts: list = dataclasses.field(default_factory=list)   # (machine, flag or "")
    count: tuple = (0, 0)


@dataclasses.dataclass
class System:
    name: str
    path: str
    line: int
    machines: dict                                            # all machines of the spec
    product: list = dataclasses.field(default_factory=list)
    hear: list = dataclasses.field(default_factory=list)
    first: str = ""
    given: list = dataclasses.field(default_factory=list)     # (machine, fact, condition, as written)
    fair: list = dataclasses.field(default_factory=list)      # timer events
    properties: list = dataclasses.field(default_factory=list)

    @property
    def factors(self):
        return [self.machines[name] for name in self.hear]

    def all_events(self):
        """Events of the outside by name, in the order in which the factors name them: not timers, not emitted."""
        emitted = {(hearer, emit.event) for m in self.machines.values() for row in m.rows for emit in row.emits
                   for hearer in (m.owners if emit.to == "owner" else [emit.machine])}
        names = {}
        for m in self.factors:
            for event in m.events.values():
                inside = event.timer or ((m.name, event.name) in emitted and event.source not in ("world", "wire"))
                if not inside:
                    names.setdefault(event.name, event.shown)
                    names[event.name] = names[event.name] or event.shown
        return names


def load(spec_dir, machines):
    return [read(f, f"{spec_dir.name}/system/{f.name}", machines) for f in sorted((spec_dir / "system").glob("*.sys"))]


def read(path, shown_path, machines):
    return Reader(shown_path, machines).read(path.read_text(encoding="utf-8"), path.stem)


class Reader:
    def __init__(self, path, machines):
        self.path, self.machines, self.s = path, machines, None
        self.block = ""

    def read(self, text, stem):
        for number, raw in enumerate(text.splitlines(), 1):
            body = strip_comment(raw)
            if not body.strip():
                continue
            line = Line(self.path, number, body)
            line.text = " ".join(body.split())
            if body[0].isspace():
                self.indented(line)
            else:
                self.header(line)
            line.end()
        if self.s is None:
            raise SpecError(self.path, 1, "no system line")
        if self.s.name != stem:
            raise SpecError(self.path, self.s.line, f"system {self.s.name} must live in {self.s.name}.sys")
        self.finish()
        return self.s

    def header(self, line):
        word = line.next
        if self.s is None and word != "system":
            line.fail("the system line comes first")
        if word not in ("system", "hear", "first", "world", *PROPERTIES):
            line.fail(f"expected one of system, hear, first, world, {', '.join(PROPERTIES)}; found '{word}'")
        line.at = 1
        self.block = word
        if word in PROPERTIES:
            if set(self.s.hear) != set(self.s.product):
                line.fail("properties come after the product and its `hear` line")
            prop = getattr(self, "p_" + word)(line)
            prop.text, prop.line = line.text, line.number
            prop.name = line.shown()
            self.s.properties.append(prop)
        elif word != "world":
            getattr(self, "h_" + word)(line)

    def h_system(self, line):
        if self.s is not None:
            line.fail("a second system line: one system a file")
        self.s = System(line.name("the system's name", PLAIN), self.path, line.number, self.machines)

    def h_hear(self, line):
        for name in line.names("a machine's name", PLAIN):
            self.factor(line, name)
            if name in self.s.hear:
                line.fail(f"machine {name} twice")
            self.s.hear.append(name)
        for name in self.s.product:
            if name not in self.s.hear:
                line.fail(f"machine {name} is in the product but hears nothing")

    def h_first(self, line):
        self.s.first = self.outside(line)

    def indented(self, line):
        if self.block == "system":
            while True:
                name = line.name("a machine's name", PLAIN)
                if name not in self.machines:
                    line.fail(f"no machine is named {name}{near(name, self.machines)}")
                if name in self.s.product:
                    line.fail(f"machine {name} twice")
                self.s.product.append(name)
                if not line.take("*"):
                    return
        if self.block != "world":
            line.fail("an indented line belongs below `system` or `world`")
        if line.need("given", "fair") == "given":
            token = line.name("machine.fact")
            machine, _, fact = token.partition(".")
            self.factor(line, machine)
            if fact not in self.machines[machine].facts:
                line.fail(f"machine {machine} has no fact {fact}{near(fact, self.machines[machine].facts)}")
            line.need("when")
            self.s.given.append((machine, fact, self.condition(line), line.text))
        else:
            while True:
                self.s.fair.append(self.timer_event(line))
                if not line.take(","):
                    return

    def timer_event(self, line):
        name = line.next
        for m in self.s.factors:
            if name in m.events and m.events[name].timer:
                line.at += 1
                return name
        line.fail(f"{name or 'end of line'}: a timer's event (x.fired) expected; only a timer can be promised to fire")

    def factor(self, line, name):
        if name not in self.s.product:
            line.fail(f"no machine of this product is named {name}{near(name, self.s.product)}")

    def outside(self, line):
        name = line.next
        events = self.s.all_events()
        if name not in events:
            line.fail(f"no event from outside is named {name or 'that'}{near(name, events)}")
        line.at += 1
        return name

    def outsides(self, line):
        out = [self.outside(line)]
        while line.take(","):
            out.append(self.outside(line))
        return out

    # Conditions: alternatives of conjunctions of atoms

    def condition(self, line):
        out = [self.conjunction(line)]
        while line.take("|"):
            out.append(self.conjunction(line))
        return out

    def conjunction(self, line):
        out = self.atom(line)
        while line.take("&"):
            # `phase has ready & judged`: a bare flag belongs to the machine before it
            if line.next in self.machines[out[-1][0]].flags and out[-1][1] == "flag":
                out.append((out[-1][0], "flag", line.next, True))
                line.at += 1
            else:
                out += self.atom(line)
        return out

    def atom(self, line):
        name = line.name("a machine's name", PLAIN)
        self.factor(line, name)
        m = self.machines[name]
        wanted = not line.take("not")
        word = line.need("in", "has", "runs")
        if word == "in":
            states = []
            while True:
                state = line.name("a state's name", PLAIN)
                if state not in m.states:
                    line.fail(f"machine {name} has no state {state}{near(state, m.states)}")
                states.append(state)
                if not line.take(","):
                    return [(name, "states", tuple(states), wanted)]
        thing = line.name("a name", PLAIN)
        table, kind = (m.flags, "flag") if word == "has" else (m.timers, "timer")
        if thing not in table:
            line.fail(f"machine {name} has no {kind} {thing}{near(thing, table)}")
        return [(name, kind, thing, wanted)]

    # Properties

    def p_always(self, line):
        left = self.condition(line)
        kind = line.need("stays", "iff", "implies")
        return Property(0, kind, "", left=left, right=[] if kind == "stays" else self.condition(line))

    def p_never(self, line):
        return Property(0, "never", "", left=self.condition(line))

    def p_leads(self, line):
        left = self.condition(line)
        line.need("to")
        right = self.condition(line)
        line.need("when")
        line.need("fair")
        return Property(0, "leads", "", left=left, right=right)

    def p_reach(self, line):
        left = self.condition(line)
        line.need("by")
        event = self.timer_event(line) if line.next.endswith(".fired") else self.outside(line)
        return Property(0, "reach", "", left=left, events=[event])

    def p_apart(self, line):
        events = self.outsides(line)
        line.need("from")
        parts = []
        while True:
            token = line.name("a machine, or machine.flag")
            machine, _, flag = token.partition(".")
            self.factor(line, machine)
            if flag and flag not in self.machines[machine].flags:
                line.fail(f"machine {machine} has no flag {flag}{near(flag, self.machines[machine].flags)}")
            parts.append((machine, flag))
            if not line.take(","):
                return Property(0, "apart", "", events=events, parts=parts)

    def p_commute(self, line):
        events = self.outsides(line)
        line.need("with")
        return Property(0, "commute", "", events=events, others=self.outsides(line))

    def p_classes(self, line):
        parts = []
        while True:
            name = line.name("a machine's name", PLAIN)
            self.factor(line, name)
            parts.append((name, ""))
            if not line.take("*"):
                break
        reached = line.number_token("how many are reached")
        line.need("of")
        every = line.number_token("how many there are")
        product = 1
        for name, _ in parts:
            product *= len({s.shown or s.name for s in self.machines[name].states.values()})
        if product != every:
            line.fail(f"{every}: the shown states of {' * '.join(n for n, _ in parts)} make {product}")
        return Property(0, "classes", "", parts=parts, count=(reached, every))

    def finish(self):
        s = self.s
        if not s.product:
            raise SpecError(self.path, s.line, f"system {s.name}: no product line")
        if not s.hear:
            raise SpecError(self.path, s.line, f"system {s.name}: no hear line")
        names = {}
        for name in s.all_events():
            other = names.setdefault(name.replace(".", "_"), name)
            if other != name:
                raise SpecError(self.path, s.line, f"events {other} and {name} have the same C name")
