"""Systems: which machines step together, who hears what, what the world may do, and what must hold.
The reader and its checks; write_system.py has the outputs."""
import dataclasses
import functools

from gen.report import SpecError
from gen.smc import ends
from gen.smc.check import find_cycle, hearers
from gen.smc.reader import NAME, PLAIN, Line, near, strip_comment

PROPERTIES = ("always", "never", "leads", "reach", "after", "moves", "entry", "apart", "commute", "classes")
HEADERS = ("system", "table", "large", "hear", "enter", "drive", "first", "world", "ends", "channel", "open")


@dataclasses.dataclass
class Property:
    line: int
    kind: str            # stays, iff, implies, follows, or the word that begins the line
    text: str            # as written, for messages
    name: str = ""       # after `as`
    left: list = dataclasses.field(default_factory=list)    # of conjunctions of atoms: (machine, kind, value, wanted)
    right: list = dataclasses.field(default_factory=list)
    events: list = dataclasses.field(default_factory=list)
    others: list = dataclasses.field(default_factory=list)  # events to commute with
    parts: list = dataclasses.field(default_factory=list)   # (machine, flag or "")
    count: tuple = (0, 0)
    facts: list = dataclasses.field(default_factory=list)   # (machine, fact, wanted): only runs that answer so
    acts: list = dataclasses.field(default_factory=list)    # (machine, action)


@dataclasses.dataclass
class Tie:
    """What an action of one machine does to another in the same turn: an event, and before it perhaps a new life."""
    machine: str
    action: str
    to: str
    event: str           # may be empty when it enters
    enters: bool
    when: list           # a condition; empty: always
    text: str


@dataclasses.dataclass
class System:
    name: str
    path: str
    line: int
    machines: dict                                            # all machines of the spec
    product: list = dataclasses.field(default_factory=list)
    others: dict = dataclasses.field(default_factory=dict)    # further instances of a machine: their name -> its name
    hear: list = dataclasses.field(default_factory=list)
    table: bool = False                                       # the core dispatches by it: write it out in C
    large: bool = False                                       # too many configurations to be searched for every mutant
    sums: list = dataclasses.field(default_factory=list)      # lists of arms
    ties: list = dataclasses.field(default_factory=list)
    first: list = dataclasses.field(default_factory=list)     # one of these, once, before everything else
    may: list = dataclasses.field(default_factory=list)       # (event, condition, as written)
    given: list = dataclasses.field(default_factory=list)     # (machine, fact, condition, as written)
    fair: list = dataclasses.field(default_factory=list)      # timer events
    without: list = dataclasses.field(default_factory=list)   # events that the world leaves out
    due: list = dataclasses.field(default_factory=list)       # (event from outside, condition, as written): comes at last where it holds
    properties: list = dataclasses.field(default_factory=list)
    ends: list = dataclasses.field(default_factory=list)      # (side, system), when there are two
    channels: list = dataclasses.field(default_factory=list)
    opening: object = None
    arriving: list = dataclasses.field(default_factory=list)  # channels on which what is under way arrives at last

    @property
    def factors(self):
        return [self.machines[name] for name in self.hear]

    @functools.cached_property
    def inner(self):
        """(machine, event) that come from within the product: emitted, or stepped by another's action."""
        out = {(hearer, emit.event) for m in self.factors for row in m.rows for emit in row.emits for hearer in self.hearers(m, emit)}
        out |= {(self.opening.to, self.opening.event)} if self.opening else set()
        return out | {(tie.to, tie.event) for tie in self.ties if tie.event}

    def kind(self, name):
        """The machine that a factor is an instance of."""
        return self.others.get(name, name)

    def hearers(self, machine, emit):
        """Factors that an emit may reach, in the order of hearing; beside `each` there is one of a machine."""
        named = hearers(machine, emit)
        if emit.to != "each":
            return named
        return named + [name for name in self.hear if self.kind(name) in named and name not in named]

    def hears(self, machine, name):
        """Whether an event from outside reaches a machine: not a timer, nor from within unless it is said to come from outside too."""
        event = machine.events.get(name)
        if self.ends and event is not None and event.source == "wire":
            return False  # only a channel brings it
        return event is not None and not event.timer and name not in self.without and \
            ((machine.name, name) not in self.inner or event.source in ("world", "wire"))

    def all_events(self):
        """Events of the outside and their shown names, in the order in which the factors name them."""
        names = {}
        for m in self.factors:
            for event in m.events.values():
                if self.hears(m, event.name):
                    names[event.name] = names.get(event.name) or event.shown
        return names

    def arrivals(self):
        return list(dict.fromkeys(event for c in self.channels for event in c.arrivals()))

    def owner(self, machine):
        """The factor that owns a machine here, or nothing."""
        return next((name for name in self.hear if name in machine.owners), "")

    def asleep(self):
        """Machines that do not live before they are entered."""
        opened = self.opening.side + "." if self.opening else " "
        return [name for name in self.hear if name.startswith(opened) or any(tie.enters and tie.to == name for tie in self.ties)]


def load(spec_dir, machines):
    """Those of one end first: the others are made of them."""
    files = [(f, f.read_text(encoding="utf-8")) for f in sorted((spec_dir / "system").glob("*.sys"))]
    files.sort(key=lambda file: any(line.startswith("ends") for line in file[1].splitlines()))
    systems = {}
    for file, text in files:
        systems[file.stem] = Reader(f"{spec_dir.name}/system/{file.name}", machines, systems).read(text, file.stem)
    return list(systems.values())


class Reader:
    def __init__(self, path, machines, systems):
        self.path, self.machines, self.systems, self.s = path, machines, systems, None
        self.block = ""
        self.ends_line = 0

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
        if word not in HEADERS and word not in PROPERTIES:
            line.fail(f"expected one of {', '.join(HEADERS + PROPERTIES)}; found '{word}'")
        line.at = 1
        self.block = word
        if word in PROPERTIES:
            self.after_hear(line, "properties come")
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

    # Two ends

    def h_ends(self, line):
        if self.s.product:
            line.fail("a system has a product or two ends")
        self.s.machines = self.machines = dict(self.machines)
        self.ends_line = line.number
        sides = []
        for _ in range(2):
            side, name = line.name("a side's name", PLAIN), line.name("a system's name", PLAIN)
            if name not in self.systems or self.systems[name].ends:
                line.fail(f"no system of one end is named {name}{near(name, self.systems)}")
            if side in sides:
                line.fail(f"both sides are named {side}")
            sides.append(side)
            self.s.ends.append((side, name))
            ends.take(self.s, side, self.systems[name])
            if len(sides) == 1:
                line.need(",")

    def side(self, line):
        return line.need(*(side for side, _ in self.s.ends or [("the name of a side, after an `ends` line", "")]))

    def h_channel(self, line):
        name = line.name("the channel's name", PLAIN)
        line.need("from")
        source = self.side(line)
        line.need("to")
        target = self.side(line)
        if source == target:
            line.fail("a channel leads from one side to the other")
        line.need("at")
        line.need("most")
        room = line.number_token("how many messages")
        if not 1 <= room <= 8:
            line.fail("a channel holds 1 to 8 messages")
        bag = bool(line.take("bag"))
        lossy = bag and bool(line.take("lossy"))
        if line.next == "lossy":
            line.fail("lossy stands behind `bag`: what keeps its order is lost only when all breaks")
        if len(self.s.channels) == 2 or name in (c.name for c in self.s.channels):
            line.fail("two channels, with two names, are all there are")
        self.s.channels.append(ends.Channel(name, source, target, room, text=line.text, bag=bag, lossy=lossy))

    def in_channel(self, line):
        """`M ACTION, ACTION as EVENT, EVENT | EVENT [last]`, or `break as EVENT | EVENT`."""
        channel = self.s.channels[-1]
        if line.take("break"):
            line.need("as")
            channel.broken, channel.broken_text = self.heard_as(line, channel), line.text
            return
        machine = self.factor_name(line)
        if not machine.startswith(channel.source + "."):
            line.fail(f"{machine} is not of the side {channel.source}, which sends on this channel")
        actions = [self.action(line, machine)]
        while line.take(","):
            actions.append(self.action(line, machine))
        line.need("as")
        messages = [self.heard_as(line, channel)]
        while line.take(","):
            messages.append(self.heard_as(line, channel))
        last = bool(line.take("last"))
        channel.sendings += [ends.Sending(machine, action, messages, last, line.text) for action in actions]

    def heard_as(self, line, channel):
        out = []
        while True:
            name = line.next
            if not any(name in m.events and not m.events[name].timer for m in self.s.factors if m.name.startswith(channel.target + ".")):
                line.fail(f"{name or 'end of line'}: no machine of the side {channel.target} knows it")
            line.at += 1
            out.append(name)
            if not line.take("|"):
                return out

    def h_open(self, line):
        side = self.side(line)
        line.need("by")
        machine = self.factor_name(line)
        action = self.action(line, machine)
        line.need("with")
        target = next((m.name for m in self.s.factors if m.name.startswith(side + ".") and line.next in m.events), "")
        if machine.startswith(side + ".") or not target:
            line.fail(f"an action of the other side opens {side}, and a machine of {side} hears of it")
        self.s.opening = ends.Opening(side, machine, action, target, self.driven(line, target), line.text)
        self.s.first = [name for name in self.s.first if not name.startswith(side + ".")]
        self.s.__dict__.pop("inner", None)

    def after_hear(self, line, what):
        if set(self.s.hear) != set(self.s.product):
            line.fail(f"{what} after the product and its `hear` line")

    def h_table(self, line):
        self.s.table = True

    def h_large(self, line):
        self.s.large = True

    def before_world(self, line, word):
        self.after_hear(line, f"`{word}` comes")
        s = self.s
        if s.first or s.may or s.given or s.fair or s.properties:
            line.fail(f"`{word}` comes before `first`, `world` and the properties: it says what comes from within")

    def h_enter(self, line):
        self.before_world(line, "enter")
        target = self.factor_name(line)
        line.need("by")
        machine = self.factor_name(line)
        actions = [self.action(line, machine)]
        while line.take(","):
            actions.append(self.action(line, machine))
        event = self.driven(line, target) if line.take("with") else ""
        self.s.ties += [Tie(machine, action, target, event, True, [], line.text) for action in actions]

    def h_drive(self, line):
        self.before_world(line, "drive")
        machine = self.factor_name(line)
        action = self.action(line, machine)
        line.need("to")
        target = self.factor_name(line)
        event = self.driven(line, target)
        when = self.condition(line) if line.take("when") else []
        self.s.ties.append(Tie(machine, action, target, event, False, when, line.text))

    def action(self, line, machine):
        name = line.name("an action's name")
        known = {a.name for row in self.machines[machine].rows for a in row.acts if a.kind == "CALL"}
        if name not in known:
            line.fail(f"machine {machine} does no {name}{near(name, known)}")
        return name

    def driven(self, line, machine):
        name = line.name("an event's name")
        m = self.machines[machine]
        if name not in m.events:
            line.fail(f"machine {machine} knows no event {name}{near(name, m.events)}")
        if m.events[name].timer or m.events[name].source == "wire":
            line.fail(f"event {name} of {machine} comes from {'a timer' if m.events[name].timer else 'the wire'}, not from an action")
        self.s.__dict__.pop("inner", None)
        return name

    def h_first(self, line):
        while True:
            self.s.first.append(self.outside(line))
            if not line.take("|"):
                return

    def product(self, line):
        while True:
            if line.take("("):
                arms = [self.part(line)]
                while line.take("+"):
                    arms.append(self.part(line))
                line.need("+", ")")
                self.s.sums.append(arms)
            else:
                self.part(line)
            if not line.take("*"):
                return

    def part(self, line):
        name = line.name("a machine's name", PLAIN)
        if name not in self.machines:
            line.fail(f"no machine is named {name}{near(name, self.machines)}")
        if line.take("as"):
            name = self.another(line, name)
        if name in self.s.product:
            line.fail(f"machine {name} twice")
        self.s.product.append(name)
        return name

    def another(self, line, name):
        """`M as N`: one more instance of a machine that is in the product. It has its events, and facts and timers of its own."""
        alias = line.name("the other instance's name", PLAIN)
        if name not in self.s.product or name in self.s.others:
            line.fail(f"{name} as {alias}: the first instance stands before it, under the machine's own name")
        if alias in self.machines:
            line.fail(f"{alias}: a machine has this name")
        self.s.machines = self.machines = {**self.machines, alias: dataclasses.replace(self.machines[name], name=alias)}
        self.s.others[alias] = name
        return alias

    def indented(self, line):
        if self.block == "system":
            self.product(line)
            return
        if self.block == "channel":
            self.in_channel(line)
            return
        if self.block != "world":
            line.fail("an indented line belongs below `system`, `channel` or `world`")
        word = line.need("given", "may", "fair", "without")
        if word == "given":
            machine, fact = self.fact(line)
            line.need("when")
            self.s.given.append((machine, fact, self.condition(line), line.text))
        elif word == "without":
            self.left_out(line)
        elif word == "may":
            events = [self.outside(line, *self.s.arrivals())]
            while line.take(","):
                events.append(self.outside(line, *self.s.arrivals()))
            line.need("when")
            condition = self.condition(line)
            self.s.may += [(event, condition, line.text) for event in events]
        else:
            self.promises(line)

    def left_out(self, line):
        """Events that never come here: what they do is for other systems to say."""
        if self.s.table:
            line.fail("a system with the line `table` is what the core sends events by: it leaves none out")
        if self.s.may or self.s.due or self.s.properties:
            line.fail("`without` comes before what names events")
        names = self.outsides(line)
        for name in names:
            if name in self.s.first:
                line.fail(f"{name} comes first here")
        self.s.without += names

    def promises(self, line):
        events = []
        while True:
            channel = line.take(*(c.name for c in self.s.channels))
            if channel:
                self.s.arriving.append(channel)
            elif line.next in self.s.all_events():
                events.append(self.outside(line))
            else:
                self.s.fair.append(self.timer_event(line))
            if not line.take(","):
                break
        if events:
            line.need("when")
            condition = self.condition(line)
            self.s.due += [(event, condition, line.text) for event in events]

    def timer_event(self, line):
        """`x.fired`, or `second.x.fired` where an instance has a name of its own."""
        name = line.next
        other, _, own = name.partition(".")
        if other in self.s.others:
            event = self.machines[other].events.get(own)
            if event is None or not event.timer:
                line.fail(f"{name}: {other} has no timer's event {own}")
            line.at += 1
            return name
        for m in self.s.factors:
            if name in m.events and m.events[name].timer:
                line.at += 1
                return name
        line.fail(f"{name or 'end of line'}: a timer's event (x.fired) expected; only a timer, and what comes from outside, can be promised")

    def fact(self, line):
        token = line.name("machine.fact")
        machine, _, fact = token.rpartition(".")
        self.factor(line, machine)
        if fact not in self.machines[machine].facts:
            line.fail(f"machine {machine} has no fact {fact}{near(fact, self.machines[machine].facts)}")
        return machine, fact

    def facts(self, line):
        """`M.F & !M.G`: what the runs that are meant answer whenever they are asked."""
        out = []
        while True:
            wanted = not line.take("!")
            out.append((*self.fact(line), wanted))
            if not line.take("&"):
                return out

    def factor_name(self, line):
        name = line.name("a machine's name", NAME if self.s.ends else PLAIN)
        self.factor(line, name)
        return name

    def factor(self, line, name):
        if name not in self.s.product:
            line.fail(f"no machine of this product is named {name}{near(name, self.s.product)}")

    def outside(self, line, *more):
        name = line.next
        events = [*more, *self.s.all_events()]
        if name not in events:
            line.fail(f"no event from outside is named {name or 'that'}{near(name, events)}")
        line.at += 1
        return name

    def outsides(self, line):
        out = [self.outside(line)]
        while line.take(","):
            out.append(self.outside(line))
        return out

    def cause(self, line):
        if line.next in self.s.arrivals():
            line.at += 1
            return line.tokens[line.at - 1]
        return self.timer_event(line) if line.next.endswith(".fired") else self.outside(line)

    def causes(self, line):
        out = [self.cause(line)]
        while line.take(","):
            out.append(self.cause(line))
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
                out.append((out[-1][0], "flag", (line.next,), True))
                line.at += 1
            else:
                out += self.atom(line)
        return out

    def atom(self, line):
        name = self.factor_name(line)
        m = self.machines[name]
        wanted = not line.take("not")
        word = line.need("in", "has", "runs", "lives")
        if word == "lives":
            if name not in self.s.asleep():
                line.fail(f"machine {name} lives always: nobody enters it")
            return [(name, "life", (), wanted)]
        if word == "has" and "." in line.next:
            return [(name, "count", self.count_ends(line, m), wanted)]
        table, kind = {"in": (m.states, "state"), "has": (m.flags, "flag"), "runs": (m.timers, "timer")}[word]
        things = []
        while True:
            thing = line.name("a name", PLAIN)
            if thing not in table:
                line.fail(f"machine {name} has no {kind} {thing}{near(thing, table)}")
            things.append(thing)
            if not line.take(","):
                return [(name, kind, tuple(things), wanted)]

    def count_ends(self, line, m):
        ends = [f"{count}.{end}" for count in m.counts for end in ("low", "high")]
        out = []
        while True:
            token = line.name("count.low or count.high")
            if token not in ends:
                line.fail(f"machine {m.name} has no count's end {token}{near(token, ends)}")
            out.append(token)
            if not line.take(","):
                return tuple(out)

    # Properties

    def p_always(self, line):
        left = self.condition(line)
        kind = line.need("stays", "iff", "implies", "follows")
        if kind == "stays":
            return Property(0, kind, "", left=left, facts=self.facts(line) if line.take("when") else [])
        right = self.condition(line)
        if kind == "follows" and [(atom[1], atom[3]) for way in right for atom in way] != [("state", True)]:
            line.fail("`follows` needs one machine's states after it: only they are seen within a turn")
        return Property(0, kind, "", left=left, right=right)

    def p_never(self, line):
        return Property(0, "never", "", left=self.condition(line))

    def p_leads(self, line):
        left = self.condition(line)
        line.need("to")
        right = self.condition(line)
        line.need("when")
        line.need("fair")
        return Property(0, "leads", "", left=left, right=right, facts=self.facts(line) if line.take("&") else [])

    def p_reach(self, line):
        left = self.condition(line)
        line.need("by")
        return Property(0, "reach", "", left=left, events=[self.cause(line)])

    def p_after(self, line):
        events = self.causes(line)
        before = self.condition(line) if line.take("from") else []
        facts = self.facts(line) if line.take("when") else []
        if line.need("holds", "does") == "holds":
            return Property(0, "after", "", left=self.condition(line), right=before, events=events, facts=facts)
        kind = "spares" if line.take("not") else "does"
        return Property(0, kind, "", right=before, events=events, facts=facts, acts=self.acts(line))

    def p_moves(self, line):
        name = self.factor_name(line)
        before = self.states(line, name)
        if line.next in ("not", "has"):
            before += self.flags(line, name)
        line.need("to")
        after = self.states(line, name)
        line.need("by")
        events = self.causes(line)
        ways = self.condition(line) if line.take("from") else [[]]
        facts = self.facts(line) if line.take("when") else []
        return Property(0, "moves", "", left=[after], right=[before + way for way in ways], events=events, facts=facts)

    def states(self, line, name):
        out = []
        while True:
            state = line.name("a state's name", PLAIN)
            if state not in self.machines[name].states:
                line.fail(f"machine {name} has no state {state}{near(state, self.machines[name].states)}")
            out.append(state)
            if not line.take(","):
                return [(name, "state", tuple(out), True)]

    def flags(self, line, name):
        wanted = not line.take("not")
        line.need("has")
        flag = line.name("a flag's name", PLAIN)
        if flag not in self.machines[name].flags:
            line.fail(f"machine {name} has no flag {flag}{near(flag, self.machines[name].flags)}")
        return [(name, "flag", (flag,), wanted)]

    def acts(self, line):
        """`M ACTION, ACTION, N ACTION`, where an action may also be a timer's start."""
        machine, out = self.factor_name(line), []
        while True:
            timer, _, verb = line.next.partition(".")
            if verb == "start" and timer in self.machines[machine].timers:
                line.at += 1
                out.append((machine, timer + ".start"))
            else:
                out.append((machine, self.action(line, machine)))
            if not line.take(","):
                return out
            machine = self.factor_name(line) if line.next in self.s.product else machine

    def p_entry(self, line):
        left = self.condition(line)
        line.need("does")
        acts, events = self.acts(line), []
        if line.take("but"):
            line.need("by")
            events = self.causes(line)
        return Property(0, "entry", "", left=left, events=events, acts=acts)

    def p_apart(self, line):
        events = self.outsides(line)
        line.need("from")
        parts = []
        while True:
            token = line.name("a machine, or machine.flag")
            machine, flag = (token, "") if token in self.s.product else token.rpartition(".")[::2]
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

    def inherited(self):
        """What the sides' own systems let the world send must come from somewhere: between two ends the wire is the channels."""
        paths = {side: self.systems[name].path for side, name in self.s.ends}
        known = [*self.s.all_events(), *self.s.arrivals()]
        for event, word in [*((event, "may") for event, *_ in self.s.may), *((event, "first") for event in self.s.first)]:
            if event not in known:
                side, _, own = event.partition(".")
                raise SpecError(self.path, self.ends_line, f"{event} comes from the wire, and no channel brings it, but {paths[side]} says "
                                                           f"`{word}` of {own}: give it a line below a channel, or take it out there")

    def finish(self):
        s = self.s
        if not s.product:
            raise SpecError(self.path, s.line, f"system {s.name}: no product line")
        if not s.hear:
            raise SpecError(self.path, s.line, f"system {s.name}: no hear line")
        for name in (arm for arms in s.sums for arm in arms):
            if name not in s.asleep():
                raise SpecError(self.path, s.line, f"machine {name} is an arm of a sum, and nobody enters it")
        for m in s.factors:
            if len([name for name in s.hear if name in m.owners]) > 1:
                raise SpecError(self.path, s.line, f"machine {m.name}: two of its owners are here, and one could not tell whose it is")
        self.inherited()
        edges = {}
        for tie in s.ties:
            # entering an arm ends the others, which must not be in the middle of a step either
            ends = next((arms for arms in s.sums if tie.to in arms), [tie.to]) if tie.enters else [tie.to]
            edges.setdefault(tie.machine, set()).update(ends)
        circle = find_cycle(edges)
        if circle:
            raise SpecError(self.path, s.line, f"actions step in a circle: {' -> '.join([*circle, circle[0]])}")
        names = {}
        for name in s.all_events():
            other = names.setdefault(name.replace(".", "_"), name)
            if other != name:
                raise SpecError(self.path, s.line, f"events {other} and {name} have the same C name")
