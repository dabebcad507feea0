"""Reads one .sm file into a Machine. Everything that can be said about a single line is said here;
what needs the whole machine, or several, is in check.py."""
import re

from gen.report import SpecError
from gen.smc.model import (COUNT_ACTS, TIMER_ACTS, VERDICTS, Act, Count, Emit, Event, Export, Machine, Named, Row, State,
                           Timer)

TOKEN = re.compile(r'\s*("[^"]*"|->|\.\.|[&|!<>=,*+()]|[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*|[0-9]+(?:ms|min|s)?)')
NAME = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*\Z")
PLAIN = re.compile(r"[a-z][a-z0-9_]*\Z")
SHOWN = re.compile(r"[A-Za-z][A-Za-z0-9_]*\Z")
DURATION = re.compile(r"([0-9]+)(ms|s|min)\Z")
UNIT_MS = {"ms": 1, "s": 1000, "min": 60000}
WORDS = {"when", "else", "set", "clear", "do", "emit", "as", "any", "but", "to", "each", "owner", "in", *VERDICTS}


class Line:
    """A cursor over the tokens of one line; every complaint knows where it stands."""

    def __init__(self, path, number, text):
        self.path, self.number, self.at = path, number, 0
        self.tokens = []
        place = 0
        body = text.rstrip()
        while place < len(body):
            match = TOKEN.match(body, place)
            if not match:
                self.fail(f"cannot read '{body[place:].strip()[:20]}'")
            self.tokens.append(match.group(1))
            place = match.end()

    def fail(self, message):
        raise SpecError(self.path, self.number, message)

    @property
    def next(self):
        return self.tokens[self.at] if self.at < len(self.tokens) else ""

    def take(self, *wanted):
        """The next token when it is one of the wanted, else an empty text and no step."""
        if self.next and self.next in wanted:
            self.at += 1
            return self.tokens[self.at - 1]
        return ""

    def need(self, *wanted):
        got = self.take(*wanted)
        if not got:
            self.fail(f"expected {' or '.join(wanted)}, found '{self.next or 'end of line'}'")
        return got

    def name(self, what, form=NAME):
        token = self.next
        if not token or not form.match(token):
            self.fail(f"{what} expected, found '{token or 'end of line'}'")
        if token in WORDS:
            self.fail(f"{what} '{token}': a word of the language cannot be a name")
        self.at += 1
        return token

    def names(self, what, form=NAME):
        out = [self.name(what, form)]
        while self.take(","):
            out.append(self.name(what, form))
        return out

    def number_token(self, what):
        if not self.next.isdigit():
            self.fail(f"{what} expected, found '{self.next or 'end of line'}'")
        self.at += 1
        return int(self.tokens[self.at - 1])

    def shown(self):
        if not self.take("as"):
            return ""
        if not SHOWN.match(self.next):
            self.fail(f"a name expected after as, found '{self.next or 'end of line'}'")
        self.at += 1
        return self.tokens[self.at - 1]

    def end(self):
        if self.next:
            self.fail(f"nothing more expected here, found '{self.next}'")


def strip_comment(text):
    quoted = False
    for place, letter in enumerate(text):
        if letter == '"':
            quoted = not quoted
        elif letter == "#" and not quoted:
            return text[:place]
    return text


def read_machine(path, shown_path):
    """path: where the file is; shown_path: how complaints name it."""
    return Reader(shown_path).read(path.read_text(encoding="utf-8"), path.stem)


class Reader:
    def __init__(self, path):
        self.path = path
        self.m = None
        self.block = None  # states of the `in` line above

    def read(self, text, stem):
        for number, raw in enumerate(text.splitlines(), 1):
            if "\t" in raw:
                raise SpecError(self.path, number, "a tab: indent with spaces")
            body = strip_comment(raw)
            if not body.strip():
                continue
            if body.lstrip().startswith("from ") and not body[0].isspace():
                self.source(number, body.strip()[5:].strip())
                continue
            line = Line(self.path, number, body)
            if body[0].isspace():
                self.row(line)
            else:
                self.header(line)
        if self.m is None:
            raise SpecError(self.path, 1, "no machine line")
        if self.m.name != stem:
            raise SpecError(self.path, self.m.line, f"machine {self.m.name} must live in {self.m.name}.sm")
        self.finish()
        return self.m

    def source(self, number, text):
        if self.m is None:
            raise SpecError(self.path, number, "the machine line comes first")
        self.m.sources.append(text)

    def header(self, line):
        word = line.next
        kinds = ("machine", "owner", "state", "flag", "fact", "count", "timer", "event", "action", "export", "in")
        if word not in kinds:
            line.fail(f"expected one of {', '.join(kinds)}, found '{word}'" +
                      (" (rows are indented)" if word in VERDICTS else ""))
        line.at = 1
        if self.m is None and word != "machine":
            line.fail("the machine line comes first")
        if self.block is not None and word != "in":
            line.fail(f"{word} after the first `in`: declarations come before rows")
        getattr(self, "h_" + word)(line)
        line.end()

    # Declarations

    def add(self, line, table, thing):
        """Every name of a machine is unique, so that guards and actions need no prefixes."""
        everything = {"state": self.m.states, "flag": self.m.flags, "fact": self.m.facts, "count": self.m.counts,
                      "timer": self.m.timers, "event": self.m.events, "action": self.m.actions, "export": self.m.exports}
        value_space = ("flag", "fact", "count", "timer")
        for kind, names in everything.items():
            same_space = names is table or (kind in value_space and any(table is everything[k] for k in value_space))
            for other in names.values():
                if same_space and other.c == thing.c:
                    article = "an" if kind[0] in "aeiou" else "a"
                    line.fail(f"{thing.name} is already {article} {kind}, declared in line {other.line}")
        table[thing.name] = thing

    def h_machine(self, line):
        if self.m is not None:
            line.fail("a second machine line: one machine a file")
        self.m = Machine(line.name("the machine's name", PLAIN), self.path, line.number)
        if line.take("per"):
            self.m.keys.append(line.name("a key", PLAIN))
            while line.take(",", "*"):
                self.m.keys.append(line.name("a key", PLAIN))
        if line.take("at"):
            line.need("most")
            self.m.at_most = line.number_token("a number")

    def h_owner(self, line):
        for name in line.names("the owner's machine name", PLAIN):
            if name in self.m.owners:
                line.fail(f"owner {name} twice")
            self.m.owners.append(name)

    def h_state(self, line):
        state = State(line.name("the state's name", PLAIN), line.number)
        while line.next in ("initial", "final", "as"):
            if line.next == "as":
                state.shown = line.shown()
            else:
                setattr(state, line.take("initial", "final"), True)
        if state.name == "timers" or state.name.startswith("on_"):
            line.fail(f"state {state.name}: the generated header needs this name for itself")
        self.add(line, self.m.states, state)

    def h_flag(self, line):
        for name in line.names("the flag's name", PLAIN):
            self.add(line, self.m.flags, Named(name, line.number))

    def h_fact(self, line):
        for name in line.names("the fact's name", PLAIN):
            self.add(line, self.m.facts, Named(name, line.number))

    def h_count(self, line):
        count = Count(line.name("the count's name", PLAIN), line.number)
        count.low = line.number_token("the low end")
        line.need("..")
        count.high = line.number_token("the high end")
        if not count.low < count.high <= 255:
            line.fail(f"count {count.name} {count.low}..{count.high}: the ends must rise and stay below 256")
        self.add(line, self.m.counts, count)

    def h_timer(self, line):
        timer = Timer(line.name("the timer's name", PLAIN), line.number)
        timer.text = line.next
        constant = DURATION.match(line.next)
        if constant:
            line.at += 1
            timer.ms = int(constant.group(1)) * UNIT_MS[constant.group(2)]
            if timer.ms == 0:
                line.fail(f"timer {timer.name} {timer.text}: must take time")
        elif line.next.isdigit():
            line.fail(f"timer {timer.name} {line.next}: the unit is missing (ms, s, min)")
        else:
            timer.duration = line.name("a duration (10s, 250ms, 5min or a name)", PLAIN)
        self.add(line, self.m.timers, timer)
        self.event(line, timer.name + ".fired", timer=timer.name)

    def h_event(self, line):
        names = line.names("the event's name")
        source = shown = ""
        while line.next in ("from", "as"):
            if line.next == "as":
                shown = line.shown()
            else:
                line.at += 1
                source = line.need("wire", "world", "inside")
        for name in names:
            self.timer_known(line, name)
            known = self.m.events.get(name)
            if known and not (known.timer and not known.shown):
                line.fail(f"event {name} is already declared in line {known.line}")
            event = self.event(line, name)
            if event.timer and source:
                line.fail(f"event {name} is a timer's: it comes from inside")
            event.source, event.shown = source, shown

    def timer_known(self, line, name):
        if name.endswith(".fired") and name[:-6] not in self.m.timers:
            line.fail(f"no timer is named {name[:-6]}{near(name[:-6], self.m.timers)}")

    def event(self, line, name, timer=""):
        if name not in self.m.events:
            event = Event(name, line.number, timer=timer)
            self.add(line, self.m.events, event)
        return self.m.events[name]

    def h_action(self, line):
        names = line.names("the action's name")
        shown = line.shown()
        for name in names:
            if self.builtin(name):
                line.fail(f"action {name} is built in")
            self.add(line, self.m.actions, Named(name, line.number, shown))

    def h_export(self, line):
        export = Export(line.name("the mask's name", PLAIN), line.number)
        line.need("in")
        export.states = self.states(line)
        if export.name in self.m.states:
            line.fail(f"export {export.name}: a state has this name")
        self.add(line, self.m.exports, export)

    # Rows

    def states(self, line):
        if line.take("any"):
            names = list(self.m.states)
            if line.take("but"):
                for name in self.states(line):
                    if name in names:
                        names.remove(name)
            return names
        names = line.names("a state's name", PLAIN)
        for place, name in enumerate(names):
            self.known_state(line, name)
            if name in names[:place]:
                line.fail(f"state {name} twice")
        return names

    def known_state(self, line, name):
        if name not in self.m.states:
            line.fail(f"no state is named {name}{near(name, self.m.states)}")

    def h_in(self, line):
        self.block = self.states(line)
        if not self.block:
            line.fail("this names no state")

    def row(self, line):
        verdict = line.next
        if verdict not in VERDICTS:
            line.fail(f"a row begins with {', '.join(VERDICTS)}; found '{verdict}'")
        if self.block is None:
            line.fail("a row before the first `in`")
        line.at = 1
        row = Row(line.number, verdict, list(self.block), self.row_events(line), {})
        if line.take("when"):
            row.guard = None if line.take("else") else self.guard(line)
        elif line.take("else"):
            row.guard = None
        if line.take("->"):
            row.to = line.name("a state's name", PLAIN)
            self.known_state(line, row.to)
        for clause in ("set", "clear", "do", "emit"):
            if line.take(clause):
                getattr(self, "r_" + clause)(line, row)
        line.end()
        effects = row.to or row.sets or row.clears or row.acts or row.emits
        if effects and verdict in ("ignore", "never"):
            line.fail(f"{verdict} has no effects")
        self.m.rows.append(row)

    def row_events(self, line):
        out = []
        while True:
            name = line.name("an event's name")
            self.timer_known(line, name)
            self.event(line, name)
            if name in out:
                line.fail(f"event {name} twice")
            out.append(name)
            if not line.take(","):
                return out

    def guard(self, line):
        guard = {}
        while True:
            wanted = True
            while line.take("!"):
                wanted = not wanted
            name, wanted = self.condition(line, wanted)
            if name in guard:
                line.fail(f"condition {name} twice")
            guard[name] = wanted
            if not line.take("&"):
                return guard

    def condition(self, line, wanted):
        name = line.next
        base, _, end = name.partition(".")
        if base in self.m.counts:
            line.at += 1
            count = self.m.counts[base]
            if end in ("low", "high"):
                return name, wanted
            return self.comparison(line, count, wanted)
        line.name("a flag, fact or count")
        if name not in self.m.flags and name not in self.m.facts:
            if name in self.m.timers:
                line.fail(f"{name} is a timer: a guard may test flags, facts and counts only")
            line.fail(f"no flag, fact or count is named {name}{near(name, [*self.m.flags, *self.m.facts, *self.m.counts])}")
        return name, wanted

    def comparison(self, line, count, wanted):
        """Counts are tested against their ends only, which keeps the guards decidable bit by bit."""
        sign = line.need("<", ">", "=")
        number = line.number_token("a number")
        meaning = {("<", count.high): ("high", False), (">", count.low): ("low", False),
                   ("=", count.low): ("low", True), ("=", count.high): ("high", True)}.get((sign, number))
        if meaning is None:
            line.fail(f"{count.name} {sign} {number}: a count is tested against its ends only, {count.low} and {count.high}")
        return f"{count.name}.{meaning[0]}", meaning[1] == wanted

    def flag_list(self, line, into, other):
        for name in line.names("a flag's name", PLAIN):
            if name not in self.m.flags:
                line.fail(f"no flag is named {name}{near(name, self.m.flags)}")
            if name in into or name in other:
                line.fail(f"flag {name} twice")
            into.append(name)

    def r_set(self, line, row):
        self.flag_list(line, row.sets, row.clears)

    def r_clear(self, line, row):
        self.flag_list(line, row.clears, row.sets)

    def builtin(self, name):
        base, _, verb = name.partition(".")
        if base in self.m.timers and verb in TIMER_ACTS:
            return Act(TIMER_ACTS[verb], base)
        if base in self.m.counts and verb in COUNT_ACTS:
            return Act(COUNT_ACTS[verb], base)
        return None

    def r_do(self, line, row):
        while True:
            name = line.next
            act = self.builtin(name)
            if act:
                line.at += 1
            else:
                line.name("an action's name")
                base, _, verb = name.partition(".")
                if (base in self.m.timers or base in self.m.counts) and name not in self.m.actions:
                    verbs = TIMER_ACTS if base in self.m.timers else COUNT_ACTS
                    line.fail(f"{base}.{verb}: {'a timer' if base in self.m.timers else 'a count'} knows {', '.join(verbs)} "
                              f"(an action of your own with this name needs a line `action {name}`)")
                if name not in self.m.actions:
                    self.add(line, self.m.actions, Named(name, line.number))
                act = Act("CALL", name)
            if act in row.acts and act.kind != "CALL":
                line.fail(f"action {name} twice")
            row.acts.append(act)
            if not line.take(","):
                return

    def r_emit(self, line, row):
        while True:
            event = line.name("an event's name")
            line.need("to")
            if line.take("owner"):
                emit = Emit(event, "owner", "")
                if not self.m.owners:
                    line.fail(f"emit {event} to owner: the machine names no owner (add a line `owner NAME`)")
            elif line.take("each"):
                emit = Emit(event, "each", line.name("a machine's name", PLAIN))
            else:
                emit = Emit(event, "sister", line.name("a machine's name", PLAIN))
            if emit in row.emits:
                line.fail(f"emit {emit} twice")
            row.emits.append(emit)
            if not line.take(","):
                return

    def finish(self):
        m = self.m
        initial = [s for s in m.states.values() if s.initial]
        if not m.states:
            raise SpecError(self.path, m.line, f"machine {m.name}: no states")
        if len(initial) != 1:
            line = initial[1].line if initial else m.line
            raise SpecError(self.path, line, f"machine {m.name}: exactly one state is initial, here {len(initial)}")


def near(name, names):
    """A hint for a typing error, or nothing."""
    def distance(a, b):
        row = list(range(len(b) + 1))
        for i, x in enumerate(a, 1):
            last, row[0] = row[0], i
            for j, y in enumerate(b, 1):
                last, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, last + (x != y))
        return row[-1]
    close = sorted((distance(name, n), n) for n in names)
    return f" (did you mean {close[0][1]}?)" if close and close[0][0] <= min(2, len(name) // 2) else ""
