"""Bisimulation B: each machine once more as a Ragel automaton, compiled by `ragel -x` and compared with the C table.

A letter is an event together with the conditions that its rows look at. Guards become unions of letters and `else` becomes
Ragel's set difference, so that neither the cubes nor the else of the C writer are used here."""
import itertools
import subprocess
import xml.etree.ElementTree as ET


class Letters:
    """Numbers for (event, conditions looked at)."""

    def __init__(self, machine):
        self.m = machine
        self.base, self.names = {}, {}
        at = 0
        for event in machine.events:
            looked = {name for row in machine.rows if event in row.events for name in (row.guard or {})}
            for name in sorted(looked):  # a count is at one end at most, so both ends are looked at together
                if name.partition(".")[0] in machine.counts:
                    looked |= {name.partition(".")[0] + ".low", name.partition(".")[0] + ".high"}
            self.names[event] = sorted(looked)
            self.base[event] = at
            at += 1 << len(looked)
        self.n = at

    def real(self, event, values):
        for count in self.m.counts.values():
            low, high = values.get(count.name + ".low"), values.get(count.name + ".high")
            if low and high or (low is False and high is False and count.high - count.low == 1):
                return False
        return True

    def all(self, event):
        """(letter, condition -> truth) of every combination that can exist."""
        names = self.names[event]
        for number, truth in enumerate(itertools.product((False, True), repeat=len(names))):
            values = dict(zip(names, truth))
            if self.real(event, values):
                yield self.base[event] + number, values

    def letter(self, event, values):
        number = 0
        for name in self.names[event]:
            number = number * 2 + (1 if values[name] else 0)
        return self.base[event] + number


def grammar(machine):
    letters = Letters(machine)
    out = ["%%{", f"machine {machine.name};", "alphtype unsigned int;"]
    out += [f"action line_{line} {{ }}" for line in sorted({row.line for row in machine.rows})]
    states = []
    for state in machine.states:
        moves = []
        for event in machine.events:
            rows = [row for row in machine.rows if state in row.states and event in row.events]
            guarded = []
            for row in rows:
                if row.guard is None:
                    continue
                chosen = [n for n, values in letters.all(event) if all(values[k] == v for k, v in row.guard.items())]
                guarded.append((row, " | ".join(map(str, chosen))))
            for row, text in guarded:
                moves.append(move(row, state, f"({text})"))
            every = " | ".join(str(n) for n, _ in letters.all(event))
            for row in rows:
                if row.guard is None:
                    rest = "".join(f" - ({text})" for _, text in guarded)
                    moves.append(move(row, state, f"(({every}){rest})"))
        # Every state may end, else Ragel would drop those that lead nowhere.
        states.append(f"  at_{state}: (\n      " + " |\n      ".join(moves + ["'' -> final"]) + "\n  )")
    out.append(f"main := (\n  start: ( '' -> at_{machine.initial} ),\n" + ",\n".join(states) + "\n);")
    return "\n".join(out + ["}%%", ""]), letters


def move(row, state, letters):
    return f"{letters} @line_{row.line} -> at_{row.to or state}"


class Automaton:
    def __init__(self, xml):
        machine = ET.fromstring(xml).find("ragel_def").find("machine")
        names = {a.get("id"): a.get("name") for a in machine.find("action_list")}
        tables = {t.get("id"): [names[x] for x in (t.text or "").split()] for t in machine.find("action_table_list")}
        self.start = machine.find("start_state").text
        self.moves = {}
        for state in machine.find("state_list"):
            moves = self.moves[state.get("id")] = []
            for t in state.find("trans_list"):
                low, high, target, table = t.text.split()
                moves.append((int(low), int(high), target, tables.get(table, [])))

    def step(self, state, letter):
        """(target, lines of the rows taken); (None, []) when there is no move."""
        for low, high, target, actions in self.moves[state]:
            if low <= letter <= high:
                return target, [int(a.partition("_")[2]) for a in actions]
        return None, []


def compile_machine(machine, folder):
    text, letters = grammar(machine)
    source = folder / f"{machine.name}.machine.rl"
    source.write_text(text)
    compiled = folder / f"{machine.name}.xml"
    done = subprocess.run(["ragel", "-x", "-o", str(compiled), str(source)], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"ragel refuses {source}: {done.stderr.strip()}")
    return Automaton(compiled.read_text(encoding="utf-8")), letters


def table_of(machine, lines):
    """(state, event) -> answers of the C table: a list of (conditions, line, next state); from `verify answers`."""
    states, events = list(machine.states), list(machine.events)
    flags, facts, counts = list(machine.flags), list(machine.facts), list(machine.counts.values())
    table = {}
    for text in lines:
        left, _, answer = text.partition(" = ")
        state, event, flag_bits, values, fact_bits = left.split()
        words = answer.split()
        true = {f: bool(int(flag_bits) >> k & 1) for k, f in enumerate(flags)}
        true.update({f: bool(int(fact_bits) >> k & 1) for k, f in enumerate(facts)})
        for count, value in zip(counts, [] if values == "-" else values.split(",")):
            true[count.name + ".low"], true[count.name + ".high"] = int(value) == count.low, int(value) == count.high
        after = None if words[2] == "beyond" else states[int(words[2])]
        table.setdefault((states[int(state)], events[int(event)]), []).append((true, int(words[0]), after))
    return table


def compare(machine, automaton, letters, lines):
    """Walks both together from the start; the pairs met, and the first difference as text (or empty)."""
    table = table_of(machine, lines)
    met, todo = {machine.initial: automaton.start}, [machine.initial]
    while todo:
        state = todo.pop()
        for event in machine.events:
            for true, line, after in table[state, event]:
                letter = letters.letter(event, true)
                target, taken = automaton.step(met[state], letter)
                where = f"state {state}, event {event}, {true or 'no conditions'}"
                if taken != [line]:
                    return len(met), f"{where}: the C table takes line {line}, Ragel's automaton lines {taken or 'none'}"
                if after is None:
                    continue
                if after not in met:
                    met[after] = target
                    todo.append(after)
                if met[after] != target:
                    return len(met), f"{where}: the C table goes to {after}, Ragel's automaton elsewhere"
    return len(met), ""

