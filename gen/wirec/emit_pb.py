"""Writer of X.pb.gen.h and X.pb.gen.c: a struct, a table and typed inline functions for each message."""
from gen.wirec.names import c_field, snake
from gen.wirec.proto import NUMBERS, TEXTS

C_TYPES = {"bool": "bool", "int32": "int32_t", "int64": "int64_t", "uint32": "uint32_t", "uint64": "uint64_t",
           "sint32": "int32_t", "sint64": "int64_t", "fixed32": "uint32_t", "fixed64": "uint64_t",
           "bytes": "struct pg_bytes", "string": "struct pg_bytes"}


def c_type(field):
    if field.kind == "enum":
        return f"enum pg_pb_{snake(field.of.name)}"
    if field.kind == "message":
        return f"struct pg_pb_{snake(field.of.name)}"
    return C_TYPES[field.kind]


def banner(file):
    return f"/* Made by gen/wirec from {file.place} and its .bounds; edit those, not this. */\n"


def enum(definition):
    name = snake(definition.name)
    out = [f"enum pg_pb_{name} {{\n"]
    out += [f"    PG_PB_{name.upper()}_{snake(v).upper()} = {number},\n" for v, number in definition.values.items()]
    return "".join(out) + "};\n\n"


def struct(message):
    name = snake(message.name)
    out = [f"struct pg_pb_{name} {{\n"]
    for f in message.fields:
        array = f"[{f.most}]" if f.label == "repeated" else ""
        out.append(f"    {c_type(f)} {c_field(f.name)}{array};\n")
    for f in message.fields:
        out.append(f"    {has(f)[0]} {has(f)[1]};\n")
    if not message.fields:
        out.append("    bool empty; /* no fields; C wants one */\n")
    return "".join(out) + "};\n"


def has(field):
    name = snake(field.name)
    return ("uint32_t", f"n_{name}") if field.label == "repeated" else ("bool", f"has_{name}")


def functions(message):
    name = snake(message.name)
    kind, table = f"struct pg_pb_{name}", f"&pg_pb_{name}_table"
    out = [f"extern const struct pg_pb_table pg_pb_{name}_table;\n"]
    if message.limit:
        out.append(f"#define PG_PB_{name.upper()}_MAX {message.limit}u\n")
    out.append(f"""
static inline enum pg_err pg_pb_{name}_read({kind} *into, struct pg_bytes from)
{{
    return pg_pb_read({table}, into, from);
}}

static inline size_t pg_pb_{name}_size(const {kind} *m)
{{
    return pg_pb_size({table}, m);
}}

static inline void pg_pb_{name}_write(const {kind} *m, struct pg_writer *w)
{{
    pg_pb_write({table}, m, w);
}}

static inline bool pg_pb_{name}_equal(const {kind} *a, const {kind} *b)
{{
    return pg_pb_equal({table}, a, b);
}}
""")
    if message.framed == "uvarint":
        out.append(f"""
/* On top of what was read before: the same message may come in several frames. */
static inline enum pg_err pg_pb_{name}_merge({kind} *into, struct pg_bytes from)
{{
    return pg_pb_merge({table}, into, from);
}}

/* With its length before it, as it stands on a stream. */
static inline void pg_pb_{name}_write_framed(const {kind} *m, struct pg_writer *w)
{{
    pg_put_uvarint(w, pg_pb_{name}_size(m));
    pg_pb_{name}_write(m, w);
}}
""")
    return "".join(out)


def all_events(message):
    rows = message.events + ([message.otherwise] if message.otherwise else [])
    return list(dict.fromkeys(e.name for e in rows))


def event_constant(message, event):
    return f"PG_PB_{snake(message.name).upper()}_{event.replace('.', '_').upper()}"


def event_header(message):
    if not all_events(message):
        return ""
    name = snake(message.name)
    out = [f"\nenum pg_pb_{name}_event {{\n    PG_PB_{name.upper()}_NO_EVENT,\n"]
    out += [f"    {event_constant(message, e)}, /* {e} */\n" for e in all_events(message)]
    out.append(f"}};\n/* Which machine event the message is; PG_PB_{name.upper()}_NO_EVENT when no row of the .bounds says so. */\n")
    out.append(f"int pg_pb_{name}_event(const struct pg_pb_{name} *);\n")
    out.append(f"/* By number, as the machines spell them; NULL for the first. */\n"
               f"extern const char *const pg_pb_{name}_event_names[{len(all_events(message)) + 1}];\n")
    return "".join(out)


def header(file):
    out = [banner(file), '#pragma once\n#include "wire/pb.h"\n\n']
    out += [enum(e) for e in file.enums.values()]
    for message in file.messages.values():
        out += [struct(message), functions(message), event_header(message), "\n"]
    return "".join(out).rstrip("\n") + "\n"


def c_term(term):
    f = term.field
    there = f"m->{has(f)[1]}"
    if f.label == "repeated":
        there += " > 0"
    if term.value is None:
        return f"!({there})" if term.negated and " " in there else f"!{there}" if term.negated else there
    value = f"PG_PB_{snake(f.of.name).upper()}_{snake(term.value).upper()}"
    compare = f"m->{c_field(f.name)} {'!=' if term.negated else '=='} {value}"
    return compare if f.label == "required" else f"{there} && {compare}"


def event_source(file, message):
    events = all_events(message)
    if not events:
        return ""
    name = snake(message.name)
    out = [f"\nconst char *const pg_pb_{name}_event_names[{len(events) + 1}] = {{\n    NULL,\n"]
    out += [f'    "{e}",\n' for e in events]
    out.append(f"}};\n\nint pg_pb_{name}_event(const struct pg_pb_{name} *m)\n{{\n")
    if not message.events:
        out.append("    (void)m;\n")
    for e in message.events:
        out.append(f"    if ({' && '.join(c_term(t) for t in e.terms)}) /* line {e.line} of the .bounds */\n"
                   f"        return {event_constant(message, e.name)};\n")
    last = event_constant(message, message.otherwise.name) if message.otherwise else f"PG_PB_{name.upper()}_NO_EVENT"
    return "".join(out) + f"    return {last};\n}}\n"


def field_row(message, f):
    kind, struct_name, member = f.kind, f"struct pg_pb_{snake(message.name)}", c_field(f.name)
    cells = [f'.name = "{f.name}"', f".number = {f.number}", f".kind = PG_PB_{kind.upper()}", f".label = PG_PB_{f.label.upper()}",
             f".at = offsetof({struct_name}, {member})", f".has = offsetof({struct_name}, {has(f)[1]})",
             f".most = {f.most}", f".room = sizeof({c_type(f)})"]
    if kind in TEXTS:
        cells.append(f".limit = {f.limit}")
    if kind == "message":
        cells += [".limit = UINT32_MAX", f".inner = &pg_pb_{snake(f.of.name)}_table"]
    if f.policy == "drop":
        cells.append(".drop = true")
    if f.known:
        cells += [".known = true", f".values = {snake(f.of.name)}_values", f".n_values = {len(f.of.values)}"]
    return "    {" + ", ".join(cells) + "},\n"


def table(message):
    name = snake(message.name)
    numbers = [f.number for f in message.fields]
    out = []
    if message.fields:
        out.append(f"\nstatic const struct pg_pb_field {name}_fields[] = {{\n")
        out += [field_row(message, f) for f in message.fields]
        out.append(f"}};\nstatic const uint8_t {name}_order[] = {{{', '.join(str(numbers.index(n)) for n in message.order)}}};\n")
    cells = [f'.name = "{message.name}"', f".size = sizeof(struct pg_pb_{name})", f".limit = {message.limit or 'UINT32_MAX'}"]
    if message.fields:
        cells += [f".fields = {name}_fields", f".n_fields = {len(numbers)}", f".order = {name}_order"]
    joined = ",\n    ".join(cells)
    out.append(f"\nconst struct pg_pb_table pg_pb_{name}_table = {{\n    {joined},\n}};\n")
    return "".join(out)


def source(file):
    out = [banner(file), f'#include "{file.stem}.pb.gen.h"\n']
    known = {f.of.name: f.of for m in file.messages.values() for f in m.fields if f.known}
    for definition in known.values():
        values = ", ".join(str(v) for v in sorted(definition.values.values()))
        out.append(f"\nstatic const int32_t {snake(definition.name)}_values[] = {{{values}}};\n")
    for message in file.messages.values():
        out += [table(message), event_source(file, message)]
    return "".join(out)


def files(file):
    return {f"{file.stem}.pb.gen.h": header(file), f"{file.stem}.pb.gen.c": source(file)}


def golden(file):
    """One line a field and a row: what a reviewer reads."""
    for e in file.enums.values():
        for name, value in e.values.items():
            yield f"{file.stem}  enum {e.name}  {value} {name}"
    for m in file.messages.values():
        order = " ".join(str(n) for n in m.order)
        yield f"{file.stem}  message {m.name}  limit {m.limit or '-'}  framed {m.framed or '-'}  order {order or '-'}"
        for f in m.fields:
            kind = f.of.name if f.of else f.kind
            bound = f"most {f.most}  bytes {f.limit or '-'}  {f.policy}{'  known' if f.known else ''}{'  lazy' if f.lazy else ''}"
            yield f"{file.stem}  field {m.name}.{f.number:03d} {f.name}  {f.label} {kind}  {bound}"
        for e in m.events:
            terms = " & ".join(golden_term(t) for t in e.terms)
            yield f"{file.stem}  event {m.name}  {e.name} when {terms}"
        if m.otherwise:
            yield f"{file.stem}  event {m.name}  {m.otherwise.name} else"


def golden_term(term):
    if term.value is None:
        return ("!" if term.negated else "") + term.field.name
    return f"{term.field.name} {'!=' if term.negated else '='} {term.value}"


assert set(C_TYPES) == set(NUMBERS) | set(TEXTS)
