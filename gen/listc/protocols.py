"""protocols.list: name, layer, text -> protocols.gen.h, protocols.gen.c."""
from gen.listc import cwriter
from gen.listc.reader import rows, unique

LIST = "protocols.list"
LAYERS = ("negotiation", "security", "muxer", "stream")
LONGEST = 140  # negotiation lines of peers are bounded; our own must stay well below


def read(spec_dir):
    found, names, texts = [], {}, {}
    for row in rows(spec_dir, LIST):
        name = row.name(0, "the protocol's name")
        layer = row.choice(1, "layer", LAYERS)
        text = row.word(2, "the protocol id")
        row.ends_at(3)
        unique(names, row, name, "protocol")
        unique(texts, row, text, "protocol id")
        if not text.startswith("/"):
            row.fail(f"protocol id '{text}': begins with /")
        if len(text) > LONGEST:
            row.fail(f"protocol id '{text}': longer than {LONGEST} bytes")
        found.append((name, layer, text))
    return found


def header(protocols):
    out = [cwriter.banner(LIST), '#pragma once\n#include "mem/bytes.h"\n\n']
    for name, _, text in protocols:
        out.append(f"#define PG_PROTOCOL_{name.upper()} {cwriter.literal(text)}\n")
    out.append("\n" + cwriter.enum("pg_protocol_id", [f"PG_PROTOCOL_ID_{n.upper()}" for n, *_ in protocols]))
    out.append(f"#define PG_PROTOCOLS {len(protocols)}\n\n")
    out.append(cwriter.enum("pg_protocol_layer", [f"PG_LAYER_{layer.upper()}" for layer in LAYERS]))
    out.append("""
struct pg_protocol_info {
    const char *name; /* for people and counters */
    struct pg_bytes text; /* as it goes over the wire, without length and newline */
    enum pg_protocol_layer layer;
};
extern const struct pg_protocol_info pg_protocol_infos[PG_PROTOCOLS];
""")
    return "".join(out)


def source(protocols):
    out = [cwriter.banner(LIST), '#include "protocols.gen.h"\n\n',
           "const struct pg_protocol_info pg_protocol_infos[PG_PROTOCOLS] = {\n"]
    for name, layer, text in protocols:
        out.append(f"    [PG_PROTOCOL_ID_{name.upper()}] = {{{cwriter.literal(name)}, "
                   f"{{(const uint8_t *)PG_PROTOCOL_{name.upper()}, {len(text.encode())}}}, PG_LAYER_{layer.upper()}}},\n")
    return "".join(out) + "};\n"


def generate(spec_dir):
    protocols = read(spec_dir)
    return {"protocols.gen.h": header(protocols), "protocols.gen.c": source(protocols)}


def golden(spec_dir):
    return {"protocols.txt": cwriter.golden(f"{n}  {layer}  {t}" for n, layer, t in read(spec_dir))}
