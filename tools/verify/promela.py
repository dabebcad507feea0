"""Writes a system out as Promela, from the parsed spec and never from the C tables: one process, one turn one d_step.
Called by second.py, which runs spin and compares. Serves design section 7, point 6.

Between turns the model is nothing but the control vector. A turn first picks a cause and answers to the facts that it may
ask (in an atomic, so that only whole turns are states), then does everything else in one d_step: `work` is the step to do
now, `queue` what was emitted or is still to be heard. Rows stand there as they are written; `else` is Promela's own."""
import dataclasses
import re

QUEUE = 24


@dataclasses.dataclass
class Taken:
    """A message that leaves a bag."""
    channel: int
    message: int


class Writer:
    def __init__(self, system, whole=True):
        """whole: a turn is one d_step; else one atomic of several, for systems that are longer than spin lets a d_step be."""
        self.s, self.whole = system, whole
        self.out = []
        self.codes = {}      # (machine, event) -> number of the step in `work`, from 1
        self.depth = 0
        self.number_steps()
        self.messages = []   # lists of events, numbered as write_system.py numbers them
        self.broken, self.sent = {}, {}
        for n, c in enumerate(system.channels):
            self.broken[n] = self.message(c.broken) if c.broken else -1
            self.sent[n] = [(x, [self.message(way) for way in x.messages]) for x in c.sendings]

    def message(self, way):
        self.messages.append(way)
        return len(self.messages) - 1

    # Names: every one has two underscores, so that none is a word of Promela.

    @staticmethod
    def state(m, name):
        return list(m.states).index(name)

    def vector(self):
        """(variable, type) of the control vector, in the order in which both engines print it."""
        out = [("started__", "byte")]
        for m in self.s.factors:
            out += [(f"{m.name}__lives", "bit"), (f"{m.name}__state", "byte")]
            out += [(f"{m.name}__f_{name}", "bit") for name in m.flags]
            out += [(f"{m.name}__c_{name}", "byte") for name in m.counts]
            out += [(f"{m.name}__t_{name}", "bit") for name in m.timers]
        for n, c in enumerate(self.s.channels):
            out += [(f"c{n}__broken", "bit"), (f"c{n}__n", "byte")] + [(f"c{n}__m{k}", "byte") for k in range(c.room)]
        return out

    # Two ends: a bit of started__ for each side

    def side(self, name):
        return next((1 << n for n, (side, _) in enumerate(self.s.ends) if name.startswith(side + ".")), 1)

    def side_of(self, event):
        """Of the first machine that hears it, else of the last."""
        heard = [m.name for m in self.s.factors if event in m.events]
        return self.side(heard[0] if heard else self.s.hear[-1])

    def number_steps(self):
        """Steps in machine order, so that those of one machine are a range."""
        for m in self.s.factors:
            for event in m.events:
                self.codes[m.name, event] = len(self.codes) + 1

    def steps_of(self, m):
        numbers = [self.codes[m.name, event] for event in m.events]
        return min(numbers), max(numbers)

    # Lines

    def put(self, text):
        self.out.append("    " * self.depth + text)

    def choice(self, ways, word="if"):
        """ways: (guard, body) pairs, where a body is a function that puts lines, or nothing."""
        self.put(word)
        for guard, body in ways:
            self.put(f":: {guard} ->")
            self.depth += 1
            before = len(self.out)
            if body:
                body()
            if len(self.out) == before:
                self.put("skip")
            self.depth -= 1
        self.put({"if": "fi;", "do": "od;"}[word])

    # Conditions

    def atom(self, name, kind, things, wanted):
        m = self.s.machines[name]
        ways = {"state": [f"{name}__state == {self.state(m, t)}" for t in things] if kind == "state" else [],
                "flag": [f"{name}__f_{t}" for t in things], "timer": [f"{name}__t_{t}" for t in things]}.get(kind)
        if kind == "count":
            ends = [(f"{name}__c_{t.partition('.')[0]}", m.counts[t.partition('.')[0]], t.partition(".")[2]) for t in things]
            ways = [f"{var} == {count.low if end == 'low' else count.high}" for var, count, end in ends]
        text = f"{name}__lives" + (f" && ({' || '.join(ways)})" if ways else "")
        return f"({text})" if wanted else f"!({text})"

    def condition(self, condition):
        return " || ".join("(" + " && ".join(self.atom(*atom) for atom in way) + ")" for way in condition)

    def guard(self, m, guard):
        parts = []
        for name, wanted in guard.items():
            if name in m.flags:
                text = f"{m.name}__f_{name}"
            elif name in m.facts:
                text = self.fact(m, name)
            else:
                base, _, end = name.partition(".")
                count = m.counts[base]
                text = f"({m.name}__c_{base} == {count.low if end == 'low' else count.high})"
            parts.append(text if wanted else "!" + text)
        return " && ".join(parts)

    def fact(self, m, name):
        given = [f"({self.condition(c)})" for machine, fact, c, _ in self.s.given if (machine, fact) == (m.name, name)]
        return "(" + " && ".join([f"{m.name}__a_{name}", *given]) + ")"

    # One step of one machine

    def step(self, m, event):
        """The rows of all states that know the event; a hole in them blocks, which pan reports."""
        def of_state(state):
            rows = [row for row in m.rows if event in row.events and state in row.states]
            if len(rows) == 1 and not rows[0].guard:
                return lambda: self.row(m, state, rows[0])
            return lambda: self.choice([(self.guard(m, row.guard) if row.guard is not None else "else",
                                         lambda row=row: self.row(m, state, row)) for row in rows])
        self.choice([(f"{m.name}__state == {n}", of_state(state)) for n, state in enumerate(m.states)])

    def row(self, m, state, row):
        if row.verdict == "never":
            self.put(f'printf("spec: line {row.line} of {m.name} says never\\n"); assert(false);')
            return
        if row.to and row.to != state:
            self.put(f"{m.name}__state = {self.state(m, row.to)};")
        for name in row.sets:
            self.put(f"{m.name}__f_{name} = 1;")
        for name in row.clears:
            self.put(f"{m.name}__f_{name} = 0;")
        for act in row.acts:
            if act.kind.startswith("COUNT"):
                self.count(m, act)
        for act in row.acts:
            if act.kind.startswith("TIMER"):
                self.put(f"{m.name}__t_{act.name} = {int(act.kind == 'TIMER_START')};")
            elif act.kind == "CALL":
                self.call(m, act.name)
        for emit in row.emits:
            self.emit(m, emit)

    def count(self, m, act):
        name, count = f"{m.name}__c_{act.name}", m.counts[act.name]
        if act.kind == "COUNT_ZERO":
            self.put(f"{name} = {count.low};")
        elif act.kind == "COUNT_UP":
            self.put(f"assert({name} < {count.high}); {name}++;")
        else:
            self.put(f"assert({name} > {count.low}); {name}--;")

    def call(self, m, action):
        """What the system says that an action does to others, before it returns."""
        if self.s.opening and (self.s.opening.machine, self.s.opening.action) == (m.name, action):
            self.open()
        for n, sent in self.sent.items():
            for x, numbers in sent:
                if (x.machine, x.action) == (m.name, action):
                    for k, number in enumerate(numbers):
                        self.send(n, number, x.last and k + 1 == len(numbers))
        for tie in self.s.ties:
            if (tie.machine, tie.action) != (m.name, action):
                continue
            if tie.when:
                self.choice([(self.condition(tie.when), lambda tie=tie: self.tie(tie)), ("else", None)])
            else:
                self.tie(tie)

    def send(self, n, number, last):
        """A broken channel takes nothing; what is the last breaks them all, and empties those of the other direction."""
        room = self.s.channels[n].room

        def put():
            self.put(f"assert(c{n}__n < {room});")
            if self.s.channels[n].bag:
                self.sorted_in(n, number)
            else:
                self.choice([(f"c{n}__n == {k}", lambda k=k: self.put(f"c{n}__m{k} = {number};")) for k in range(room)])
            self.put(f"c{n}__n++;")
            for other in range(len(self.s.channels) if last else 0):
                if other != n:
                    self.empty(other)
                self.put(f"c{other}__broken = 1;")
        self.choice([(f"!c{n}__broken", put), ("else", None)])

    def sorted_in(self, n, number):
        """From the end: what is greater goes one up, and the number to the first place that is left."""
        self.put(f"place = c{n}__n;")
        for k in range(self.s.channels[n].room - 1, 0, -1):
            self.choice([(f"place == {k} && c{n}__m{k - 1} > {number}", lambda k=k: self.put(f"c{n}__m{k} = c{n}__m{k - 1}; place = {k - 1};")),
                         ("else", None)])
        self.choice([(f"place == {k}", lambda k=k: self.put(f"c{n}__m{k} = {number};")) for k in range(self.s.channels[n].room)])

    def empty(self, n):
        self.put(" ".join(f"{name} = 0;" for name, _ in self.vector() if name.startswith(f"c{n}__")))

    def open(self):
        o = self.s.opening
        for n in range(len(self.s.channels)):
            self.empty(n)
        for m in self.s.factors:
            if m.name.startswith(o.side + "."):
                self.end(m)
                if not any(tie.enters and tie.to == m.name for tie in self.s.ties):
                    self.live(m)
        self.step(self.s.machines[o.to], o.event)

    def live(self, m):
        self.put(f"{m.name}__lives = 1; {m.name}__state = {self.state(m, m.initial)};")
        for count in m.counts.values():
            self.put(f"{m.name}__c_{count.name} = {count.low};")

    def tie(self, tie):
        target = self.s.machines[tie.to]
        if tie.enters:
            self.enter(target)
        else:
            self.put(f"assert({target.name}__lives);")
        if tie.event:
            self.step(target, tie.event)

    def enter(self, m):
        ends = next((arms for arms in self.s.sums if m.name in arms), [m.name])
        for name in ends:
            self.end(self.s.machines[name])
        self.live(m)
        self.put(f"{m.name}__fresh = 1;")

    def end(self, m):
        """All of its vector is zero, and what it was to hear is forgotten."""
        if m.name not in self.s.asleep():
            return
        own = [name for name, _ in self.vector() if name.startswith(m.name + "__")]
        self.put(" ".join(f"{name} = 0;" for name in own))
        low, high = self.steps_of(m)
        self.put("place = head;")
        self.choice([("place < used", lambda: self.choice(
            [(f"queue[place] >= {low} && queue[place] <= {high}", lambda: self.put("queue[place] = 0; place++;")),
             ("else", lambda: self.put("place++;"))])),
            ("else", lambda: self.put("break;"))], "do")

    def emit(self, m, emit):
        """To the owner that is here, or to the sister or sisters that live."""
        for name in self.s.hearers(m, emit):
            if name not in self.s.hear or (emit.to == "owner" and name != self.s.owner(m)):
                continue
            send = lambda name=name: self.put(f"assert(used < {QUEUE}); queue[used] = {self.codes[name, emit.event]}; used++;")  # noqa: E731
            if name in self.s.asleep():
                self.choice([(f"{name}__lives", send), ("else", None)])
            else:
                send()

    # Causes

    def causes(self):
        """(text, when it can come, event from outside or "", (machine, timer) or None)"""
        s = self.s
        for event in s.all_events():
            when = [f"({self.condition(c)})" for e, c, _ in s.may if e == event]
            side = self.side_of(event)
            if any(self.side_of(first) == side for first in s.first):
                when.append(f"{'!' if event in s.first else ''}(started__ & {side})")
            yield event, " && ".join(when) or "true", event, None
        for m in s.factors:
            for timer in m.timers:
                event = next(e.name for e in m.events.values() if e.timer == timer)
                yield f"{m.name} {event}", f"(started__ & {self.side(m.name)}) && {m.name}__t_{timer}", "", (m, timer, event)
        for n in range(len(s.channels)):
            if s.channels[n].bag:
                yield from self.of_bag(n)
                continue
            for event in s.arrivals():
                brings = [f"c{n}__m0 == {k}" for k, way in enumerate(self.messages) if event in way]
                when = [f"({self.condition(c)})" for e, c, _ in s.may if e == event and event not in s.all_events()]
                yield (f"{event} arrives", " && ".join([f"(started__ & {self.side_of(event)})", f"c{n}__n > 0", f"({' || '.join(brings)})", *when]),
                       event, n)
        breaks = [f"!c{n}__broken" for n in range(len(s.channels)) if self.broken[n] >= 0]
        if breaks:
            yield "the channels break", f"started__ && ({' || '.join(breaks)})", "", "break"

    def of_bag(self, n):
        """Each message by itself: it arrives as one of its events, or is lost."""
        c = self.s.channels[n]
        for number in dict.fromkeys([self.broken[n]] * (self.broken[n] >= 0) + [k for _, numbers in self.sent[n] for k in numbers]):
            there = " || ".join(f"c{n}__n > {k} && c{n}__m{k} == {number}" for k in range(c.room))
            for event in self.messages[number]:
                when = [f"({self.condition(x)})" for e, x, _ in self.s.may if e == event and event not in self.s.all_events()]
                yield f"{event} arrives", " && ".join([f"(started__ & {self.side_of(event)})", f"({there})", *when]), event, Taken(n, number)
            if c.lossy and number != self.broken[n]:
                yield f"{self.messages[number][0]} is lost", f"started__ && ({there})", "", Taken(n, number)

    def facts_of(self, start):
        """{(machine, fact): states} that a turn which begins with these steps may ask for, and from which states of that machine; ties,
        emits and the opening of a side followed. Where a life may begin, from any."""
        seen, todo = set(), list(start)
        while todo:
            name, event = todo.pop()
            if (name, event) in seen:
                continue
            seen.add((name, event))
            m = self.s.machines[name]
            for row in (row for row in m.rows if event in row.events):
                todo += [(tie.to, tie.event) for tie in self.s.ties if tie.event and tie.machine == name and
                         any(act.kind == "CALL" and act.name == tie.action for act in row.acts)]
                opened = self.s.opening
                if opened and opened.machine == name and any(act.kind == "CALL" and act.name == opened.action for act in row.acts):
                    todo.append((opened.to, opened.event))
                todo += [(to, emit.event) for emit in row.emits for to in self.s.hearers(m, emit) if to in self.s.hear]
        facts = {}
        for name in {name for name, _ in seen}:
            m = self.s.machines[name]
            rows = [row for row in m.rows if any((name, event) in seen for event in row.events)]
            for state in m.states:
                for row in (row for row in rows if set(row.states) & self.passes(m, rows, state)):
                    for fact in (fact for fact in (row.guard or {}) if fact in m.facts):
                        facts.setdefault((name, fact), set()).add(state)
        return dict(sorted(facts.items()))

    def passes(self, m, rows, state):
        """States that these rows lead to from one, and that one."""
        if m.name in self.s.asleep():
            return set(m.states)
        out, todo = {state}, [state]
        while todo:
            at = todo.pop()
            new = {row.to for row in rows if at in row.states and row.to} - out
            out |= new
            todo += new
        return out

    def pick(self, cause, when, event, timer):
        steps = [(timer[0].name, timer[2])] if isinstance(timer, tuple) else [(m.name, event) for m in self.hearing(event, timer)]
        facts = self.facts_of(steps)
        def body():  # noqa: E306
            self.put(f"cause = {self.n_causes}; /* {cause} */")
            for (name, fact), states in facts.items():
                m = self.s.machines[name]
                asked = " || ".join(f"{name}__state == {self.state(m, state)}" for state in m.states if state in states)
                self.choice([("true", None), (asked if len(states) < len(m.states) else "true", lambda: self.put(f"{name}__a_{fact} = 1;"))])
        return when, body

    def hearing(self, event, arrives):
        """Who hears an event from outside, or one that a channel brings."""
        return [m for m in self.s.factors if (event in m.events if arrives is not None else self.s.hears(m, event))]

    def take(self, n, first=0):
        room = self.s.channels[n].room
        self.put("".join(f"c{n}__m{k} = c{n}__m{k + 1}; " for k in range(first, room - 1)) + f"c{n}__m{room - 1} = 0; c{n}__n--;")

    def take_out(self, taken):
        """The first of those that are equal."""
        n, number = taken.channel, taken.message
        self.choice([(" && ".join([f"c{n}__n > {k}", f"c{n}__m{k} == {number}"] + [f"c{n}__m{k - 1} != {number}"] * (k > 0)),
                      lambda k=k: self.take(n, k)) for k in range(self.s.channels[n].room)])

    def break_all(self):
        for n, number in self.broken.items():
            def lost(n=n, number=number):
                self.empty(n)
                self.put(f"c{n}__broken = 1; c{n}__n = 1; c{n}__m0 = {number};")
            if number >= 0:
                self.choice([(f"!c{n}__broken", lost), ("else", None)])

    def at_once(self, event, kind):
        """What a cause does before anybody hears of it."""
        if kind is None:
            self.put(f"started__ = started__ | {self.side_of(event)};")
        elif kind == "break":
            self.break_all()
        elif isinstance(kind, int):
            self.take(kind)
        elif isinstance(kind, Taken):
            self.take_out(kind)
        else:
            m, name, fired = kind
            self.put(f"{m.name}__t_{name} = 0; work = {self.codes[m.name, fired]};")

    def begin(self, event, timer):
        """Inside the turn: the steps that the cause itself brings, in the order of hearing."""
        heard = self.hearing(event, timer)
        ways = [(f"stage == {n}", lambda m=m: self.hear(m, event)) for n, m in enumerate(self.s.factors) if m in heard]
        self.choice([*ways, ("else", None)])

    def hear(self, m, event):
        if m.name in self.s.asleep():
            self.choice([(f"{m.name}__lives && !{m.name}__fresh", lambda: self.put(f"work = {self.codes[m.name, event]};")),
                         ("else", None)])
        else:
            self.put(f"work = {self.codes[m.name, event]};")

    # The whole

    def declarations(self):
        self.put(f"/* Made from {self.s.path} by tools/verify/promela.py. */")
        for name, kind in self.vector():
            self.put(f"{kind} {name};")
        for m in self.s.factors:
            for fact in m.facts:
                self.put(f"bit {m.name}__a_{fact}; /* the answer, within a turn */")
        self.put("byte cause;")
        self.put("/* Used within a turn only. */")
        self.put(f"hidden short work; hidden short queue[{QUEUE}]; hidden byte head; hidden byte used; hidden byte place; hidden byte stage;")
        for name in self.s.asleep():
            self.put(f"hidden byte {name}__fresh;")

    def turn(self, causes):
        self.put("d_step {" if self.whole else "atomic {")
        self.depth += 1
        self.put("work = 0; head = 0; used = 0; stage = 0;")
        for name in self.s.asleep():
            self.put(f"{name}__fresh = 0;")
        n_stages = len(self.s.factors)
        self.choice([(f"cause == {n}", lambda event=event, kind=kind: self.at_once(event, kind)) for n, (_, _, event, kind) in enumerate(causes, 1)])
        def outside():  # noqa: E306
            self.choice([(f"cause == {n}", lambda event=event, kind=kind: self.begin(event, kind))
                         for n, (_, _, event, kind) in enumerate(causes, 1) if event] + [("else", None)])
            self.put("stage++;")
        heard = {(m.name, e.name) for m in self.s.factors for e in m.events.values()}
        def one_step(m, event):  # noqa: E306
            self.put("{" if self.whole else "d_step {")
            self.step(m, event)
            self.put("}")

        def do_work():
            self.choice([(f"work == {self.codes[m.name, event]} /* {m.name} {event} */", lambda m=m, event=event: one_step(m, event))
                         for m in self.s.factors for event in m.events if (m.name, event) in heard])
            self.put("work = 0;")
        self.choice([("work != 0", do_work),
                     ("work == 0 && head < used", lambda: self.put("work = queue[head]; head++;")),
                     (f"work == 0 && head == used && stage < {n_stages}", outside),
                     ("else", lambda: self.put("break;"))], "do")
        for m in self.s.factors:
            if m.facts:
                self.put(" ".join(f"{m.name}__a_{fact} = 0;" for fact in m.facts))
        self.put("cause = 0;")
        self.depth -= 1
        self.put("}")

    def show(self):
        """Taken once from every configuration, since a search without reduction tries every way out of each once."""
        self.put("d_step {")
        self.depth += 1
        self.put('printf("vector");')
        for name, _ in self.vector():
            self.put(f'printf(" %d", {name});')
        self.put('printf("\\n");')
        for prop in self.s.properties:
            self.claim(prop)
        self.depth -= 1
        self.put("}")

    def claim(self, prop):
        left, right = self.condition(prop.left), self.condition(prop.right) if prop.right else ""
        text = {"never": f"!({left})", "iff": f"({left}) == ({right})", "implies": f"!({left}) || ({right})"}.get(prop.kind)
        if text:
            self.choice([(text, None), ("else", lambda: self.put(
                f'printf("spec: line {prop.line} does not hold: {prop.text}\\n"); assert(false);'))])

    def model(self):
        self.declarations()
        causes = list(self.causes())
        self.put("active proctype system__() {")
        self.depth += 1
        self.put("d_step {")
        begun = {self.side_of(event) for event in self.s.first}
        sides = [1 << n for n in range(len(self.s.ends))] or [1]
        self.put(f"    started__ = {sum(side for side in sides if side not in begun)};")
        for m in self.s.factors:
            if m.name not in self.s.asleep():
                counts = "".join(f" {m.name}__c_{c.name} = {c.low};" for c in m.counts.values())
                self.put(f"    {m.name}__lives = 1; {m.name}__state = {self.state(m, m.initial)};{counts}")
        self.put("}")
        self.put("do")
        self.put(":: atomic {")
        self.depth += 1
        ways = []
        for n, cause in enumerate(causes, 1):
            self.n_causes = n
            when, body = self.pick(*cause)
            ways.append((when, body, n))
        self.put("if")
        for when, body, n in ways:
            self.n_causes = n
            self.put(f":: {when} ->")
            self.depth += 1
            body()
            self.depth -= 1
        self.put("fi;")
        self.turn(causes)
        self.depth -= 1
        self.put("}")
        self.put(":: atomic { true ->")
        self.show()
        self.put("}")
        self.put("od")
        self.depth -= 1
        self.put("}")
        # `near.pipe` is no name in Promela
        return re.sub(r"\b([a-z][a-z0-9_]*)\.([a-z][a-z0-9_]*__)", r"\1_\2", "\n".join(self.out) + "\n")
