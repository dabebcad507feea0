"""The verifier must be able to fail: each case breaks one thing in the spec or in a table and names what must be found."""
import subprocess
import tempfile

from spec_lab import ROOT, Lab, Score, smc

from gen.smc import system, write_system

import channels
import ragel
import ties
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
     ["event relay.reserved comes to phase in state discovering, which says never", "hop.accepted "]),
    ("an unanswered request is never given up", "machine/relay.sm",
     "on answer.fired                        -> resting   do note, relay.shun, hop.release, rest.start  emit relay.freed to each relay\n  on nat.became_public                   -> idle      clear needed  do answer.stop, hop.release, note\n  ignore peer.lost ",
     "on answer.fired                                     do note, hop.reserve, answer.start\n  on nat.became_public                   -> idle      clear needed  do answer.stop, hop.release, note\n  ignore peer.lost ",
     ["does not hold: leads relay in asking"]),
    ("a private peer that nobody can reach, although a relay would answer", "machine/relay.sm",
     "on rest.fired           when usable    -> asking    do hop.reserve, answer.start", "on rest.fired           when usable    -> idle",
     ["reach relay in asking by rest.fired"]),
    ("nobody hears of a relay that is left", "machine/relay.sm",
     "on bootstrap.connected, peer.identified, relay.freed  when needed & usable  -> asking  do hop.reserve, answer.start",
     "on relay.freed          when needed & usable\n  on bootstrap.connected, peer.identified  when needed & usable  -> asking  do hop.reserve, answer.start",
     ["does not hold: moves relay idle has needed to asking by hop.refused, peer.lost from second in held, renewing"]),
    ("one of two reservations does not hear of the verdict", "machine/nat.sm",
     "on nat.found_public   -> public   do note  emit nat.became_public to each relay", "on nat.found_public   -> public   do note  emit nat.became_public to relay",
     ["does not hold: never nat in public & second in asking, held, renewing, resting"]),
    ("a claim about the 36 that is not true", "system/node.sys",
     "classes phase * nat * relay  24 of 36", "classes phase * nat * relay  25 of 36", ["24 of 36 are reached"]),
    ("a row that nothing can take to its state", "machine/phase.sm",
     "on bootstrap.none                          -> participating  do discovery.stop, republish.start, note, services.publish, keys.provide, records.put, providers.get",
     "on bootstrap.none                                            do note",
     ["does not hold, no turn does it: reach phase in participating by bootstrap.none"]),
    ("shutdown does not reach the relay", "machine/relay.sm",
     "on shutdown.requested                  -> gone      do answer.stop, refresh.stop, rest.stop, hop.release",
     "on shutdown.requested   when usable    -> gone      do answer.stop, refresh.stop, rest.stop, hop.release\n  on shutdown.requested   else",
     ["does not hold: always phase in stopping iff relay in gone", "shutdown.requested relay.usable=0"]),
]

# The same for the systems whose machines own, enter and step one another.
STEPPING_BREAKS = [
    ("FIN leaves without the flag that is due", "system/yamux_stream.sys",
     "drive   stream_local fin.send  to  stream_ack speak  when  stream_ack in unsaid, owed", "#",
     ["does not hold: never stream_local in ended & stream_ack in unsaid, owed", "  end"]),
    ("a drive that does not ask whether it may", "system/yamux_stream.sys",
     "drive   stream_local rst.send  to  stream_ack speak  when  stream_ack in unsaid, owed",
     "drive   stream_local rst.send  to  stream_ack speak",
     ["event speak comes to stream_ack in state", "which says never"]),
    ("one of two beginnings is not counted as one", "system/yamux_stream.sys", "first   opened | accepted", "first   opened",
     ["event accepted comes to stream_ack in state unsaid, which says never"]),
    ("an event that the world may send too early", "system/yamux_stream.sys",
     "may    speak               when  stream_ack in unsaid, owed", "may    speak               when  stream_ack not in fresh",
     ["event speak comes to stream_ack in state awaited, which says never"]),
    ("a reset of one half only", "machine/stream_remote.sm",
     "in ended\n  on rst.received         -> gone    do reset.tell", "in ended\n  on rst.received                    do reset.tell",
     ["does not hold: always stream_local in gone iff stream_remote in gone", "rst.received"]),
    ("somebody is waited for whom nobody can dial", "machine/bootstrap.sm",
     "on peer.lost when retrying & addressed -> waiting", "on peer.lost when retrying -> waiting",
     ["does not hold: always bootstrap in resting, kept, cramped, ended stays when !bootstrap.addressed", "peer.lost bootstrap.retrying=1"]),
    ("somebody who is wanted is given up", "machine/bootstrap.sm",
     "on dial.failed when retrying    -> waiting   do failure.tell, retry.start, backoff.grow\n  on dial.failed when !retrying   -> resting ",
     "on dial.failed when !retrying   -> waiting   do failure.tell, retry.start, backoff.grow\n  on dial.failed when retrying    -> resting ",
     ["does not hold: always bootstrap in dialling, waiting, kept, widening, cramped, ended stays when bootstrap.retrying", "bootstrap.retrying=1"]),
    ("a round goes on when nobody awaits it", "machine/bootstrap.sm",
     "on stop                         -> ended     do dial.cancel", "on stop                         -> ended",
     ["does not hold: always bootstrap in dialling, widening iff dial in trying"]),
    ("the next try never comes", "machine/bootstrap.sm",
     "on retry.fired                  -> dialling  clear hurried  do redial.tell, dial.begin", "on retry.fired                               do redial.tell, retry.start",
     ["does not hold: leads bootstrap in waiting to dial in trying", "go round for ever"]),
    ("a promise about facts, kept only where they are so", "system/contact.sys", "when fair & dial.more", "when fair",
     ["does not hold: leads bootstrap in waiting to dial in trying"]),
    ("a muxer in clear, when security is refused", "machine/upgrade.sm",
     "-> securing  do noise.begin, stage.start\n  on negotiate.refused                  -> ended     do refusal.note, stage.stop, link.drop, loss.tell",
     "-> securing  do noise.begin, stage.start\n  on negotiate.refused                  -> muxing    do refusal.note, muxer.negotiate, stage.start",
     ["does not hold: always upgrade in muxing, up follows noise_dial in secured", "line.na"]),
    ("nobody waits for the muxer's answer", "system/connection_dial.sys", "by  upgrade security.negotiate, muxer.negotiate  with", "by  upgrade security.negotiate  with",
     ["does not hold: always upgrade in choosing, muxing implies negotiate_dial in asked, greeted"]),
    ("a farewell to a session that has not begun", "machine/upgrade.sm",
     "do lateness.note, link.drop, loss.tell\n  on link.lost                          -> ended     do stage.stop, loss.tell\n  on close                              -> ended     do stage.stop, link.close, loss.tell\n  ignore negotiate.agreed",
     "do lateness.note, link.drop, loss.tell\n  on link.lost                          -> ended     do stage.stop, loss.tell\n  on close                              -> ended     do stage.stop, session.leave, link.close, loss.tell\n  ignore negotiate.agreed",
     ["action session.leave of upgrade steps yamux_session, which does not live", "  close"]),
    ("keep-alive of a connection that is gone", "machine/upgrade.sm",
     "on link.lost                          -> ended     do streams.fail, loss.tell", "on link.lost                          -> ended     do loss.tell",
     ["does not hold: never upgrade in ended & yamux_session runs idle, answer", "  link.lost"]),
    ("a handshake that fails and is forgotten", "machine/noise_listen.sm",
     "in answered\n  on message.good           -> secured   do keys.split  emit noise.secured to owner\n  on message.bad            -> failed    emit noise.failed to owner",
     "in answered\n  on message.good           -> secured   do keys.split  emit noise.secured to owner\n  on message.bad            -> failed",
     ["does not hold: always noise_listen in failed implies upgrade in ended", "  message.bad"]),
    ("a client that nobody answers", "machine/tunnel_consumer.sm",
     "on pause.fired    when !reachable & patient   -> waiting  do peer.hurry\n  on pause.fired    when !reachable & !patient  -> closed   do wait.stop, client.reset, nonsense.tell",
     "on pause.fired    when !reachable        -> waiting  do peer.hurry",
     ["does not hold: leads tunnel_consumer in waiting to tunnel_consumer in asking, closed when fair", "go round for ever"]),
    ("patience that outlives its timer", "system/tunnel_consumer_side.sys", "given  tunnel_consumer.patient  when  tunnel_consumer runs wait", "fair   wait.fired",
     ["does not hold: always tunnel_consumer in waiting implies tunnel_consumer runs wait"]),
    ("a tunnel cut past its pipe", "machine/tunnel_provider.sm",
     "ignore request.good, request.bad, stream.failed, stream.ended, service.failed, stop\n",
     "on stop -> closed do stream.drop\n  ignore request.good, request.bad, stream.failed, stream.ended, service.failed\n",
     ["does not hold: always tunnel_provider in open iff pipe in both, inward, outward", "  stop"]),
    ("a loss that changes nothing", "machine/bootstrap.sm", "on stop                         -> ended     clear hurried  do retry.stop", "on stop                                      do retry.start",
     ["does not hold: after stop holds bootstrap in ended", "  stop"]),
    ("a client that is left hanging", "machine/tunnel_consumer.sm",
     "on answer.fired                          -> closed   do wait.stop, stream.drop, client.reset, silence.tell",
     "on answer.fired                          -> closed   do wait.stop, stream.drop, silence.tell",
     ["does not hold: entry tunnel_consumer in closed does tunnel_consumer client.reset, pipe local.close", "  answer.fired"]),
    ("a pipe that ends in silence", "machine/pipe.sm",
     "do stream.end, local.end, local.close        emit pipe.done to owner", "do stream.end, local.end, local.close",
     ["does not hold: always tunnel_consumer in open iff pipe in both, inward, outward", "  finish"]),
]


# Two ends, each right by itself, or nearly.
ENDS_BREAKS = [
    ("an acceptance that is read before it is given", "tunnel_ends", "system/tunnel_ends.sys",
     "  far.pipe stream.end                       as  near.stream.ended\n", "  far.tunnel_provider service.dial          as  near.answer.accepted\n",
     ["does not hold: never near.tunnel_consumer in open & far.tunnel_provider in reading, connecting, refusing", "near.answer.accepted arrives"]),
    ("a goodbye that the other end never hears", "tunnel_ends", "system/tunnel_ends.sys",
     "  near.pipe stream.reset                    as  far.stream.failed  last\n", "",
     ["does not hold: leads near.tunnel_consumer in closed & far.tunnel_provider in open to far.tunnel_provider in closed when fair"]),
    ("a channel that is too small", "tunnel_ends", "system/tunnel_ends.sys", "channel back   from far to near  at most 4", "channel back   from far to near  at most 1",
     ["finds a channel full", "near.start"]),
    ("an end that overtakes what was said before it", "tunnel_ends", "system/tunnel_ends.sys",
     "channel back   from far to near  at most 4", "channel back   from far to near  at most 4  bag",
     ["does not hold: leads near.tunnel_consumer in open & far.tunnel_provider in closed to near.tunnel_consumer in closed when fair", "near.stream.ended arrives"]),
    ("a goodbye that may be lost by itself", "hop_ends", "system/hop_ends.sys",
     "channel there  from near to far  at most 2  bag", "channel there  from near to far  at most 2  bag lossy",
     ["does not hold: leads near.hop_connect in failed & far.hop_serve in joined to far.hop_serve in closed when fair", "  far.source.failed is lost"]),
    ("a bag from which nothing need ever come", "hop_ends", "system/hop_ends.sys", "fair   there, back, near.patience.fired", "fair   back, near.patience.fired",
     ["does not hold: leads near.hop_connect in failed & far.hop_serve in joined to far.hop_serve in closed when fair"]),
    ("messages that nobody promises", "tunnel_ends", "system/tunnel_ends.sys", "fair   there, back", "fair   there",
     ["does not hold: leads near.tunnel_consumer in open & far.tunnel_provider in closed to near.tunnel_consumer in closed when fair"]),
    ("an answer before there is agreement", "negotiation_ends", "machine/negotiate_listen.sm",
     "on line.offer when !spoken & !tries.high           do refusal.send, tries.up", "on line.offer when !spoken & !tries.high           do offer.echo, tries.up",
     ["does not hold: never near.substream in open & far.negotiate_listen in waiting, greeted, failed", "near.line.echo arrives"]),
    ("a handshake that is up on one side only", "upgrade_ends", "machine/upgrade.sm",
     "on stage.fired                        -> ended     do lateness.note, link.drop, loss.tell\n  on link.lost                          -> ended     do stage.stop, loss.tell\n  on close                              -> ended     do stage.stop, link.close, loss.tell\n  ignore negotiate.agreed",
     "on stage.fired                        -> ended     do lateness.note, loss.tell\n  on link.lost                          -> ended     do stage.stop, loss.tell\n  on close                              -> ended     do stage.stop, link.close, loss.tell\n  ignore negotiate.agreed",
     ["does not hold: leads near.upgrade in ended & far.upgrade in choosing, securing, muxing, up to far.upgrade in ended when fair", "near.stage.fired"]),
]


def broken_specs(lab, score, breaks):
    for what, file, old, new, wanted in breaks:
        lab.reset()
        lab.edit(file, old, new)
        lab.generate()
        lab.link_verifier()
        status, said = lab.verify()
        score.check(status == 1 and all(text in said for text in wanted), f"{what}: status {status}, said:\n{said}")


def said_of_systems(lab, wanted):
    """What the program alone says of the systems that are meant: Ragel's tables and spin's searches find nothing new in these cases."""
    machines = {c.machine.name: c.machine for c in smc.load(lab.spec)}
    status, out = 0, ""
    for s in system.load(lab.spec, machines):
        if wanted(s):
            done = subprocess.run([str(lab.build / "verify"), "system"], input=write_system.listing(s), capture_output=True, text=True)
            status, out = max(status, done.returncode), out + done.stdout + done.stderr
    return status, out


def broken_steps(lab, score):
    """Every system of one end, unless it is too large, in which the machine stands that is broken."""
    for what, file, old, new, wanted in STEPPING_BREAKS:
        lab.reset()
        lab.edit(file, old, new)
        lab.generate()
        lab.link_verifier()
        stem = file.partition("/")[2].partition(".")[0]
        status, said = said_of_systems(lab, lambda s, stem=stem: not s.ends and not s.large and stem in (s.name, *s.product))
        score.check(status == 1 and all(text in said for text in wanted), f"{what}: status {status}, said:\n{said}")


def broken_ends(lab, score):
    """The two-ended system alone is asked: one end's own properties would notice some of these before it."""
    for what, name, file, old, new, wanted in ENDS_BREAKS:
        lab.reset()
        lab.edit(file, old, new)
        lab.generate()
        lab.link_verifier()
        status, said = said_of_systems(lab, lambda s, name=name: s.name == name)
        score.check(status == 1 and all(text in said for text in wanted), f"{what}: status {status}, said:\n{said}")


def broken_tables(lab, score):
    """The spec is right, the table is not: as a fault of the C writer would be."""
    for what, old, new, wanted in [
        ("a wrong target", "PG_ON, 0}, /* asking, nat.became_public */", "PG_ON, 4}, /* asking, nat.became_public */", "table and reference differ"),
        ("a missing action", ", 1, PG_ON, 2}, /* asking, hop.accepted */", ", 0, PG_ON, 2}, /* asking, hop.accepted */", "table and reference differ"),
        ("a condition that does not exist", "{0x3u, 0x3u,", "{0x43u, 0x3u,", "looks at a condition that does not exist"),
        ("an overlap", "{0x8u, 0x8u,", "{0x0u, 0x0u,", "rows for conditions"),
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


def broken_ties(score):
    """What a remote can cause must be made somewhere, and by .bounds where it makes others of the same subject."""
    machines = [c.machine for c in smc.load(ROOT / "spec")]
    source = "".join(path.read_text() for path in (ROOT / "src").rglob("*.c"))
    score.check(ties.problems(machines, ["node"], {}, source) == [], "ties: the spec as it is has loose ends")
    hop = {f"hop.{event}": "circuit.bounds" for event in ("accepted", "refused", "odd")}
    score.check(ties.problems(machines, ["node"], hop, source) == [], "ties: mapped events are loose ends")
    for what, mapped, text, wanted in [
        ("an event that nobody makes", {}, source.replace("PG_PIPE_ON_STREAM_ENDED", ""), "machine pipe, event stream.ended: it comes from the wire, but"),
        ("an event that nobody expects", {**hop, "hop.strange": "circuit.bounds"}, source, "circuit.bounds: event hop.strange: no machine expects it"),
        ("an event that .bounds forgets", {name: file for name, file in hop.items() if name != "hop.refused"}, source,
         "machine relay, event hop.refused: other events of hop are mapped"),
    ]:
        said = ties.problems(machines, ["node"], mapped, text)
        # each machine that asks a relay misses the one that is forgotten
        score.check(said and all(wanted.split(", ")[-1] in line for line in said) and any(wanted in line for line in said), f"ties: {what}: {said}")


def broken_channels(score):
    """A channel line says what the C of its action does, neither less nor more."""
    machines = [c.machine for c in smc.load(ROOT / "spec")]
    files = {str(path.relative_to(ROOT)): path.read_text() for path in (ROOT / "src").rglob("*.c")}

    def found(change, old="", new=""):
        systems = system.load(ROOT / "spec", {m.name: m for m in machines})
        change({(x.machine, x.action): x for _, _, x in channels.lines_of(systems)}, systems)
        return channels.problems(machines, systems, {name: text.replace(old, new) if old else text for name, text in files.items()})

    def nothing(_lines, _systems):
        pass

    def drop(name):
        def change(_lines, systems):
            for c in (c for s in systems for c in s.channels):
                c.sendings = [x for x in c.sendings if (x.machine, x.action) != name]
        return change

    score.check(found(nothing) == [], f"channels: the spec as it is: {found(nothing)}")
    for what, said, wanted in [
        ("a request that is not written", found(nothing, "pg_tunnel_send(t->pipe.stream, &pg_json_tunnel_request_table, &ask)", "0"),
         "tunnel_consumer request.send: nothing that it calls writes"),
        ("an answer that nobody hears", found(nothing, "PG_TUNNEL_CONSUMER_ON_ANSWER_REJECTED", "0"), "which src/ never makes"),
        ("an action that C does not have", found(nothing, "pg_pipe_do_stream_end", "pg_pipe_do_stream_finish"), "pipe stream.end: src/ has no function"),
        ("a reset after which more may come", found(lambda lines, _: setattr(lines["near.pipe", "stream.reset"], "last", False)),
         "pipe stream.reset: is not `last`"),
        ("an end that is none", found(lambda lines, _: setattr(lines["far.tunnel_provider", "answer.accept"], "last", True)),
         "tunnel_provider answer.accept: is `last`"),
        ("an end that is kept quiet", found(lambda lines, _: setattr(lines["far.tunnel_provider", "answer.late"], "messages", [["near.answer.rejected"]])),
         "tunnel_provider answer.late: its C ends its direction"),
        ("an answer without a line", found(drop(("far.tunnel_provider", "answer.late"))), "machine tunnel_provider, action answer.late: it writes"),
    ]:
        score.check(said and all(wanted in line for line in said), f"channels: {what}: {said}")


def main():
    score = Score()
    with tempfile.TemporaryDirectory() as folder:
        lab = Lab(folder)
        lab.generate()
        lab.link_verifier()
        status, said = lab.verify()
        score.check(status == 0 and "24 of 36 classes reached and 12 proved unreachable" in said, f"the spec as it is: {said}")
        broken_specs(lab, score, SPEC_BREAKS)
        broken_tables(lab, score)
        broken_comparisons(lab, score)
    with tempfile.TemporaryDirectory() as folder:
        lab = Lab(folder, whole=True)
        broken_steps(lab, score)
        broken_ends(lab, score)
    broken_ties(score)
    broken_channels(score)
    score.check((ROOT / "spec/machine/phase.sm").exists(), "the real spec was left alone")
    score.end()


if __name__ == "__main__":
    main()
