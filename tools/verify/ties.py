"""What ties the tables to the rest: every event that a remote can cause is mapped by some .bounds or chosen in C,
what .bounds maps is an event that some machine expects from the wire, and every machine stands in a system or is named.
Called by verify.py. Serves design section 5: bytes become events by table."""
from gen.wirec import bounds, proto


def mapped_events(spec):
    """Event -> the .bounds file that maps messages to it."""
    out = {}
    for path in sorted((spec / "proto").glob("*.proto")):
        for message in bounds.read(spec, proto.read(spec, path)).messages.values():
            for event in [*message.events, *([message.otherwise] if message.otherwise else [])]:
                out[event.name] = f"{path.stem}.bounds"
    return out


def wire_events(machines):
    return [(m.name, event) for m in machines for event in m.events.values() if event.source == "wire"]


def problems(machines, tables, mapped, source):
    """machines and tables: all of the spec, and the systems by whose tables the core dispatches; source: all C of src/."""
    out = []
    expected = {event.name for _, event in wire_events(machines)}
    for name, file in mapped.items():
        if name not in expected:
            out.append(f"{file}: event {name}: no machine expects it from the wire")
    subjects = {name.partition(".")[0] for name in mapped}
    for machine, event in wire_events(machines):
        subject = event.name.partition(".")[0]
        names = [f"PG_{owner.upper()}_ON_{event.c.upper()}" for owner in [machine, *tables]]
        if subject in subjects and event.name not in mapped:
            out.append(f"machine {machine}, event {event.name}: other events of {subject} are mapped by .bounds, this one is not")
        elif event.name not in mapped and not any(name in source for name in names):
            out.append(f"machine {machine}, event {event.name}: it comes from the wire, but neither .bounds nor src/ ever makes it")
    return out


def summary(machines, systems, mapped):
    """The lines that `make verify` prints."""
    events = wire_events(machines)
    n_mapped = sum(event.name in mapped for _, event in events)
    standing = {name for s in systems for name in s.product}
    alone = [m.name for m in machines if m.name not in standing]
    yield f"wire: {len(events)} events of {len({m for m, _ in events})} machines, {n_mapped} mapped by .bounds, the others chosen in C"
    yield f"in no system: {', '.join(alone) or 'none'}"
