"""Bisimulation A: a second interpreter of the parsed .sm text, sharing nothing with the writer of the C tables but the
reader. Rows are tried as they are written; `else` is what is left when no other row of the cell holds."""


class Reference:
    def __init__(self, machine):
        self.m = machine
        self.states, self.events = list(machine.states), list(machine.events)
        self.flags, self.facts, self.counts = list(machine.flags), list(machine.facts), list(machine.counts.values())
        self.rows = {}
        for row in machine.rows:
            for state in row.states:
                for event in row.events:
                    self.rows.setdefault((state, event), []).append(row)

    def truth(self, name, flags, counts, facts):
        if name in self.flags:
            return name in flags
        if name in self.facts:
            return name in facts
        base, _, end = name.partition(".")
        count = self.m.counts[base]
        return counts[base] == (count.low if end == "low" else count.high)

    def pick(self, state, event, flags, counts, facts):
        def holds(row):
            return all(self.truth(name, flags, counts, facts) == wanted for name, wanted in row.guard.items())
        rows = self.rows.get((state, event), [])
        taken = [row for row in rows if row.guard is not None and holds(row)]
        return taken or [row for row in rows if row.guard is None]

    def answer(self, state, event, flags, counts, facts):
        """As `verify answers` prints what follows the equals sign; None when not exactly one row holds."""
        taken = self.pick(state, event, flags, counts, facts)
        if len(taken) != 1:
            return None
        row = taken[0]
        counts = dict(counts)
        for act in row.acts:
            if act.kind.startswith("COUNT"):
                count = self.m.counts[act.name]
                value = {"COUNT_UP": counts[act.name] + 1, "COUNT_DOWN": counts[act.name] - 1, "COUNT_ZERO": count.low}[act.kind]
                if not count.low <= value <= count.high:
                    return f"{row.line} {row.verdict} beyond"
                counts[act.name] = value
        after = (flags | set(row.sets)) - set(row.clears)
        number = sum(1 << n for n, flag in enumerate(self.flags) if flag in after)
        acts = "".join(f" {act.kind}/{act.name}" for act in row.acts)
        emits = "".join(f" {e.to}/{name}/{e.event}" for e in row.emits
                        for name in (self.m.owners if e.to == "owner" else [e.machine]))
        values = ",".join(str(counts[c.name]) for c in self.counts) or "-"
        return f"{row.line} {row.verdict} {self.states.index(row.to or state)} {number} {values} :{acts} :{emits}"

    def compare(self, lines):
        """lines: what `verify answers` printed. The number compared, and the first difference as text (or empty)."""
        seen = set()
        n = 0
        for text in lines:
            left, _, answer = text.partition(" = ")
            state, event, flags, counts, facts = left.split()
            state, event = self.states[int(state)], self.events[int(event)]
            seen.add((state, event))
            flags = {f for k, f in enumerate(self.flags) if int(flags) >> k & 1}
            facts = {f for k, f in enumerate(self.facts) if int(facts) >> k & 1}
            values = {} if counts == "-" else dict(zip((c.name for c in self.counts), map(int, counts.split(","))))
            expected = self.answer(state, event, flags, values, facts)
            n += 1
            if expected != answer:
                return n, (f"state {state}, event {event}, flags {sorted(flags)}, counts {values}, facts {sorted(facts)}:\n"
                           f"  the C table says   {answer}\n  the reference says {expected}")
        missing = [(s, e) for s in self.states for e in self.events if (s, e) not in seen]
        return n, f"the C table has no answer in state {missing[0][0]} to event {missing[0][1]}" if missing else ""
