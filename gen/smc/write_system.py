"""Writes a system: the C table of who hears what, the golden dump, and the listing that tools/verify reads."""
from gen.smc.write_c import c_name, made_from


def generate(s):
    """NAME_system.gen.h and .c, for a system that the core dispatches by."""
    if not s.table:
        return {}
    return {f"{s.name}_system.gen.h": header(s), f"{s.name}_system.gen.c": tables(s)}


def header(s):
    low, up = s.name, s.name.upper()
    rows = ""
    for event, shown in s.all_events().items():
        rows += f"    PG_{up}_ON_{c_name(event).upper()}," + (f" /* {shown} */" if shown else "") + "\n"
    return f"""{made_from(s.path)}#pragma once
#include "machine/machine.h"

/* What comes from outside; each factor that knows the name hears it, in this order: {', '.join(kinds(s))}. */
enum pg_{low}_event {{
{rows}    PG_{up}_EVENTS,
}};

#define PG_{up}_FACTORS {len(kinds(s))}
#define PG_{up}_DEAF (-1)

/* The factors' machines, and the event's number in each; of one with several instances all hear it. */
extern const struct pg_machine *const pg_{low}_factors[PG_{up}_FACTORS];
extern const int16_t pg_{low}_hears[PG_{up}_EVENTS][PG_{up}_FACTORS];
extern const char *const pg_{low}_events[PG_{up}_EVENTS];
extern const char *const pg_{low}_events_as[PG_{up}_EVENTS];
"""


def tables(s):
    low, up = s.name, s.name.upper()
    events = s.all_events()
    includes = "".join(f'#include "{name}.gen.h"\n' for name in kinds(s))
    machines = ", ".join(f"&pg_{name}_machine" for name in kinds(s))
    hears = ""
    for event in events:
        numbers = [number for name, number in zip(s.hear, heard(s, event)) if name not in s.others]
        cells = [str(number) if number >= 0 else f"PG_{up}_DEAF" for number in numbers]
        hears += f"    {{{', '.join(cells)}}}, /* {event} */\n"
    names = "".join(f'    "{event}",\n' for event in events)
    shown = "".join(f'    "{shown or event}",\n' for event, shown in events.items())
    return f"""{made_from(s.path)}#include "{low}_system.gen.h"
{includes}
const struct pg_machine *const pg_{low}_factors[PG_{up}_FACTORS] = {{{machines}}};

const int16_t pg_{low}_hears[PG_{up}_EVENTS][PG_{up}_FACTORS] = {{
{hears}}};

const char *const pg_{low}_events[PG_{up}_EVENTS] = {{
{names}}};

const char *const pg_{low}_events_as[PG_{up}_EVENTS] = {{
{shown}}};
"""


def kinds(s):
    """The machines, each once: the core knows its instances itself."""
    return [name for name in s.hear if name not in s.others]


def heard(s, event):
    """The event's number in each factor, -1 where it is not heard."""
    return [list(m.events).index(event) if s.hears(m, event) else -1 for m in s.factors]


def golden(s):
    """The reviewed dump: the table of who hears what, the world, and the properties."""
    out = [f"system {s.name}", f"product {product(s)}", f"hear {', '.join(s.hear)}"]
    out += [f"ends {', '.join(f'{side} {name}' for side, name in s.ends)}"] if s.ends else []
    for c in s.channels:
        out += [c.text] + [f"  {text}" for text in sorted({x.text for x in c.sendings})] + ([f"  {c.broken_text}"] if c.broken else [])
    out += [s.opening.text] if s.opening else []
    out += ["table"] if s.table else []
    out += ["large"] if s.large else []
    out += [f"first {' | '.join(s.first)}"] if s.first else []
    out += [f"without {', '.join(s.without)}"] if s.without else []
    body = sorted({tie.text for tie in s.ties}) + sorted({text for *_, text in s.may})
    for event, shown in s.all_events().items():
        hearers = ", ".join(m.name for m in s.factors if s.hears(m, event))
        body.append(f"hears {event} : {hearers}" + (f" as {shown}" if shown else ""))
    body += [text for *_, text in s.given] + [f"fair {e}" for e in s.fair + s.arriving] + sorted({text for *_, text in s.due})
    body += [f"property {p.text}" for p in s.properties]
    return "\n".join(out + sorted(body)) + "\n"


def product(s):
    parts = []
    for name in s.product:
        arms = next((arms for arms in s.sums if name in arms), [name])
        if name in s.others:
            parts.append(f"{s.others[name]} as {name}")
        elif name == arms[0]:
            parts.append(f"({' + '.join(arms)})" if arms in s.sums else name)
    return " * ".join(parts)


def listing(s):
    """Numbers only, one item a line, for the C verifier; names stand at the end of a line where messages need them."""
    events = list(s.all_events())
    order = {name: n for n, name in enumerate(s.hear)}
    out = [f"system {s.name}"] + [f"factor {m.name}" + (f" {s.kind(m.name)}" if m.name in s.others else "") for m in s.factors]
    for event in events:
        out.append(f"event {' '.join(map(str, heard(s, event)))} {event}")
    out += [f"arrival {' '.join(map(str, arrival(s, event)))} {event}" for event in s.arrivals()]
    out += [f"owner {order[m.name]} {order[s.owner(m)]}" for m in s.factors if s.owner(m)]
    out += [f"asleep {order[name]}" for name in s.asleep()]
    out += [f"sum {sum(1 << order[arm] for arm in arms)}" for arms in s.sums]
    for tie in s.ties:
        m, to = s.machines[tie.machine], s.machines[tie.to]
        event = list(to.events).index(tie.event) if tie.event else -1
        out.append(f"tie {order[m.name]} {list(m.actions).index(tie.action)} {order[to.name]} {event} {int(tie.enters)} "
                   f"{condition_text(s, tie.when, order)}")
    out += [f"first {events.index(name)}" for name in s.first]
    every = events + s.arrivals()  # where a name is both, what the world sends is meant
    out += [f"may {every.index(name)} {condition_text(s, condition, order)}" for name, condition, _ in s.may]
    for name in s.fair:
        other, _, own = name.partition(".")
        for m in [s.machines[other]] if other in s.others else s.factors:
            event = m.events.get(own if other in s.others else name)
            if event is not None and event.timer:
                out.append(f"fair {order[m.name]} {list(m.timers).index(event.timer)}")
    out += [f"due {events.index(name)} {condition_text(s, condition, order)}" for name, condition, _ in s.due]
    out += channels(s, order)
    for name, fact, condition, _ in s.given:
        m = s.machines[name]
        out.append(f"given {order[name]} {list(m.facts).index(fact)} {condition_text(s, condition, order)}")
    for p in s.properties:
        out.append(f"property {p.kind} {p.line} {p.name or '-'} {p.text}")
        out += [f"left {condition_text(s, p.left, order)}"] if p.left else []
        out += [f"right {condition_text(s, p.right, order)}"] if p.right else []
        out += [f"by {by_text(s, e, events, order)}" for e in p.events]
        out += [f"with {events.index(e)}" for e in p.others]
        out += [f"part {order[m]} {1 << list(s.machines[m].flags).index(f) if f else 0}" for m, f in p.parts]
        out += [act_text(s, m, a, order) for m, a in p.acts]
        out += [f"fact {order[m]} {list(s.machines[m].facts).index(f)} {int(wanted)}" for m, f, wanted in p.facts]
        out += [f"count {p.count[0]} {p.count[1]}"] if p.count[1] else []
    return "\n".join(out) + "\n"


def arrival(s, event):
    return [list(m.events).index(event) if event in m.events else -1 for m in s.factors]


def channels(s, order):
    """Messages by number, what sends them, and which arrive at last."""
    messages, lines, arrivals = [], [], s.arrivals()

    def number(way):
        messages.append(f"message {len(way)} {' '.join(str(arrivals.index(event)) for event in way)}")
        return len(messages) - 1
    for n, c in enumerate(s.channels):
        lines.append(f"channel {c.room} {int(c.bag) + int(c.lossy)} {number(c.broken) if c.broken else -1} {c.name}")
        for x in c.sendings:
            actions = list(s.machines[x.machine].actions)
            for k, way in enumerate(x.messages):
                last = x.last and k + 1 == len(x.messages)
                lines.append(f"send {n} {order[x.machine]} {actions.index(x.action)} {number(way)} {int(last)}")
    if s.opening:
        o, sides = s.opening, [side for side, _ in s.ends]
        to = s.machines[o.to]
        lines.append(f"open {sides.index(o.side)} {order[o.machine]} {list(s.machines[o.machine].actions).index(o.action)} "
                     f"{order[o.to]} {list(to.events).index(o.event)}")
    lines = [line for line in lines if line.startswith("channel")] + messages + [line for line in lines if not line.startswith("channel")]
    return lines + [f"arrives {[c.name for c in s.channels].index(name)}" for name in s.arriving]


def act_text(s, name, action, order):
    m, timer = s.machines[name], action.removesuffix(".start")
    if timer != action and timer in m.timers:
        return f"start {order[name]} {list(m.timers).index(timer)}"
    return f"act {order[name]} {list(m.actions).index(action)}"


def by_text(s, event, events, order):
    """An event from outside as `0 number 0`, a timer as `1 factor timer`."""
    if event in s.arrivals():
        return f"2 {len(events) + s.arrivals().index(event)} 0"
    if event in events:
        return f"0 {events.index(event)} 0"
    other, _, own = event.partition(".")
    m, event = (s.machines[other], own) if other in s.others else (next(m for m in s.factors if event in m.events), event)
    return f"1 {order[m.name]} {list(m.timers).index(m.events[event].timer)}"


def condition_text(s, condition, order):
    """`alternatives (atoms (factor kind value wanted)…)…`; kind 0 a mask of states, 1 of flags, 2 of timers, 3 life, 4 a mask of
    the counts' ends (low and high of the first, and so on)."""
    words = [len(condition)]
    for conjunction in condition:
        words.append(len(conjunction))
        for name, kind, things, wanted in conjunction:
            m = s.machines[name]
            ends = [f"{count}.{end}" for count in m.counts for end in ("low", "high")]
            table = list({"state": m.states, "flag": m.flags, "timer": m.timers, "life": (), "count": ends}[kind])
            mask = sum(1 << table.index(thing) for thing in things)
            words += [order[name], ("state", "flag", "timer", "life", "count").index(kind), mask, int(wanted)]
    return " ".join(map(str, words))
