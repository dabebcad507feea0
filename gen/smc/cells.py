"""Conditions as bits: what the rows of one (state, event) answer, as disjoint cubes (care, want).
A cell is wrong when some combination of conditions has no cube (a hole) or two (an overlap)."""
import dataclasses

from gen.smc.model import Row

MAX_CONDITIONS = 32
MAX_CELL_BITS = 12


@dataclasses.dataclass(frozen=True)
class Cube:
    care: int
    want: int

    def holds(self, conditions):
        return conditions & self.care == self.want

    def meets(self, other):
        return (self.want ^ other.want) & self.care & other.care == 0


@dataclasses.dataclass
class Entry:
    cube: Cube
    row: Row


class Problem(Exception):
    """A hole or an overlap; check.py knows the file and gives it a line."""

    def __init__(self, message, line=0):
        super().__init__(message)
        self.line = line


class Bits:
    """Condition names to bits, and which combinations can exist: no count is at both of its ends."""

    def __init__(self, machine):
        self.names = machine.conditions
        self.bit = {name: 1 << n for n, name in enumerate(self.names)}
        self.n_flags, self.n_facts = len(machine.flags), len(machine.facts)
        self.flag_mask = (1 << self.n_flags) - 1
        self.fact_mask = ((1 << self.n_facts) - 1) << self.n_flags
        self.own_mask = ((1 << len(self.names)) - 1) & ~self.fact_mask
        self.pairs = []
        for count in machine.counts.values():
            self.pairs.append((self.bit[count.name + ".low"], self.bit[count.name + ".high"], count.high - count.low == 1))

    def cube(self, guard):
        care = want = 0
        for name, wanted in guard.items():
            care |= self.bit[name]
            want |= self.bit[name] if wanted else 0
        return Cube(care, want)

    def possible(self, care, want):
        """Whether some real combination agrees with want on care."""
        for low, high, narrow in self.pairs:
            if want & low and want & high:
                return False
            if narrow and care & low and care & high and not want & (low | high):
                return False
        return True

    def text(self, care, want):
        return ", ".join(f"{n}={1 if want & b else 0}" for n, b in self.bit.items() if care & b)


def subtract(piece, cube):
    """What of piece lies outside cube, as disjoint cubes."""
    if not piece.meets(cube):
        return [piece]
    out = []
    care, want = piece.care, piece.want
    bit = 1
    missing = cube.care & ~piece.care
    while missing:
        if missing & bit:
            out.append(Cube(care | bit, want | (~cube.want & bit)))
            care, want = care | bit, want | (cube.want & bit)
            missing &= ~bit
        bit <<= 1
    return out


def complement(cubes, bits):
    pieces = [Cube(0, 0)]
    for cube in cubes:
        pieces = [p for piece in pieces for p in subtract(piece, cube)]
    return [p for p in pieces if bits.possible(p.care, p.want)]


def combinations(care, bits):
    """Every possible assignment to the bits of care."""
    singles = [1 << n for n in range(len(bits.names)) if care >> n & 1]
    for pattern in range(1 << len(singles)):
        want = sum(bit for n, bit in enumerate(singles) if pattern >> n & 1)
        if bits.possible(care, want):
            yield want


def cell(rows, bits):
    """The entries for the rows of one (state, event); raises Problem."""
    entries = [Entry(bits.cube(row.guard), row) for row in rows if row.guard is not None]
    otherwise = [row for row in rows if row.guard is None]
    care = 0
    for entry in entries:
        care |= entry.cube.care
        if not bits.possible(entry.cube.care, entry.cube.want):
            raise Problem(f"can never hold: {bits.text(entry.cube.care, entry.cube.want)}", entry.row.line)
    if bin(care).count("1") > MAX_CELL_BITS:
        raise Problem(f"more than {MAX_CELL_BITS} conditions decide here", rows[0].line)
    if len(otherwise) > 1:
        raise Problem(f"two else rows, in lines {otherwise[0].line} and {otherwise[1].line}", otherwise[1].line)
    for want in combinations(care, bits):
        hits = [e for e in entries if e.cube.holds(want)]
        if len(hits) > 1:
            both = hits[0].cube.care | hits[1].cube.care
            where = bits.text(both, want & both)
            raise Problem(f"two rows{' when ' + where if where else ''}, in lines {hits[0].row.line} and {hits[1].row.line}",
                          hits[1].row.line)
        if not hits and not otherwise:
            raise Problem("no row" + hole_text(care, want, entries, bits))
    if otherwise:
        rest = complement([e.cube for e in entries], bits)
        if not rest:
            raise Problem("else is empty: the other rows cover everything", otherwise[0].line)
        entries += [Entry(cube, otherwise[0]) for cube in rest]
    return entries


def hole_text(care, want, entries, bits):
    """The hole in as few conditions as still name it."""
    for n in range(len(bits.names)):
        bit = 1 << n
        smaller = care & ~bit
        if care & bit and not any(Cube(smaller, want & smaller).meets(e.cube) for e in entries):
            care = smaller
    return " when " + bits.text(care, want & care) if care else ""


def cells(machine):
    """(state, event) -> entries, for the whole machine; problems as a list of (line, message)."""
    bits = Bits(machine)
    rows = {(s, e): [] for s in machine.states for e in machine.events}
    block_line = {}
    for row in machine.rows:
        for state in row.states:
            block_line.setdefault(state, row.line)
            for event in row.events:
                rows[state, event].append(row)
    table, problems = {}, []
    for (state, event), here in rows.items():
        try:
            table[state, event] = cell(here, bits)
        except Problem as problem:
            line = problem.line or (here[0].line if here else block_line.get(state, machine.states[state].line))
            problems.append((line, f"state {state}, event {event}: {problem}"))
    return table, problems
