"""What goes over the wire: headers, framings, JSON and protobuf messages with their bounds, and protocol ids."""
from gen import wirec
from gen.docs import notes
from gen.docs.markdown import banner, bullets, code, codes, ended, prose, section, table
from gen.listc import protocols

FRAMINGS = {"uvarint": "a varint", "u16be": "two bytes, big-endian", "u32be": "four bytes, big-endian"}


def opening(note):
    return (f"{prose(note.opening)}\n\n" if note.opening else "") + bullets(["from " + prose(text) for text in note.sources])


def framed(framing, most):
    before = f"behind its length in {FRAMINGS[framing]}, " if framing else ""
    return f"{before}at most {most} bytes"


def header_text(header):
    rows, at = [], 0
    for f in header.fields:
        allowed = f"only {f.constant}" if f.constant is not None else ""
        for what, words in (("one of", f.choices), ("bits", f.bits)):
            allowed += f"{what} " + ", ".join(f"{code(word)} {value}" for word, value in words.items()) if words else ""
        rows.append((f"{at}", f.width, code(f.name), allowed))
        at += f.width
    out = f"### Header {code(header.name)}\n\n{header.size} bytes, big-endian.\n\n"
    out += table(("offset", "bytes", "field", "may be"), rows)
    return out + bullets([f"{code(' & '.join(t.text for t in r.terms))} is the error {code(r.error)}" for r in header.refusals])


def wire_file(spec_dir, file):
    out = opening(notes.read(spec_dir / "wire" / f"{file.stem}.wire"))
    out += "".join(header_text(header) for header in file.headers)
    out += "".join(f"### Frame {code(f.name)}\n\nEach piece stands {framed(f.framing, f.most)}.\n\n" for f in file.frames)
    for message in file.jsons:
        rows = []
        for key in message.keys:
            size = f"{key.least} to {key.most} bytes" if key.kind == "string" else ""
            rows.append((code(key.name), key.kind, size, "yes" if key.need else ""))
        out += f"### JSON {code(message.name)}\n\n{framed(message.framing, message.most).capitalize()}.\n\n"
        out += table(("key", "type", "size", "needed"), rows)
    return out


def bound(f):
    """How much of a field there may be, and what becomes of more."""
    texts = []
    if f.label == "repeated":
        texts.append(f"at most {f.most}" + (f", each of at most {f.limit} bytes" if f.limit else ""))
    elif f.limit:
        texts.append(f"at most {f.limit} bytes")
    texts += ["only the listed values"] if f.known else []
    texts += ["kept as bytes, to be read later"] if f.lazy else []
    return ", ".join(texts), {"drop": "left out", "refuse": "message refused"}[f.policy] if texts else ""


def condition(event):
    out = []
    for term in event.terms:
        name = term.field.name
        if term.value is None:
            out.append(("!" if term.negated else "") + name)
        else:
            out.append(f"{name} {'!=' if term.negated else '='} {term.value}")
    return " & ".join(out) or "else"


def message_text(message):
    size = framed(message.framed, message.limit) if message.limit else "part of another message"
    out = f"### Message {code(message.name)}\n\n{size[0].upper()}{size[1:]}."
    if message.order != sorted(message.order):
        out += f" Written in the order {', '.join(map(str, message.order))}."
    rows = [(f.number, f.label, code(f.type), code(f.name), *bound(f)) for f in message.fields]
    out += "\n\n" + table(("number", "label", "type", "field", "bound", "what breaks it"), rows)
    events = [*message.events, *([message.otherwise] if message.otherwise else [])]
    return out + bullets([f"is the event {code(e.name)} when {code(condition(e))}" if e.terms else
                          f"else is the event {code(e.name)}" for e in events])


def proto_file(spec_dir, file):
    out = opening(notes.read(spec_dir / "proto" / f"{file.stem}.proto", "//"))
    out += opening(notes.read(spec_dir / "proto" / f"{file.stem}.bounds"))
    out += "".join(message_text(message) for message in file.messages.values())
    for enum in file.enums.values():
        out += f"### Enum {code(enum.name)}\n\n"
        out += table(("value", "number"), [(code(name), number) for name, number in enum.values.items()])
    return out


def page(spec_dir):
    messages, wires = wirec.read(spec_dir)
    out = banner(f"{spec_dir.name}/wire, {spec_dir.name}/proto and {spec_dir.name}/{protocols.LIST}") + "# On the wire\n\n"
    rows = [(code(text), layer, code(name)) for name, layer, text in protocols.read(spec_dir)]
    out += section("Protocol ids", table(("id", "layer", "name"), rows))
    out += "".join(section(f"{file.stem}.wire", wire_file(spec_dir, file)) for file in wires)
    out += "".join(section(f"{file.stem}.proto", proto_file(spec_dir, file)) for file in messages)
    return ended(out)
