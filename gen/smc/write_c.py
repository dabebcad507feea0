"""Writes a checked machine as C: header (names), tables, and apart from them the binding to the protocol's C,
so that the verifier can link tables without any protocol."""
from gen.smc.check import hearers

VERDICT = {"on": "PG_ON", "ignore": "PG_IGNORE", "reject": "PG_REJECT", "never": "PG_NEVER"}
EMIT_TO = {"owner": "PG_TO_OWNER", "each": "PG_TO_EACH", "sister": "PG_TO_SISTER"}


def c_name(name):
    return name.replace(".", "_")


def made_from(path):
    return f"/* Made from {path} by gen/smc; not to be edited. */\n"


def header(checked):
    m = checked.machine
    low, up = m.name, m.name.upper()
    out = [made_from(m.path), "#pragma once\n#include \"machine/machine.h\"\n\n"]
    out.append(enum(f"pg_{low}_state", f"PG_{up}_", m.states.values()))
    out.append(enum(f"pg_{low}_event", f"PG_{up}_ON_", m.events.values()))
    out.append(f"#define PG_{up}_TIMERS {len(m.timers)}\n")
    order = list(m.states)
    for export in m.exports.values():
        mask = sum(1 << order.index(s) for s in export.states)
        out.append(f"/* States as a mask: {', '.join(export.states)}. */\n")
        out.append(f"#define PG_{up}_{c_name(export.name).upper()} 0x{mask:x}u\n")
    out.append(f"\nextern PG_TABLE struct pg_machine pg_{low}_machine;\nextern const struct pg_binding pg_{low}_binding;\n")
    out.append(f"\n/* What the machine's C file supplies. */\nstruct pg_{low};\n")
    for fact in m.facts:
        out.append(f"bool pg_{low}_is_{c_name(fact)}(const struct pg_{low} *);\n")
    for action in m.actions:
        out.append(f"void pg_{low}_do_{c_name(action)}(struct pg_{low} *);\n")
    for duration in dict.fromkeys(t.duration for t in m.timers.values() if t.duration):
        out.append(f"uint64_t pg_{low}_{duration}_ms(const struct pg_{low} *);\n")
    return "".join(out)


def enum(tag, prefix, things):
    lines = []
    for thing in things:
        shown = f" /* {thing.shown} */" if thing.shown else ""
        lines.append(f"    {prefix}{c_name(thing.name).upper()},{shown}\n")
    return f"enum {tag} {{\n{''.join(lines)}}};\n\n"


def strings(name, values):
    body = ", ".join(f'"{v}"' for v in values) or "NULL"
    return f"static const char *const {name}[] = {{{wrap(body)}}};\n"


def wrap(text, width=118):
    """Breaks a long initializer at commas."""
    if len(text) < 80:
        return text
    lines, line = [], ""
    for part in text.split(", "):
        if len(line) + len(part) > width:
            lines.append(line)
            line = ""
        line += part + ", "
    lines.append(line)
    return "\n    " + "\n    ".join(x.rstrip() for x in lines) + "\n"


class Tables:
    """Rows, actions and emits of all cells in one pass; equal lists are kept once."""

    def __init__(self, checked, machines):
        self.c, self.m, self.machines = checked, checked.machine, machines
        self.first, self.rows, self.acts, self.emits = [], [], [], []
        self.lists = {}
        states = list(self.m.states)
        for state in states:
            for event in self.m.events:
                self.first.append(len(self.rows))
                entries = sorted(checked.table[state, event], key=lambda e: (e.row.line, e.cube.care, e.cube.want))
                self.rows += [self.row(entry, states, state) for entry in entries]
        self.first.append(len(self.rows))

    def place(self, kind, items, into):
        """Where this list of actions or emits stands."""
        key = (kind, tuple(items))
        if key not in self.lists:
            self.lists[key] = len(into)
            into += items
        return self.lists[key]

    def row(self, entry, states, state):
        row = entry.row
        acts = [self.act(act) for act in row.acts]
        emits = [one for emit in row.emits for one in self.emit(emit)]
        act, emit = (self.place("act", acts, self.acts) if acts else 0), (self.place("emit", emits, self.emits) if emits else 0)
        bit = self.c.bits.bit
        return (f"{{0x{entry.cube.care:x}u, 0x{entry.cube.want:x}u, 0x{sum(bit[f] for f in row.sets):x}u, "
                f"0x{sum(bit[f] for f in row.clears):x}u, {row.line}, {act}, {emit}, {len(acts)}, {len(emits)}, "
                f"{VERDICT[row.verdict]}, {states.index(row.to or state)}}}")

    def act(self, act):
        table = self.m.actions if act.kind == "CALL" else self.m.timers if act.kind.startswith("TIMER") else self.m.counts
        return f"{{PG_ACT_{act.kind}, {list(table).index(act.name)}}}"

    def emit(self, emit):
        """One entry for each machine that may be the hearer."""
        for name in hearers(self.m, emit):
            number = list(self.machines[name].events).index(emit.event)
            yield f"{{{EMIT_TO[emit.to]}, PG_MACHINE_{name.upper()}, {number}}}"


def tables(checked, machines):
    m, t = checked.machine, Tables(checked, machines)
    out = [made_from(m.path), f'#include "{m.name}.gen.h"\n#include "machines.gen.h"\n\n']
    for kind in ("states", "events", "actions"):
        things = getattr(m, kind).values()
        out.append(strings(kind, [x.name for x in things]))
        out.append(strings(kind + "_as", [x.shown or x.name for x in things]))
    for kind in ("flags", "facts", "counts", "timers"):
        out.append(strings(kind, getattr(m, kind)))
    ranges = ", ".join(f"{{{c.low}, {c.high}}}" for c in m.counts.values()) or "{0, 0}"
    events = list(m.events)
    fired = ", ".join(str(events.index(t.name + ".fired")) for t in m.timers.values()) or "0"
    out.append(f"static const uint8_t count_range[][2] = {{{ranges}}};\n")
    out.append(f"static const uint8_t timer_event[] = {{{fired}}};\n")
    out.append(f"static const uint64_t timer_ms[] = {{{', '.join(str(x.ms) for x in m.timers.values()) or '0'}}};\n")
    out.append(f"static const uint16_t first[] = {{{wrap(', '.join(map(str, t.first)))}}};\n")
    out.append("static const struct pg_row rows[] = {\n" + rows_text(m, t) + "};\n")
    out.append(f"static const struct pg_act acts[] = {{{wrap(', '.join(t.acts) or '{0, 0}')}}};\n")
    out.append(f"static const struct pg_emit emits[] = {{{wrap(', '.join(t.emits) or '{0, 0, 0}')}}};\n\n")
    out.append(machine(m))
    return "".join(out)


def rows_text(m, t):
    lines, cell = [], 0
    for state in m.states:
        for event in m.events:
            for n in range(t.first[cell], t.first[cell + 1]):
                note = f" /* {state}, {event} */" if n == t.first[cell] else ""
                lines.append(f"    {t.rows[n]},{note}\n")
            cell += 1
    return "".join(lines)


def machine(m):
    order = list(m.states)
    final = sum(1 << n for n, s in enumerate(m.states.values()) if s.final)
    fields = [("name", f'"{m.name}"'), ("id", f"PG_MACHINE_{m.name.upper()}")]
    fields += [("n_" + kind, len(getattr(m, kind)))
               for kind in ("states", "events", "flags", "facts", "counts", "timers", "actions")]
    fields += [("initial", order.index(m.initial)), ("final", f"0x{final:x}u")]
    fields += [(x, x) for x in ("states", "states_as", "events", "events_as", "actions", "actions_as", "flags", "facts",
                                "counts", "timers", "count_range", "timer_event", "timer_ms", "first", "rows", "acts", "emits")]
    body = "".join(f"    .{name} = {value},\n" for name, value in fields)
    return f"PG_TABLE struct pg_machine pg_{m.name}_machine = {{\n{body}}};\n"


def binding(checked):
    m = checked.machine
    low = m.name
    facts = [f"        case {n}: return pg_{low}_is_{c_name(f)}(self);\n" for n, f in enumerate(m.facts)]
    acts = [f"        case {n}: pg_{low}_do_{c_name(a)}(self); return;\n" for n, a in enumerate(m.actions)]
    times = [f"        case {n}: return pg_{low}_{t.duration}_ms(self);\n"
             for n, t in enumerate(m.timers.values()) if t.duration]
    out = [made_from(m.path), f'#include "{low}.gen.h"\n\n']
    out.append(switch("static bool fact(const void *self, unsigned number)", facts, "    return false;\n"))
    out.append(switch("static void act(void *self, unsigned number)", acts, ""))
    out.append(switch("static uint64_t duration_ms(const void *self, unsigned number)", times, "    return 0;\n"))
    out.append(f"const struct pg_binding pg_{low}_binding = {{fact, act, duration_ms}};\n")
    return "".join(out)


def switch(head, cases, tail):
    if cases:
        body = f"    switch (number) {{\n{''.join(cases)}        default: break;\n    }}\n"
    else:
        body = "    (void)self;\n    (void)number;\n"
    return f"{head}\n{{\n{body}{tail}}}\n\n"


def index(all_checked):
    """machines.gen.h and machines.gen.c: every machine by number."""
    names = [c.machine.name for c in all_checked]
    head = "/* Made from spec/machine by gen/smc; not to be edited. */\n"
    ids = "".join(f"    PG_MACHINE_{n.upper()},\n" for n in names)
    h = (f'{head}#pragma once\n#include "machine/machine.h"\n\nenum pg_machine_id {{\n{ids}    PG_MACHINES,\n}};\n\n'
         "extern const struct pg_machine *const pg_machines[];\n")
    includes = "".join(f'#include "{n}.gen.h"\n' for n in names)
    items = "".join(f"    &pg_{n}_machine,\n" for n in names) or "    NULL,\n"
    c = f'{head}#include "machines.gen.h"\n{includes}\nconst struct pg_machine *const pg_machines[] = {{\n{items}}};\n'
    return {"machines.gen.h": h, "machines.gen.c": c}
