"""The list of all machines and systems, a line for each."""
from gen.docs import notes
from gen.docs.machines import link
from gen.docs.markdown import banner, code, codes, ended, first_sentence, prose, section, table


def machine_line(spec_dir, m):
    note = notes.read(spec_dir / "machine" / f"{m.name}.sm")
    per = " * ".join(m.keys)
    return (link(m.name), len(m.states), len(m.rows), code(per), m.at_most if per else "1", prose(first_sentence(note.opening)))


def factor(name):
    """A machine, behind the name of its side where a system has two ends."""
    side, dot, machine = name.rpartition(".")
    return side + dot + link(machine)


def product_text(s):
    """`a * (b + c)`, with each factor once."""
    parts = []
    for name in s.product:
        arms = next((arms for arms in s.sums if name in arms), None)
        if name in s.others:
            parts.append(f"{factor(s.others[name])} as {name}")
        elif arms is None:
            parts.append(factor(name))
        elif name == arms[0]:
            parts.append("(" + " + ".join(factor(arm) for arm in arms) + ")")
    return " × ".join(parts)


def system_line(spec_dir, s):
    note = notes.read(spec_dir / "system" / f"{s.name}.sys")
    names = [p.name for p in s.properties if p.name]
    return (code(s.name), product_text(s), len(s.all_events()), len(s.ties), len(s.properties), codes(names),
            prose(first_sentence(note.opening)))


def page(spec_dir, checked, systems):
    place = spec_dir.name
    out = banner(f"{place}/machine and {place}/system") + "# Machines and systems\n\n"
    out += "A machine is a page of its own; its rows are lines of the `.sm` file of the same name. What a page does not say does "
    out += "not happen: every state answers every event.\n\n"
    heads = ("machine", "states", "rows", "per", "at most", "what it is")
    out += section("Machines", table(heads, [machine_line(spec_dir, c.machine) for c in checked]))
    heads = ("system", "product", "events from outside", "ties", "properties", "named properties", "what it is")
    out += section("Systems", table(heads, [system_line(spec_dir, s) for s in systems]))
    return ended(out)
