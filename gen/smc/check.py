"""Judges machines that could be read: what a machine can do on its own (every event at any time, every fact either way),
and what machines say to each other. Raises SpecError with every finding of a machine, the first one first."""
import dataclasses

from gen.report import SpecError
from gen.smc.cells import MAX_CONDITIONS, Bits, cells

MAX_COUNTS = 3
MAX_STATES = 32
MAX_BYTE = 255
MAX_CONFIGURATIONS = 200_000


@dataclasses.dataclass
class Checked:
    """A machine with its cells: what the writers need."""
    machine: object
    bits: Bits
    table: dict            # (state, event) -> entries
    configurations: int = 0


def refuse(machine, problems):
    if not problems:
        return
    problems = sorted(set(problems))[:30]
    first_line, first = problems[0]
    rest = "".join(f"\n{machine.path}:{line}: {text}" for line, text in problems[1:])
    raise SpecError(machine.path, first_line, first + rest)


def check_machine(machine):
    refuse(machine, sizes(machine))
    table, problems = cells(machine)
    refuse(machine, unused(machine) + problems)
    checked = Checked(machine, Bits(machine), table)
    refuse(machine, wire_never(machine) + ways(machine))
    refuse(machine, Walk(checked).problems())
    return checked


def sizes(m):
    out = []
    if len(m.conditions) > MAX_CONDITIONS:
        out.append((m.line, f"{len(m.conditions)} conditions (flags, facts, two for each count): at most {MAX_CONDITIONS}"))
    if len(m.counts) > MAX_COUNTS:
        out.append((m.line, f"{len(m.counts)} counts: at most {MAX_COUNTS}"))
    if len(m.states) > MAX_STATES:
        out.append((m.line, f"{len(m.states)} states: at most {MAX_STATES}"))
    for kind in ("events", "actions", "timers"):
        if len(getattr(m, kind)) > MAX_BYTE:
            out.append((m.line, f"{len(getattr(m, kind))} {kind}: at most {MAX_BYTE}"))
    return out


def unused(m):
    """Names that do nothing: each is either a mistake or a leftover."""
    out = []
    tested = {name for row in m.rows for name in (row.guard or {})}
    acts = [act for row in m.rows for act in row.acts]
    for flag in m.flags.values():
        if flag.name not in tested:
            out.append((flag.line, f"flag {flag.name}: nobody reads it"))
        if not any(flag.name in row.sets for row in m.rows):
            out.append((flag.line, f"flag {flag.name}: nobody sets it"))
    for fact in m.facts.values():
        if fact.name not in tested:
            out.append((fact.line, f"fact {fact.name}: nobody asks for it"))
    for count in m.counts.values():
        if not any(name.partition(".")[0] == count.name for name in tested):
            out.append((count.line, f"count {count.name}: nobody tests it"))
        if not any(a.name == count.name and a.kind in ("COUNT_UP", "COUNT_DOWN") for a in acts):
            out.append((count.line, f"count {count.name}: nobody moves it"))
    for timer in m.timers.values():
        if not any(a.kind == "TIMER_START" and a.name == timer.name for a in acts):
            out.append((timer.line, f"timer {timer.name}: nobody starts it"))
    for action in m.actions.values():
        if not any(a.kind == "CALL" and a.name == action.name for a in acts):
            out.append((action.line, f"action {action.name}: nobody does it"))
    for event in m.events.values():
        rows = [row for row in m.rows if event.name in row.events]
        if not rows:
            out.append((event.line, f"event {event.name}: nobody handles it: no row names it"))
        elif not any(row.verdict in ("on", "reject") for row in rows):
            out.append((event.line, f"event {event.name}: nobody handles it: every row ignores it or says never"))
    return out


def wire_never(m):
    return [(row.line, f"never {name}: it comes from the wire, and no peer may trip an assert; say reject or ignore")
            for row in m.rows if row.verdict == "never" for name in row.events if m.events[name].source == "wire"]


def ways(m):
    out = []
    for state in m.states.values():
        into = any(row.to == state.name and any(s != state.name for s in row.states) for row in m.rows)
        away = any(row.to and row.to != state.name and state.name in row.states for row in m.rows)
        if not into and not state.initial:
            out.append((state.line, f"state {state.name}: no way in"))
        if not away and not state.final and len(m.states) > 1:
            out.append((state.line, f"state {state.name}: no way out, and it is not final"))
        if away and state.final:
            out.append((state.line, f"state {state.name}: final, but there is a way out"))
    return out


class Walk:
    """Breadth-first over (state, flags, counts, running timers): the machine alone, the world as rude as it can be.
    Finds timers whose firing only `never` answers, counts that leave their range, rows that nothing reaches."""

    def __init__(self, checked):
        self.c, self.m = checked, checked.machine
        self.bits = checked.bits
        self.timers = {name: 1 << n for n, name in enumerate(self.m.timers)}
        self.counts = list(self.m.counts.values())
        self.found = set()
        self.taken = set()   # (line, event)
        self.rows = {}       # (state, own conditions) -> rows that they allow
        self.states = set()

    def own(self, flags, counts):
        conditions = flags
        for (low, high, _), count, value in zip(self.bits.pairs, self.counts, counts):
            conditions |= (low if value == count.low else 0) | (high if value == count.high else 0)
        return conditions

    def problems(self):
        start = (self.m.initial, 0, tuple(c.low for c in self.counts), 0)
        seen, todo = {start}, [start]
        while todo:
            later = []
            for config in todo:
                for other in self.steps(config):
                    if other not in seen:
                        seen.add(other)
                        later.append(other)
            if len(seen) > MAX_CONFIGURATIONS:
                return [(self.m.line, f"machine {self.m.name}: more than {MAX_CONFIGURATIONS} configurations; split it")]
            todo = later
        self.c.configurations = len(seen)
        return sorted(self.found) or self.dead()

    def possible(self, state, own):
        """Rows that these flags and counts allow, whatever the facts."""
        key = state, own
        if key not in self.rows:
            rows = []
            for event in self.m.events.values():
                for entry in self.c.table[state, event.name]:
                    if (own ^ entry.cube.want) & entry.cube.care & self.bits.own_mask == 0:
                        rows.append((event, entry.row))
            self.rows[key] = rows
        return self.rows[key]

    def steps(self, config):
        state, flags, counts, running = config
        self.states.add(state)
        for event, row in self.possible(state, self.own(flags, counts)):
            left = running
            if event.timer:
                if not running & self.timers[event.timer]:
                    continue
                left &= ~self.timers[event.timer]
                if row.verdict == "never":
                    self.found.add((row.line, f"state {state}: timer {event.timer} can be running here, "
                                              f"but {event.name} is only answered by never"))
                    continue
            self.taken.add((row.line, event.name))
            if row.verdict in ("ignore", "never"):
                if left != running:
                    yield (state, flags, counts, left)
                continue
            yield self.after(state, flags, counts, left, row)

    def after(self, state, flags, counts, running, row):
        for name in row.sets:
            flags |= self.bits.bit[name]
        for name in row.clears:
            flags &= ~self.bits.bit[name]
        counts = list(counts)
        for act in row.acts:
            if act.kind == "TIMER_START":
                running |= self.timers[act.name]
            elif act.kind == "TIMER_STOP":
                running &= ~self.timers[act.name]
            elif act.kind.startswith("COUNT"):
                n = next(n for n, c in enumerate(self.counts) if c.name == act.name)
                value = {"COUNT_UP": counts[n] + 1, "COUNT_DOWN": counts[n] - 1, "COUNT_ZERO": self.counts[n].low}[act.kind]
                if not self.counts[n].low <= value <= self.counts[n].high:
                    end = "high" if value > self.counts[n].high else "low"
                    self.found.add((row.line, f"state {state}: {act} when {act.name} is already at its {end} end; guard the row"))
                    value = counts[n]
                counts[n] = value
        return (row.to or state, flags, tuple(counts), running)

    def dead(self):
        out = []
        for state in self.m.states.values():
            if state.name not in self.states:
                out.append((state.line, f"state {state.name}: nothing reaches it"))
        for row in self.m.rows:
            if row.verdict == "never" or not any(s in self.states for s in row.states):
                continue
            for event in row.events:
                if (row.line, event) in self.taken:
                    continue
                timer = self.m.events[event].timer
                why = f"timer {timer} never runs here: say never" if timer else "its conditions never hold here"
                out.append((row.line, f"event {event}: no run takes this row; {why}"))
        return out


def check_together(all_checked):
    """Emits between machines: who hears them, and that no turn can go round in circles."""
    machines = {c.machine.name: c.machine for c in all_checked}
    edges = {}
    for m in machines.values():
        for name in m.owners:
            if name not in machines:
                raise SpecError(m.path, m.line, f"owner {name}: no machine has this name")
        for row in m.rows:
            for emit in row.emits:
                for hearer in hearers(m, emit):
                    if hearer not in machines:
                        raise SpecError(m.path, row.line, f"emit {emit}: no machine is named {hearer}")
                    if emit.event not in machines[hearer].events:
                        raise SpecError(m.path, row.line, f"emit {emit}: machine {hearer} knows no event {emit.event}")
                    if machines[hearer].events[emit.event].source == "wire":
                        raise SpecError(m.path, row.line, f"emit {emit}: machine {hearer} says that it comes from the wire")
                    for event in row.events:
                        edges.setdefault((m.name, event), {}).setdefault((hearer, emit.event), row.line)
    cycle = find_cycle(edges)
    if cycle:
        first = cycle[0]
        text = " -> ".join(f"{m}:{e}" for m, e in [*cycle, first])
        raise SpecError(machines[first[0]].path, edges[first][cycle[1] if len(cycle) > 1 else first], f"emit cycle: {text}")


def hearers(machine, emit):
    return machine.owners if emit.to == "owner" else [emit.machine]


def find_cycle(edges):
    done, path = set(), []

    def visit(node):
        if node in path:
            return path[path.index(node):]
        if node in done:
            return None
        path.append(node)
        for other in sorted(edges.get(node, ())):
            cycle = visit(other)
            if cycle:
                return cycle
        path.pop()
        done.add(node)
        return None

    for node in sorted(edges):
        cycle = visit(node)
        if cycle:
            return cycle
    return None
