"""Writer of X.wire.gen.h and X.wire.gen.c: a header is a struct with two functions, JSON is a struct and a table."""
from gen.wirec.names import c_field

C_WIDTH = {1: "uint8_t", 2: "uint16_t", 4: "uint32_t", 8: "uint64_t"}
TAKE = {1: "pg_take_u8", 2: "pg_take_u16be", 4: "pg_take_u32be", 8: "pg_take_u64be"}
PUT = {1: "pg_put_u8", 2: "pg_put_u16be", 4: "pg_put_u32be", 8: "pg_put_u64be"}
LENGTH_ROOM = {"uvarint": 5, "u16be": 2, "u32be": 4}


def banner(file):
    return f"/* Made by gen/wirec from {file.place}; edit that, not this. */\n"


def header_declaration(h):
    out = []
    for f in h.fields:
        words = f.choices or f.bits
        if words:
            body = ", ".join(f"PG_{h.name.upper()}_{w.upper()} = {v}" for w, v in words.items())
            out.append(f"enum pg_{h.name}_{f.name} {{ {body} }};\n")
    out.append(f"\n#define PG_{h.name.upper()}_HEADER_SIZE {h.size}\n\nstruct pg_{h.name}_header {{\n")
    out += [f"    {C_WIDTH[f.width]} {c_field(f.name)};\n" for f in h.fields]
    out.append(f"""}};

/* Refuses what the .wire refuses; the fields are filled in all the same, for the log. */
enum pg_err pg_{h.name}_header_read(struct pg_{h.name}_header *, const uint8_t in[{h.size}]);
/* Fields with one allowed value are written with that, whatever the struct says. */
void pg_{h.name}_header_write(const struct pg_{h.name}_header *, uint8_t out[{h.size}]);

""")
    return "".join(out)


def c_term(term):
    place = f"h->{c_field(term.field.name)}"
    if term.compare == "&":
        return f"({place} & {term.value}) != 0"
    if term.compare == "!&":
        return f"({place} & {term.value}) == 0"
    return f"{place} {term.compare} {term.value}"


def checks(h):
    for f in h.fields:
        place, error = f"h->{c_field(f.name)}", f"PG_ERR_{h.name.upper()}_{f.name.upper()}"
        if f.constant is not None:
            yield f"    if ({place} != {f.constant})\n        return {error};\n"
        if f.choices:
            test = " && ".join(f"{place} != {v}" for v in f.choices.values())
            yield f"    if ({test})\n        return {error};\n"
    for r in h.refusals:
        test = " && ".join(f"({t})" if "(" in t else t for t in map(c_term, r.terms))
        yield f"    if ({test}) /* line {r.line} */\n        return PG_ERR_{r.error.upper()};\n"


def header_source(h):
    out = [f"""
enum pg_err pg_{h.name}_header_read(struct pg_{h.name}_header *h, const uint8_t in[{h.size}])
{{
    struct pg_cursor c = pg_cursor(pg_bytes(in, {h.size}));
"""]
    out += [f"    h->{c_field(f.name)} = {TAKE[f.width]}(&c);\n" for f in h.fields]
    out += checks(h)
    out.append(f"""    return PG_OK;
}}

void pg_{h.name}_header_write(const struct pg_{h.name}_header *h, uint8_t out[{h.size}])
{{
    struct pg_writer w = pg_writer(out, {h.size});
""")
    for f in h.fields:
        value = f"h->{c_field(f.name)}" if f.constant is None else str(f.constant)
        out.append(f"    {PUT[f.width]}(&w, {value});\n")
    return "".join(out) + "}\n"


def limits(name, framing, most):
    return (f"#define PG_{name.upper()}_FRAMING PG_FRAME_{framing.upper()}\n"
            f"#define PG_{name.upper()}_MAX {most}u\n"
            f"#define PG_{name.upper()}_LENGTH_ROOM {LENGTH_ROOM[framing]} /* bytes that its length takes at most */\n")


def json_declaration(j):
    out = [limits(f"json_{j.name}", j.framing, j.most), f"\nstruct pg_json_{j.name} {{\n"]
    out += [f"    {'bool' if k.kind == 'bool' else 'struct pg_bytes'} {c_field(k.name)};\n" for k in j.keys]
    out += [f"    bool has_{k.name};\n" for k in j.keys if not k.need]
    out.append(f"""}};

extern const struct pg_json_table pg_json_{j.name}_table;

/* Strings are copied into the arena, without escapes. */
static inline enum pg_err pg_json_{j.name}_read(struct pg_json_{j.name} *into, struct pg_bytes text, struct pg_arena *arena)
{{
    return pg_json_read(&pg_json_{j.name}_table, into, text, arena);
}}

/* False when there was no room, or a string is one that no reader would take. */
static inline bool pg_json_{j.name}_write(const struct pg_json_{j.name} *m, struct pg_writer *w)
{{
    return pg_json_write(&pg_json_{j.name}_table, m, w);
}}

""")
    return "".join(out)


def json_source(j):
    struct = f"struct pg_json_{j.name}"
    out = [f"\nstatic const struct pg_json_field {j.name}_fields[] = {{\n"]
    for k in j.keys:
        cells = [f'.key = "{k.name}"', f".kind = PG_JSON_{k.kind.upper()}", f".need = {'true' if k.need else 'false'}",
                 f".at = offsetof({struct}, {c_field(k.name)})"]
        if k.kind == "string":
            cells += [f".least = {k.least}", f".most = {k.most}"]
        if not k.need:
            cells.append(f".has = offsetof({struct}, has_{k.name})")
        out.append("    {" + ", ".join(cells) + "},\n")
    out.append(f"""}};

const struct pg_json_table pg_json_{j.name}_table = {{
    .name = "{j.name}",
    .fields = {j.name}_fields,
    .n_fields = {len(j.keys)},
    .size = sizeof({struct}),
    .limit = {j.most},
}};
""")
    return "".join(out)


def header(file):
    includes = ["errors.gen.h", "wire/cursor.h"] if file.headers else []
    if file.frames or file.jsons:
        includes.append("wire/frame.h")
    if file.jsons:
        includes.append("wire/json.h")
    out = [banner(file), "#pragma once\n"] + [f'#include "{i}"\n' for i in includes] + ["\n"]
    out += [header_declaration(h) for h in file.headers]
    out += [limits(f"{f.name}_frame", f.framing, f.most) + "\n" for f in file.frames]
    out += [json_declaration(j) for j in file.jsons]
    return "".join(out).rstrip("\n") + "\n"


def source(file):
    out = [banner(file), f'#include "{file.stem}.wire.gen.h"\n']
    out += [header_source(h) for h in file.headers] + [json_source(j) for j in file.jsons]
    return "".join(out)


def files(file):
    made = {f"{file.stem}.wire.gen.h": header(file)}
    if file.headers or file.jsons:
        made[f"{file.stem}.wire.gen.c"] = source(file)
    return made


def golden(file):
    """One line a field and a rule: what a reviewer reads."""
    for h in file.headers:
        yield f"header {h.name}  {h.size} bytes"
        at = 0
        for f in h.fields:
            rule = f"= {f.constant}" if f.constant is not None else ""
            words = ", ".join(f"{w} {v}" for w, v in (f.choices or f.bits).items())
            if words:
                rule = ("one of " if f.choices else "bits ") + words
            yield f"header {h.name}  byte {at:02d}  {f.name} u{8 * f.width}  {rule or 'any'}"
            at += f.width
        for number, r in enumerate(h.refusals, 1):
            yield f"header {h.name}  refusal {number}  {' & '.join(t.text for t in r.terms)} as {r.error}"
    for f in file.frames:
        yield f"frame {f.name}  {f.framing}  at most {f.most}"
    for j in file.jsons:
        yield f"json {j.name}  framed {j.framing}  at most {j.most}"
        for number, k in enumerate(j.keys, 1):
            size = f" {k.least} .. {k.most}" if k.kind == "string" else ""
            yield f"json {j.name}  key {number} {k.name}  {k.kind}{size}  {'need' if k.need else 'optional'}"
