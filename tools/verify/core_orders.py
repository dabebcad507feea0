"""Order exploration of the real core: tells build/orders what the models reach and allow, and lets it run.
Called by verify.py. Serves design section 7, point 4."""
import subprocess

from gen.smc import write_system


def allowed(program, systems):
    """What orders/allowed.c reads: each system's vectors, and the lines of its spec that the core itself must keep."""
    out = []
    for s in systems:
        if s.ends or s.large:
            continue  # the core is one end; and of a large system the explorer asks nothing (it fails when one is missing)
        done = subprocess.run([str(program / "verify"), "vectors"], input=write_system.listing(s), capture_output=True, text=True, check=True)
        out += [f"system {s.name}", done.stdout.rstrip()]
        order = {name: n for n, name in enumerate(s.hear)}
        for name, fact, condition, _ in s.given:
            number = list(s.machines[name].facts).index(fact)
            out.append(f"given {order[name]} {number} {write_system.condition_text(s, condition, order)}")
        for p in s.properties:
            if p.kind == "commute":
                out += [f"commute {a} {b}" for a in p.events for b in p.others]
            elif p.kind == "apart":
                out += [f"apart {event} {machine} {flag}".rstrip() for event in p.events for machine, flag in p.parts]
    return "\n".join(out) + "\n"


def run(program, systems, *options):
    """The lines of `orders`; raises RuntimeError with the shortest list of events when something does not hold. That list and what the
    models allow stay in the folder of the programs, for build/replay."""
    path, found = program / "orders_allowed.txt", program / "orders_found.txt"
    path.write_text(allowed(program, systems))
    found.unlink(missing_ok=True)
    done = subprocess.run([str(program / "orders"), "--allowed", str(path), "--save", str(found), *options], capture_output=True, text=True)
    if done.returncode:
        again = f"\nplay it again: {program.name}/replay {program.name}/{found.name}" if found.exists() else ""
        raise RuntimeError((done.stdout + done.stderr).strip() + again)
    return done.stdout.rstrip()
