"""Two ends joined by channels: each side is a system of its own, read before; its machines, events and ties come along under the
side's name, so that `near.pipe` and `far.pipe` are two. Called by system.py for files with an `ends` line."""
import dataclasses


@dataclasses.dataclass
class Sending:
    machine: str
    action: str
    messages: list       # lists of events: each is heard as one of them
    last: bool           # of both directions
    text: str


@dataclasses.dataclass
class Channel:
    name: str
    source: str          # sides
    target: str
    room: int
    sendings: list = dataclasses.field(default_factory=list)
    broken: list = dataclasses.field(default_factory=list)  # heard as one of these; empty: it cannot break
    text: str = ""
    broken_text: str = ""
    bag: bool = False    # what is under way arrives in any order
    lossy: bool = False  # or never, one by one

    def arrivals(self):
        """Events that it brings, each once."""
        ways = [way for s in self.sendings for way in s.messages] + [self.broken]
        return list(dict.fromkeys(event for way in ways for event in way))


@dataclasses.dataclass
class Opening:
    """An action by which the other side begins afresh, with nothing under way."""
    side: str
    machine: str
    action: str
    to: str
    event: str
    text: str


def renamed(machine, side):
    """A machine of one side: everything that others may name has the side before it."""
    def own(name):
        return f"{side}.{name}" if name else name
    events = {own(e.name): dataclasses.replace(e, name=own(e.name)) for e in machine.events.values()}
    rows = [dataclasses.replace(row, events=[own(e) for e in row.events],
                                emits=[dataclasses.replace(e, event=own(e.event), machine=own(e.machine)) for e in row.emits])
            for row in machine.rows]
    return dataclasses.replace(machine, name=own(machine.name), owners=[own(o) for o in machine.owners], events=events, rows=rows)


def take(s, side, part):
    """Puts a system's machines, ties and world into `s` as one of its sides; properties stay at home."""
    def own(name):
        return f"{side}.{name}" if name else name

    def of(condition):
        return [[(own(name), kind, things, wanted) for name, kind, things, wanted in way] for way in condition]
    s.machines |= {own(m.name): renamed(m, side) for m in part.factors}
    s.product += [own(name) for name in part.product]
    s.hear += [own(name) for name in part.hear]
    s.sums += [[own(name) for name in arms] for arms in part.sums]
    s.ties += [dataclasses.replace(t, machine=own(t.machine), to=own(t.to), event=own(t.event), when=of(t.when), text=f"{side}: {t.text}")
               for t in part.ties]
    s.first += [own(name) for name in part.first]
    s.may += [(own(event), of(condition), f"{side}: {text}") for event, condition, text in part.may]
    s.given += [(own(name), fact, of(condition), f"{side}: {text}") for name, fact, condition, text in part.given]
    s.fair += [own(name) for name in part.fair]
