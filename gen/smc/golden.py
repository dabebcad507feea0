"""The dump that is reviewed: every answer of a machine as one sorted line, free of line numbers and of the order in the file."""


def dump(checked):
    m = checked.machine
    out = [f"machine {m.name}" + (f" per {' * '.join(m.keys)} at most {m.at_most}" if m.keys else "")]
    for state in m.states.values():
        marks = (" initial" if state.initial else "") + (" final" if state.final else "")
        out.append(f"state {state.name}{marks}{shown(state)}")
    for kind in ("flags", "facts"):
        out += [f"{kind[:-1]} {name}" for name in getattr(m, kind)]
    out += [f"count {c.name} {c.low}..{c.high}" for c in m.counts.values()]
    out += [f"timer {t.name} {t.text}" for t in m.timers.values()]
    out += [f"event {e.name}{' from ' + e.source if e.source else ''}{shown(e)}" for e in m.events.values()]
    out += [f"action {a.name}{shown(a)}" for a in m.actions.values()]
    out += [f"owner {name}" for name in m.owners]
    out += [f"export {e.name} in {', '.join(e.states)}" for e in m.exports.values()]
    rows = []
    for (state, event), entries in checked.table.items():
        rows += [row(checked.bits, state, event, entry) for entry in entries]
    return "\n".join([out[0], *sorted(out[1:]), *sorted(rows)]) + "\n"


def shown(thing):
    return f" as {thing.shown}" if thing.shown else ""


def row(bits, state, event, entry):
    r = entry.row
    text = f"row {state} {event}"
    if entry.cube.care:
        text += f" when {bits.text(entry.cube.care, entry.cube.want).replace(', ', ' ')}"
    text += f" : {r.verdict}"
    if r.verdict in ("on", "reject"):
        text += f" -> {r.to or state}"
    for word, items in (("set", r.sets), ("clear", r.clears), ("do", r.acts), ("emit", r.emits)):
        if items:
            text += f" {word} {', '.join(map(str, items))}"
    return text
