"""A machine as a Mermaid state diagram. Only `on` is drawn: an arrow where it moves, a line inside the state where it stays.

A label ends at a colon, a semicolon or the end of its line, and `<` may begin a tag, so conditions on counts are put in words."""


def guard_words(machine, guard):
    """`tries.high` wanted false becomes `tries below 3`."""
    out = []
    for name, wanted in guard.items():
        base, _, end = name.partition(".")
        if base not in machine.counts:
            out.append(name if wanted else "!" + name)
            continue
        count = machine.counts[base]
        number = count.low if end == "low" else count.high
        out.append(f"{base} {'at' if wanted else 'above' if end == 'low' else 'below'} {number}")
    return " & ".join(out)


def effects(row):
    """Everything that the row does besides moving, as the row writes it."""
    return [*(f"set {name}" for name in row.sets), *(f"clear {name}" for name in row.clears), *map(str, row.acts),
            *(f"emit {emit}" for emit in row.emits)]


def label(machine, row):
    text = ", ".join(row.events)
    if row.guard is None:
        text += " [else]"
    elif row.guard:
        text += f" [{guard_words(machine, row.guard)}]"
    done = effects(row)
    return text + (" / " + ", ".join(done) if done else "")


def node(state):
    """Prefixed, because `end`, `note` or `state` would be words of Mermaid."""
    return "s_" + state


def diagram(machine):
    out = ["```mermaid", "stateDiagram-v2"]
    for state in machine.states.values():
        shown = f" ({state.shown})" if state.shown else ""
        out.append(f'    state "{state.name}{shown}" as {node(state.name)}')
    out.append(f"    [*] --> {node(machine.initial)}")
    for row in machine.rows:
        if row.verdict != "on":
            continue
        for state in row.states:
            if row.to and row.to != state:
                out.append(f"    {node(state)} --> {node(row.to)}: {label(machine, row)}")
            else:
                out.append(f"    {node(state)}: {label(machine, row)}")
    out += [f"    {node(state.name)} --> [*]" for state in machine.states.values() if state.final]
    return "\n".join([*out, "```"]) + "\n\n"
