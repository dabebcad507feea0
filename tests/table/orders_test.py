"""The exploration of orders must be able to fail: every fact is made to lie, every action left out or exchanged for every
other one of its machine, and each of these must be found. What cannot be told from the right one is named with its reason."""
import os
import pathlib
import subprocess
import sys
import tempfile

from spec_lab import ROOT, Score, smc

import core_orders
from gen.smc import system

BUILD = pathlib.Path(os.environ.get("PG_BUILD") or ROOT / "build").resolve()

# subject of tools/orders -> its machines, and how deep is deep enough
SUBJECTS = {"plane": (("phase", "nat"), "5"), "reserved": (("relay",), "5")}
# Two whole peers take longer, so only some faults are planted in them: (subject, how, what)
IN_PEERS = [
    ("tunnel", "--lie", "tunnel_consumer.reachable"), ("tunnel", "--lie", "tunnel_consumer.patient"),
    ("tunnel", "--lie", "tunnel_consumer.stopping"), ("tunnel", "--lie", "tunnel_provider.known"),
    ("tunnel", "--lie", "bootstrap.addressed"), ("tunnel", "--lie", "bootstrap.retrying"),
    ("tunnel", "--skip", "tunnel_consumer.client.reset"), ("tunnel", "--skip", "tunnel_consumer.stream.open"),
    ("tunnel", "--skip", "tunnel_consumer.request.send"), ("tunnel", "--skip", "tunnel_consumer.stream.drop"),
    ("tunnel", "--skip", "tunnel_consumer.pipe.begin"), ("tunnel", "--skip", "tunnel_consumer.peer.hurry"),
    ("tunnel", "--swap", "tunnel_consumer.stream.open=request.send"), ("tunnel", "--swap", "tunnel_consumer.client.reset=stream.drop"),
    ("tunnel", "--skip", "tunnel_provider.service.dial"), ("tunnel", "--skip", "tunnel_provider.service.drop"),
    ("tunnel", "--skip", "bootstrap.dial.begin"), ("tunnel", "--skip", "bootstrap.backoff.grow"), ("tunnel", "--skip", "dial.attempt.begin"),
    ("open", "--skip", "tunnel_consumer.end.tell"), ("open", "--skip", "pipe.local.close"), ("open", "--skip", "pipe.local.reset"),
    ("open", "--skip", "pipe.stream.end"), ("open", "--swap", "pipe.local.reset=stream.reset"),
]
# (machine, fact or action, in its place or "") -> why nobody can tell
SAME = {}


def plants(machine):
    for fact in machine.facts:
        yield "--lie", fact, ""
    for action in machine.actions:
        yield "--skip", action, ""
        for other in machine.actions:
            if other != action:
                yield "--swap", action, other


def explore(*options):
    """A run that a planted fault ends in the middle gives nothing back."""
    planting = any(option in ("--lie", "--skip", "--swap") for option in options)
    environment = os.environ | ({"ASAN_OPTIONS": "detect_leaks=0:exitcode=99"} if planting else {})
    done = subprocess.run([str(BUILD / "orders"), *options], capture_output=True, text=True, env=environment)
    return done.returncode, done.stdout + done.stderr


def shortest(score, allowed):
    """What is printed is the shortest list of events."""
    status, said = explore("--allowed", allowed, "--depth", "5", "--lie", "phase.alone", "plane")
    score.check(status == 1 and "phase.alone answers 0, and it is 1" in said and len(said.splitlines()) == 4 and
                said.splitlines()[-1] == "  peer.lost first", f"a fact that lies: status {status}, said\n{said}")
    status, said = explore("--allowed", allowed, "--depth", "3", "plane", "alone")
    score.check(status == 0 and said.count("every order of 3 events") == 2, f"the core as it is: status {status}, said\n{said}")


# a list in tests/table/orders -> what was planted when it was saved, and in which subject
KEPT = {
    "phase_alone_lies.txt": ("plane", "--lie", "phase.alone"),
    "stream_is_not_opened.txt": ("tunnel", "--skip", "tunnel_consumer.stream.open"),
    "client_is_not_reset.txt": ("open", "--skip", "pipe.local.reset"),
}


def lists_are_saved_and_played(score, allowed, folder):
    """What is saved is what shows the fault, whoever plays it; without the fault all holds over the same events."""
    kept = ROOT / "tests/table/orders"
    score.check(sorted(KEPT) == sorted(path.name for path in kept.iterdir()), "tests/table/orders has other lists than KEPT")
    for name, (subject, kind, what) in KEPT.items():
        saved = pathlib.Path(folder) / name
        explore("--quiet", "--allowed", allowed, "--depth", "5", kind, what, "--save", str(saved), subject)
        score.check(saved.read_text() == (kept / name).read_text(), f"{kind} {what} saves another list than {name}:\n{saved.read_text()}")
        reason = saved.read_text().splitlines()[1].removeprefix("# ")
        status, said = explore("--allowed", allowed, kind, what, "--play", str(kept / name))
        score.check(status == 1 and reason in said, f"{name} with its fault: status {status}, said\n{said}")
        done = subprocess.run([str(BUILD / "replay"), str(kept / name)], capture_output=True, text=True)
        score.check(done.returncode == 0 and "all holds over" in done.stdout, f"{name}: status {done.returncode}, said\n{done.stdout + done.stderr}")
    broken = pathlib.Path(folder) / "broken.txt"
    for text, wanted in (("plane\nno.such event\n", "there is no event no.such event"), ("flight\n", "no subject has the name flight"),
                         ("# nothing\n", "no subject, no events")):
        broken.write_text("punchgate orders 1\n" + text)
        status, said = explore("--play", str(broken))
        score.check(status == 2 and wanted in said, f"{text!r}: status {status}, said\n{said}")
    broken.write_text("punchgate orders 1\nopen\na client comes\na client comes\na client comes\nthe wire is lost\nthe wire is lost\n")
    status, said = explore("--play", str(broken))
    score.check(status == 2 and "there is no such event any more: a client comes" in said, f"an event that is not possible: status {status}, said\n{said}")


def models_matter(score, allowed, folder):
    """A model that reaches less than the core, and one that gives less: both are noticed."""
    text = pathlib.Path(allowed).read_text()
    lines = text.splitlines(keepends=True)
    begin = lines.index("system node\n")
    end = next(n for n, line in enumerate(lines) if n > begin and line.startswith("system"))
    vectors = [n for n in range(begin, end) if lines[n].startswith("vector 1")]
    smaller = pathlib.Path(folder) / "smaller.txt"
    smaller.write_text("".join(line for n, line in enumerate(lines) if n not in vectors[3:]))
    status, said = explore("--allowed", str(smaller), "--depth", "4", "plane")
    score.check(status == 1 and "the model of node never comes to" in said, f"vectors left out: {said}")
    smaller.write_text("".join(line.replace("given 2 2 1 1 2 0 14 1", "given 2 2 1 1 2 0 4 1") for line in lines))
    status, said = explore("--allowed", str(smaller), "--depth", "4", "plane")
    score.check(smaller.read_text() != text and status == 1 and "where `given` of node says that it cannot be" in said, f"a given that is narrower: {said}")
    smaller.write_text(text + "")
    smaller.write_text(text.replace("commute mdns.discovered hop.accepted", "commute nat.found_public nat.found_private"))
    status, said = explore("--allowed", str(smaller), "--depth", "4", "plane")
    score.check(smaller.read_text() != text and status == 1 and "the last two events commute by the spec" in said, f"what does not commute: {said}")
    smaller.write_text(text.replace("apart hop.accepted phase\n", "apart hop.accepted relay\n"))
    status, said = explore("--allowed", str(smaller), "--depth", "4", "plane")
    score.check(smaller.read_text() != text and status == 1 and "hop.accepted moves relay" in said, f"what is not apart: {said}")


def planted(score, machines, allowed):
    for subject, (names, depth) in SUBJECTS.items():
        for machine in (machines[name] for name in names):
            for kind, name, other in plants(machine):
                what = f"{machine.name}.{name}" + (f"={other}" if other else "")
                status, said = explore("--quiet", "--allowed", allowed, "--depth", depth, kind, what, subject)
                expected = 0 if (machine.name, name, other) in SAME else 1
                score.check(status == expected, f"{kind} {what}: status {status}, expected {expected}: {said}")


def planted_in_peers(score, allowed):
    status, said = explore("--allowed", allowed, "--depth", "2", "tunnel", "open")
    score.check(status == 0 and said.count("every order of 2 events") == 2, f"the peers as they are: status {status}, said\n{said}")
    for subject, kind, what in IN_PEERS:
        status, said = explore("--allowed", allowed, "--depth", "4", kind, what, subject)
        score.check(status == 1, f"{kind} {what}: status {status}, said\n{said}")


def main():
    score = Score()
    machines = {c.machine.name: c.machine for c in smc.load(ROOT / "spec")}
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "allowed.txt"
        path.write_text(core_orders.allowed(BUILD, system.load(ROOT / "spec", machines)))
        shortest(score, str(path))
        lists_are_saved_and_played(score, str(path), folder)
        models_matter(score, str(path), folder)
        planted(score, machines, str(path))
        planted_in_peers(score, str(path))
    score.end()


if __name__ == "__main__":
    sys.exit(main())
