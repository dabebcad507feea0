"""The page of one machine: what it is, the drawing, every row, and everything that the rows name."""
from gen import wirec
from gen.docs import mermaid, notes
from gen.docs.markdown import banner, bullets, code, codes, ended, prose, section, table
from gen.smc.check import hearers

ENDS = {("low", True): "=", ("low", False): ">", ("high", True): "=", ("high", False): "<"}
FROM = {"wire": "bytes of a remote", "world": "the loop or another part of the program", "inside": "within"}


class Makers:
    """What causes an event beside the outside: emits, actions tied to it in a system, messages mapped to it in .bounds."""

    def __init__(self, spec_dir, checked, systems):
        self.by_event = {}    # (machine, event) -> texts
        self.by_action = {}   # (machine, action) -> texts
        self.systems = {c.machine.name: [s.name for s in systems if c.machine.name in s.hear] for c in checked}
        self.messages = {}    # event -> texts
        for c in checked:
            self.emits(c.machine)
        for s in systems:
            for tie in s.ties:
                self.tie(s, tie)
        for file in wirec.read(spec_dir)[0]:
            for message in file.messages.values():
                for event in [*message.events, *([message.otherwise] if message.otherwise else [])]:
                    self.messages.setdefault(event.name, []).append(f"message {code(message.name)} of {file.stem}.proto")

    def emits(self, machine):
        for row in machine.rows:
            for emit in row.emits:
                for hearer in hearers(machine, emit):
                    add(self.by_event, (hearer, emit.event), f"{link(machine.name)} emits it")

    def tie(self, s, tie):
        if tie.event:
            add(self.by_event, (tie.to, tie.event), f"{link(tie.machine)} does {code(tie.action)} (system {s.name})")
        what = (f"begins {link(tie.to)}" if tie.enters else "") + (" with " if tie.enters and tie.event else "")
        what += (code(tie.event) if tie.enters else f"steps {link(tie.to)} by {code(tie.event)}") if tie.event else ""
        add(self.by_action, (tie.machine, tie.action), f"{what} (system {s.name})")

    def of(self, machine, event):
        if event.timer:
            return f"timer {code(event.timer)}"
        found = self.by_event.get((machine.name, event.name), []) + self.messages.get(event.name, [])
        return "; ".join(found)


def add(table_of, key, text):
    texts = table_of.setdefault(key, [])
    if text not in texts:
        texts.append(text)


def link(machine):
    return f"[{machine}]({machine}.md)"


def guard_text(machine, guard):
    """The guard in the words of the language."""
    if guard is None:
        return "else"
    out = []
    for name, wanted in guard.items():
        base, _, end = name.partition(".")
        if base in machine.counts:
            number = getattr(machine.counts[base], end)
            out.append(f"{base} {ENDS[end, wanted]} {number}")
        else:
            out.append(name if wanted else "!" + name)
    return " & ".join(out)


def opening(machine, note, makers):
    keys = " and ".join(code(key) for key in machine.keys)
    text = f"There is one for each {keys}, at most {machine.at_most}." if keys else "There is one."
    if machine.owners:
        text += f" Its owner is {' or '.join(link(name) for name in machine.owners)}."
    stands = makers.systems[machine.name]
    text += f" It is checked in the system {' and in '.join(stands)}." if stands else " It stands in no system."
    what = f"{prose(note.opening)}\n\n" if note.opening else ""
    return what + text + "\n\n" + bullets(["from " + prose(source) for source in machine.sources])


def states(machine, note):
    masks = {name: [e.name for e in machine.exports.values() if name in e.states] for name in machine.states}
    rows = []
    for s in machine.states.values():
        kind = "initial" if s.initial else "final" if s.final else ""
        rows.append((code(s.name), code(s.shown), kind, codes(masks[s.name]), prose(note.of(s))))
    return table(("state", "shown as", "", "masks", "what it means"), rows)


def row_table(machine, note):
    rows = []
    for r in machine.rows:
        acts = [*(f"set {n}" for n in r.sets), *(f"clear {n}" for n in r.clears), *map(str, r.acts)]
        rows.append((r.line, codes(r.states), r.verdict, codes(r.events), code(guard_text(machine, r.guard)), code(r.to),
                     codes(acts), codes(r.emits), prose(note.of(r))))
    return table(("line", "state", "answer", "event", "when", "to", "actions", "emits", "why"), rows)


def not_drawn(machine):
    """By state: what is ignored, held against the remote, or our own bug."""
    items = []
    for state in machine.states:
        parts = []
        for verdict, words in (("ignore", "ignores"), ("reject", "rejects"), ("never", "never gets")):
            said = []
            for r in machine.rows:
                if r.verdict == verdict and state in r.states:
                    when = f" when {code(guard_text(machine, r.guard))}" if r.guard else " else" if r.guard is None else ""
                    to = f" -> {code(r.to)}" if r.to else ""
                    said += [code(event) + when + to for event in r.events]
            parts += [f"{words} {', '.join(said)}"] if said else []
        if parts:
            items.append(f"{code(state)} {'; '.join(parts)}")
    return bullets(items)


def events(machine, note, makers):
    rows = []
    for e in machine.events.values():
        source = "" if e.timer else FROM.get(e.source, "")
        made = "; ".join(text for text in (source, makers.of(machine, e)) if text) or "the program"
        # of a timer's event without a line of its own, the line is the timer's, and its comment stands there
        comment = "" if e.timer and e.line == machine.timers[e.timer].line else note.of(e)
        declared = any(e.line == row.line for row in machine.rows)
        rows.append((code(e.name), code(e.shown), made, "" if declared else prose(comment)))
    return table(("event", "shown as", "comes from", "what it means"), rows)


def own_bits(machine, note):
    flags = [(code(f.name), prose(note.of(f))) for f in machine.flags.values()]
    counts = [(code(c.name), f"{c.low} to {c.high}", prose(note.of(c))) for c in machine.counts.values()]
    return section("Flags", table(("flag", "what it means"), flags)) + \
        section("Counts", table(("count", "range", "what it means"), counts))


def timers(machine, note):
    rows = []
    for t in machine.timers.values():
        c = f"pg_{machine.name}_{t.duration}_ms" if t.duration else ""
        rows.append((code(t.name), code(t.text), code(c), code(t.name + ".fired"), prose(note.of(t))))
    return table(("timer", "lasts", "computed by", "fires", "what it means"), rows)


def facts(machine, note):
    rows = [(code(f.name), code(f"pg_{machine.name}_is_{f.c}"), prose(note.of(f))) for f in machine.facts.values()]
    return table(("fact", "asked of", "what it means"), rows)


def actions(machine, note, makers):
    row_lines = {row.line for row in machine.rows}
    rows = []
    for a in machine.actions.values():
        ties = "; ".join(makers.by_action.get((machine.name, a.name), []))
        comment = "" if a.line in row_lines else prose(note.of(a))
        rows.append((code(a.name), code(a.shown), code(f"pg_{machine.name}_do_{a.c}"), ties, comment))
    return table(("action", "shown as", "done by", "others", "what it means"), rows)


def masks(machine, note):
    rows = [(code(e.name), codes(e.states), code(f"PG_{machine.name.upper()}_{e.c.upper()}"), prose(note.of(e)))
            for e in machine.exports.values()]
    return table(("mask", "holds in", "in C", "what it means"), rows)


def page(spec_dir, machine, makers):
    note = notes.read(spec_dir / "machine" / f"{machine.name}.sm")
    out = banner(machine.path) + f"# {machine.name}\n\n" + opening(machine, note, makers)
    out += section("States", mermaid.diagram(machine) + states(machine, note))
    quiet = not_drawn(machine)
    out += "The drawing leaves these out:\n\n" + quiet if quiet else ""
    out += section("Rows", row_table(machine, note))
    out += section("Events", events(machine, note, makers))
    out += own_bits(machine, note)
    out += section("Timers", timers(machine, note))
    out += section("Facts", facts(machine, note))
    out += section("Actions", actions(machine, note, makers))
    out += section("Masks", masks(machine, note))
    return ended(out)
