"""The verifier must be able to fail: each case breaks one thing in the spec or in a table and names what must be found."""
import subprocess
import tempfile

from spec_lab import ROOT, Lab, Score, smc

import ragel
from reference import Reference

# (what is broken, file, old, new, what verify must print)
SPEC_BREAKS = [
    ("a public node keeps its reservation", "machine/relay.sm",
     "on nat.became_public                   -> idle      clear needed  do refresh.stop, hop.release, note",
     "on nat.became_public                                clear needed  do hop.release, note",
     ["does not hold: never nat in public", "hop.accepted", "nat.found_public"]),
    ("a return to discovering has no deadline", "machine/phase.sm",
     "do republish.stop, discovery.start, note, kad.bootstrap", "do republish.stop, note, kad.bootstrap",
     ["does not hold: always phase in discovering implies phase runs discovery", "peer.lost phase.alone=1 phase.seeded=1"]),
    ("the deadline renews itself", "machine/phase.sm",
     "  on discovery.fired                         -> participating  do republish.start, note, services.publish, keys.provide, records.put, providers.get\n  on peer.lost  ",
     "  on discovery.fired                                           do discovery.start, note\n  on peer.lost  ",
     ["does not hold: leads phase in discovering to phase in participating, stopping when fair", "go round for ever"]),
    ("mDNS moves the phase machine", "machine/phase.sm",
     "on mdns.discovered                                           do kad.add",
     "on mdns.discovered                                           set judged  do kad.add",
     ["does not hold: apart mdns.discovered, mdns.expired from phase, nat, relay"]),
    ("a verdict is forgotten when Kademlia came first", "machine/phase.sm",
     "on verdict.found        when ready         -> participating  set judged  do discovery.stop, republish.start, services.publish, keys.provide, records.put, providers.get",
     "on verdict.found        when ready                           set judged",
     ["does not hold: never phase in discovering & phase has ready & judged", "kad.ready phase.verdict_awaited=1"]),
    ("one order publishes more than the other", "machine/phase.sm",
     "set judged  do discovery.stop, republish.start, services.publish", "set judged  do discovery.stop, republish.start, note, services.publish",
     ["does not hold: commute kad.ready with", "with other actions"]),
    ("a promise that another machine breaks", "machine/phase.sm",
     "  ignore relay.reserved                                        # published on entering participating\n  never republish.fired",
     "  never relay.reserved, republish.fired",
     ["event relay.reserved comes to phase in state discovering, which says never", "hop.accepted relay.ours=1"]),
    ("an unanswered request is never given up", "machine/relay.sm",
     "on answer.fired                        -> resting   do rest.start, hop.release, note\n  on nat.became_public                   -> idle      clear needed  do answer.stop, hop.release, note\n  never refresh.fired, rest.fired\n\nin held",
     "on answer.fired                                     do answer.start, hop.reserve, note\n  on nat.became_public                   -> idle      clear needed  do answer.stop, hop.release, note\n  never refresh.fired, rest.fired\n\nin held",
     ["does not hold: leads relay in asking"]),
    ("a reservation while initializing", "system/node.sys",
     "given  relay.usable        when  phase not in initializing", "given  relay.usable        when  phase not in stopping",
     ["does not hold: never phase in initializing & relay in asking, held, renewing"]),
    ("a claim about the 36 that is not true", "system/node.sys",
     "classes phase * nat * relay  20 of 36", "classes phase * nat * relay  21 of 36", ["20 of 36 are reached"]),
    ("a row that nothing can take to its state", "machine/phase.sm",
     "on bootstrap.none                          -> participating  do discovery.stop, republish.start, note, services.publish, keys.provide, records.put, providers.get",
     "on bootstrap.none                                            do note",
     ["does not hold, no turn does it: reach phase in participating by bootstrap.none"]),
    ("shutdown does not reach the relay", "machine/relay.sm",
     "on shutdown.requested                  -> gone      do answer.stop, refresh.stop, rest.stop, hop.release",
     "on shutdown.requested   when usable    -> gone      do answer.stop, refresh.stop, rest.stop, hop.release\n  on shutdown.requested   else",
     ["does not hold: always phase in stopping iff relay in gone", "shutdown.requested relay.usable=0"]),
]


def broken_specs(lab, score):
    for what, file, old, new, wanted in SPEC_BREAKS:
        lab.reset()
        lab.edit(file, old, new)
        lab.generate()
        lab.link_verifier()
        status, said = lab.verify()
        score.check(status == 1 and all(text in said for text in wanted), f"{what}: status {status}, said:\n{said}")


def broken_tables(lab, score):
    """The spec is right, the table is not: as a fault of the C writer would be."""
    for what, old, new, wanted in [
        ("a wrong target", "PG_ON, 0}, /* asking, nat.became_public */", "PG_ON, 4}, /* asking, nat.became_public */", "table and reference differ"),
        ("a missing action", ", 1, PG_ON, 2}, /* asking, hop.accepted */", ", 0, PG_ON, 2}, /* asking, hop.accepted */", "table and reference differ"),
        ("a condition that does not exist", "{0x3u, 0x3u,", "{0x43u, 0x3u,", "looks at a condition that does not exist"),
        ("an overlap", "{0x4u, 0x4u,", "{0x0u, 0x0u,", "rows for conditions"),
        ("a verdict", "PG_NEVER, 0}, /* idle, answer.fired */", "PG_IGNORE, 0}, /* idle, answer.fired */", "table and reference differ"),
    ]:
        lab.reset()
        lab.generate()
        table = lab.build / "relay.gen.c"
        text = table.read_text()
        if old not in text:
            score.check(False, f"{what}: the table has no {old}")
            continue
        table.write_text(text.replace(old, new, 1))
        lab.link_verifier()
        status, said = lab.verify()
        score.check(status == 1 and wanted in said, f"{what}: status {status}, said:\n{said}")
        table.write_text(text)


def broken_comparisons(lab, score):
    """A and B each find every kind of difference on their own."""
    lab.reset()
    lab.generate()
    lab.link_verifier()
    lines = subprocess.run([str(lab.build / "verify"), "answers", "relay"], capture_output=True, text=True, check=True).stdout.splitlines()
    machine = next(c.machine for c in smc.load(lab.spec) if c.machine.name == "relay")
    score.check(Reference(machine).compare(lines)[1] == "", "reference: a right table is found wrong")
    automaton, letters = ragel.compile_machine(machine, lab.build)
    score.check(ragel.compare(machine, automaton, letters, lines)[1] == "", "Ragel: a right table is found wrong")
    for n, line in enumerate(lines):
        left, _, answer = line.partition(" = ")
        words = answer.split(" ")
        wrong_row = [*lines[:n], left + " = " + " ".join([str(int(words[0]) + 1), *words[1:]]), *lines[n + 1:]]
        wrong_state = [*lines[:n], left + " = " + " ".join([*words[:2], str((int(words[2]) + 1) % 6), *words[3:]]), *lines[n + 1:]]
        for text, kind in ((wrong_row, "row"), (wrong_state, "state")):
            score.check(Reference(machine).compare(text)[1] != "", f"reference: a wrong {kind} in answer {n} is not found")
            score.check(ragel.compare(machine, automaton, letters, text)[1] != "", f"Ragel: a wrong {kind} in answer {n} is not found")
    score.check(Reference(machine).compare(lines[: len(lines) // 2])[1] != "", "reference: half a table is not found")


def main():
    score = Score()
    with tempfile.TemporaryDirectory() as folder:
        lab = Lab(folder)
        lab.generate()
        lab.link_verifier()
        status, said = lab.verify()
        score.check(status == 0 and "20 of 36 classes reached and 16 proved unreachable" in said, f"the spec as it is: {said}")
        broken_specs(lab, score)
        broken_tables(lab, score)
        broken_comparisons(lab, score)
    score.check((ROOT / "spec/machine/phase.sm").exists(), "the real spec was left alone")
    score.end()


if __name__ == "__main__":
    main()
