"""The second engine must be able to disagree: each case lets spin see another spec than the tables were made from, or the
tables be other than their spec, and names what must be reported. A spec made for this test has every construct in one."""
import os
import pathlib
import tempfile

from spec_lab import ROOT, Lab, Score, smc

import second
from gen.smc import system, write_system

PROGRAM = pathlib.Path(os.environ.get("PG_BUILD") or ROOT / "build").resolve() / "verify"

# What spin sees is edited, the tables that ship are not: (what, system, file, old, new, what must be said)
PLANTED = [
    ("a row that goes nowhere", "node", "machine/relay.sm", "on rest.fired           else           -> idle      # the others have all that there are", "on rest.fired           else",
     ["control vectors that only spin reaches", "relay is resting has needed"]),
    ("a timer that is not started", "node", "machine/relay.sm", "on rest.fired           when usable    -> asking    do hop.reserve, answer.start",
     "on rest.fired           when usable    -> asking    do hop.reserve",
     ["that only spin reaches", "relay is asking has needed\n"]),
    ("a flag that is set too early", "node", "machine/phase.sm", "on mdns.discovered                                           do kad.add",
     "on mdns.discovered                                           set judged  do kad.add", ["as spin sees it", "does not hold: never phase in discovering & phase has ready & judged", "mdns.discovered"]),
    ("an emit that is dropped", "node", "machine/nat.sm", "on nat.found_private  -> private  do note  emit verdict.found to phase, nat.became_private to each relay",
     "on nat.found_private  -> private  do note  emit verdict.found to phase",
     ["as spin sees it", "assertion violated", "nat.found_private"]),
    ("an emit that an invariant asks for", "tunnel_consumer_side", "machine/pipe.sm",
     "do stream.end, local.end, local.close        emit pipe.done to owner", "do stream.end, local.end, local.close",
     ["tunnel_consumer_side, as spin sees it", "assertion violated", "  finish"]),
    ("an action that steps nobody", "contact", "system/contact.sys", "drive   bootstrap dial.cancel  to  dial cancel\n", "",
     ["contact, as spin sees it", "assertion violated"]),
    ("a frame without the flag that is due", "yamux_stream", "system/yamux_stream.sys",
     "drive   stream_local fin.send  to  stream_ack speak  when  stream_ack in unsaid, owed    ", "# ",
     ["yamux_stream, as spin sees it", "does not hold: never stream_local in ended & stream_ack in unsaid, owed", "  end"]),
    ("a drive that does not ask whether it may", "yamux_stream", "system/yamux_stream.sys",
     "drive   stream_local rst.send  to  stream_ack speak  when  stream_ack in unsaid, owed", "drive   stream_local rst.send  to  stream_ack speak",
     ["yamux_stream, as spin sees it", "of stream_ack", "assertion violated"]),
    ("an event that the world sends too early", "tunnel_provider_side", "system/tunnel_provider_side.sys",
     "  may    service.up      when  tunnel_provider in connecting, refusing, closed       # nobody dials it before\n", "",
     ["tunnel_provider_side, as spin sees it", "of tunnel_provider", "service.up"]),
    ("a fact that the world cannot make true", "node", "system/node.sys", "given  relay.ours          when  relay in asking, held, renewing", "given  relay.ours          when  relay in gone",
     ["control vectors that only verify reaches", "relay is held"]),
    ("an emit that only one of two hears", "node", "machine/nat.sm", "do note  emit nat.became_private to each relay", "do note  emit nat.became_private to relay",
     ["node, as spin sees it"]),
    ("a beginning that may come again", "tunnel_consumer_side", "system/tunnel_consumer_side.sys", "first   start\n", "\n",
     ["tunnel_consumer_side, as spin sees it", "of tunnel_consumer says never", "  start"]),
    ("a sum whose arms live on", "connection_dial", "system/connection_dial.sys", "upgrade * (negotiate_dial + noise_dial + yamux_session)",
     "upgrade * negotiate_dial * noise_dial * yamux_session", ["control vectors that only spin reaches", "negotiate_dial is settled"]),
    ("a message that is not the last", "tunnel_ends", "system/tunnel_ends.sys", "near.tunnel_consumer stream.drop          as  far.stream.failed  last",
     "near.tunnel_consumer stream.drop          as  far.stream.failed", ["tunnel_ends"]),
    ("a channel that never breaks", "tunnel_ends", "system/tunnel_ends.sys", "  break                                     as  far.stream.failed\n", "",
     ["tunnel_ends"]),
    ("a bag that keeps its order", "autonat2_ends", "system/autonat2_ends.sys", "channel back   from far to near  at most 4  bag lossy",
     "channel back   from far to near  at most 4", ["control vectors that only verify reaches"]),
    ("a bag that loses nothing", "punch_ends", "system/punch_ends.sys", "channel there  from near to far  at most 3  bag lossy",
     "channel there  from near to far  at most 3  bag", ["control vectors that only verify reaches"]),
    ("an order that is none", "tunnel_ends", "system/tunnel_ends.sys", "channel back   from far to near  at most 4",
     "channel back   from far to near  at most 4  bag", ["tunnel_ends"]),
    ("an end after which something may follow", "negotiation_ends", "system/negotiation_ends.sys", "far.substream stream.drop           as  near.end  last", "far.substream stream.drop           as  near.end",
     ["negotiation_ends"]),
]

BOSS = """machine boss
from    this test
event   start, swap, stop  from world
event   done, nudge        from inside
state   idle  initial
state   busy
state   over  final
flag    lefty, eager
fact    ready
count   laps  1..3
timer   limit 5s
in idle
  on start  when ready             -> busy  set lefty, eager  do limit.start, left.begin
  on start  when !ready            -> busy               do limit.start, right.begin
  on stop                          -> over
  ignore swap, done, nudge
  never limit.fired
in busy
  on swap   when lefty & laps < 3           clear lefty  do laps.up, right.begin
  on swap   when !lefty & laps < 3          set lefty    do laps.up, left.begin
  on swap   when laps = 3                                do laps.zero, limit.start  emit hear to each side, hear to right
  on done   when !lefty & laps > 1                       do laps.down
  on done   else                   -> idle  clear lefty  do limit.stop
  on nudge                                               do left.poke
  on stop   when eager             -> over               do limit.stop
  on stop   when !eager            -> over               do limit.stop              emit hear to side
  on limit.fired                   -> over                                          emit hear to side
  ignore start
in over
  ignore start, swap, stop, done, nudge
  never limit.fired
"""
LEFT = """machine left
from    this test
owner   boss
event   go        from wire
event   begin, poke  from inside
state   fresh  initial
state   ready
state   spent  final
timer   own    1s
in fresh
  on begin  -> ready  do own.start
  ignore go, poke
  never own.fired
in ready
  on go, own.fired  -> spent  do own.stop  emit done to owner
  on poke           -> spent  do own.stop
  never begin
in spent
  ignore go, poke
  never begin, own.fired
"""
RIGHT = """machine right
from    this test
owner   boss
event   go        from wire
event   hear      from inside
state   first  initial
state   last   final
flag    heard
in first
  on hear                set heard
  on go    when heard    -> last  emit done to owner
  on go    when !heard   -> last  emit done to owner, done to owner_too
in last
  ignore go, hear
""".replace(", done to owner_too", "")
SIDE = """machine side
from    this test
event   hear  from inside
event   tick  from world
state   calm   initial
state   loud
count   n  0..2
in calm
  on hear                  -> loud
  on tick  when n < 2               do n.up
  on tick  else
in loud
  on hear                           emit nudge to boss
  on tick  when n > 0      -> calm  do n.down
  on tick  when n = 0      -> calm
"""
WHOLE = """system  whole
  boss * (left + right) * side
hear    side, boss, left, right
enter   left   by  boss left.begin  with  begin
enter   right  by  boss right.begin
drive   boss left.poke  to  left poke  when  left lives
first   start
world
  given  boss.ready  when  side not in loud
  may    tick        when  boss in busy | boss in over & side in loud
never   boss in idle & boss runs limit
"""


def load(spec):
    machines = {c.machine.name: c.machine for c in smc.load(spec)}
    return {s.name: s for s in system.load(spec, machines)}


def said(program, s, folder, seen=None):
    try:
        return second.check(program, s, folder, seen), True
    except second.Disagreement as found:
        return str(found), False


def planted(lab, score, folder):
    real = load(ROOT / "spec")
    for what, name, file, old, new, wanted in PLANTED:
        lab.reset()
        lab.edit(file, old, new)
        text, agreed = said(PROGRAM, real[name], folder / "pan", load(lab.spec)[name])
        score.check(not agreed and all(part in text for part in wanted), f"{what}: said\n{text}")


def other_tables(score, folder):
    """The spec is what both read, and the table that was compiled is another."""
    lab = Lab(folder / "tables")
    lab.generate()
    table = lab.build / "relay.gen.c"
    row = "PG_ON, 0}, /* asking, nat.became_public */"
    score.check(row in table.read_text(), f"the table has no {row}")
    table.write_text(table.read_text().replace(row, row.replace("PG_ON, 0", "PG_ON, 4"), 1))
    lab.link_verifier()
    text, agreed = said((lab.build / "verify").resolve(), load(lab.spec)["node"], folder / "pan")
    score.check(not agreed and "control vectors that only verify reaches" in text, f"another table: said\n{text}")


def every_construct(score, folder):
    lab = Lab(folder / "constructs")
    for path in lab.spec.rglob("*.s*"):
        path.unlink()
    for name, text in (("boss", BOSS), ("left", LEFT), ("right", RIGHT), ("side", SIDE)):
        (lab.spec / f"machine/{name}.sm").write_text(text)
    (lab.spec / "system/whole.sys").write_text(WHOLE)
    lab.generate()
    lab.link_verifier()
    program = (lab.build / "verify").resolve()
    whole = load(lab.spec)["whole"]
    text, agreed = said(program, whole, folder / "pan")
    score.check(agreed and int(text.split()[1]) > 50, f"every construct: said\n{text}")
    for what, file, old, new in [
        ("a count that goes one up", "machine/boss.sm", "set lefty    do laps.up, left.begin", "set lefty    do left.begin"),
        ("a count that goes down", "machine/boss.sm", "on done   when !lefty & laps > 1                       do laps.down", "on done   when !lefty & laps > 1"),
        ("a count that begins anew", "machine/side.sm", "on tick  when n > 0      -> calm  do n.down", "on tick  when n > 0      -> calm"),
        ("an emit to each", "machine/boss.sm", "emit hear to each side, hear to right", "emit hear to right"),
        ("an emit to an arm", "machine/boss.sm", "emit hear to each side, hear to right", "emit hear to each side"),
        ("an emit to the owner", "machine/left.sm", "-> spent  do own.stop  emit done to owner", "-> spent  do own.stop"),
        ("an emit that comes back", "machine/side.sm", "on hear                           emit nudge to boss", "on hear"),
        ("who hears first", "system/whole.sys", "hear    side, boss, left, right", "hear    boss, side, left, right"),
        ("a new life that is not told of it", "system/whole.sys", "by  boss left.begin  with  begin", "by  boss left.begin"),
        ("a drive", "system/whole.sys", "drive   boss left.poke  to  left poke  when  left lives\n", ""),
        ("a condition of the world", "system/whole.sys", "boss in busy | boss in over & side in loud", "boss in busy"),
        ("a fact that is given", "system/whole.sys", "given  boss.ready  when  side not in loud", "given  boss.ready  when  boss in over"),
    ]:
        before = (lab.spec / file).read_text()
        lab.edit(file, old, new)
        try:
            text, agreed = said(program, whole, folder / "pan", load(lab.spec)["whole"])
        finally:
            (lab.spec / file).write_text(before)
        score.check(not agreed and ("reaches" in text or "as spin sees it" in text), f"{what}: said\n{text}")


def main():
    score = Score()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        for part in ("lab", "tables", "constructs", "pan"):
            (folder / part).mkdir()
        planted(Lab(folder / "lab", whole=True), score, folder)
        other_tables(score, folder)
        every_construct(score, folder)
    score.end()


if __name__ == "__main__":
    main()
