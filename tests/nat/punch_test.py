"""Hole punching between C, go and rust, each behind a router of its kind, over a relay in public. Run by nat.py; the tables are matrix.py's.

Which cells must succeed is what RFC 4787's words for the routers allow, and what the library that listens can do: it begins the punch.
"""
from matrix import DELAY_MS, PLACES, SIDES, Matrix, at_once, table, write
from nat import full, slow
from peers import same, test, want
from router import KINDS

CELLS = [(dialer, listener) for dialer in PLACES for listener in PLACES]
# Nobody can tell which port a symmetric router will use for a peer, and the other router lets in nothing else.
IMPOSSIBLE = [(a, b) for a, b in CELLS if "symmetric" in (a, b) and {a, b} <= {"symmetric", "port-restricted"}]
# A few that need each of the ways: a plain dial back, a punch, a punch in which one side does not know its own port.
FEW = [("none", "port-restricted"), ("full-cone", "symmetric"), ("port-restricted", "port-restricted"), ("symmetric", "addr-restricted")]
TRIES = 3


def may(dialing, answering):
    """Cells that must succeed."""
    # rust-libp2p dials nobody plainly, and behind a symmetric router it takes the server's part in each try. So does whoever it
    # reaches, unless that is C, which becomes the client when nothing is said.
    lost = {(a, "symmetric") for a in PLACES} if answering.name == "rust" and dialing.name != "C" else set()
    return [cell for cell in CELLS if cell not in IMPOSSIBLE and cell not in lost]


def failures(found):
    return {cell: [t.reason or t for t in tries if not t.ok] for cell, tries in found.items() if not all(t.ok for t in tries)}


def stories(found):
    return "\n".join(f"=== {cell}: {t.reason}\n{t.story}" for cell, tries in found.items() for t in tries if not t.ok)


def print_table(title, found):
    print(f"      {title}\n" + "\n".join("      " + line for line in table(found).splitlines()), flush=True)


def keeping(*sides):
    return {"keep_port": any(side.keeps_port for side in sides)}


def punched(bed, dialing, answering, relay, cells, tries):
    """Cells that must succeed, each at every try."""
    with Matrix(bed.path, relay, **keeping(dialing, answering)) as matrix:
        matrix.measure(dialing, answering, cells, tries)
    found = matrix.tries
    title = f"{dialing.name} to {answering.name} over {relay.name}'s relay, {DELAY_MS} ms each way"
    print_table(title, found)
    write(f"{dialing.name}-{answering.name}-{relay.name}", found, dialing=dialing.name, answering=answering.name, relay=relay.name,
          delay_ms=DELAY_MS)
    want(not failures(found), f"cells that are not as they must be: {failures(found)}\n{stories(found)}")
    return found


def not_punched(bed, dialing, answering, relay, tries=1):
    """Cells in which nobody can: they end, and say why."""
    found = at_once(bed.path, relay, dialing, answering, IMPOSSIBLE, tries, **keeping(dialing, answering))
    print_table(f"{dialing.name} to {answering.name}, where it cannot be", found)
    same({cell: [t.ok for t in tries] for cell, tries in found.items() if any(t.ok for t in tries)}, {}, "cells that punched after all")
    want(all(t.reason for tries in found.values() for t in tries), f"no reason is told: {found}")
    return found


def add(function, name, libraries, *marks):
    function.__name__, function.libraries = name, sorted({side.library for side in libraries if side.library})
    for mark in marks:
        function = mark(function)
    return test(function)


def pair(dialing, answering, relay, few, *marks):
    """Some cells once, or all of them three times."""
    def runs(bed):
        if few:
            # To go a symmetric listener of its own takes 20 s, and two attempts before it changes roles.
            lost = [("full-cone", "symmetric")] if dialing.name == answering.name == "go" else []
            punched(bed, dialing, answering, relay, [cell for cell in FEW if cell in may(dialing, answering) and cell not in lost], 1)
            return
        found = punched(bed, dialing, answering, relay, may(dialing, answering), TRIES)
        not_punched(bed, dialing, answering, relay)
        if dialing.name == answering.name == "C":
            swapped = {cell: [t.attempts for t in tries] for cell, tries in found.items() if cell[1] == "symmetric" and cell[0] in KINDS}
            same({cell: n for cell, n in swapped.items() if set(n) != {1}}, {}, "listeners that did not change roles at once")
    how = "some" if few else "all"
    add(runs, f"{dialing.name}_punches_to_{answering.name}_over_{relay.name}_in_{how}_of_the_cells_that_allow_it",
        (dialing, answering, relay), *marks)


C, GO, RUST = SIDES["C"], SIDES["go"], SIDES["rust"]
pair(C, C, C, True)
pair(C, C, C, False, slow)
for one, other in ((C, GO), (GO, C), (C, RUST), (RUST, C)):
    pair(one, other, C, True, slow)
    pair(one, other, C, False, full)
for relay in (GO, C):
    pair(GO, GO, relay, True, slow)
pair(C, C, GO, True, slow)
pair(GO, GO, GO, False, full)
