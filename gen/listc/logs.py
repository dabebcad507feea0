"""logs.list: id, level, target, message, fields -> logs.gen.h, logs.gen.c: one typed function a line."""
import re

from gen.listc import cwriter
from gen.listc.reader import NAME, rows, unique

LIST = "logs.list"
LEVELS = ("error", "warn", "info", "debug", "trace")
BYTES, NUMBER = "struct pg_bytes", "uint64_t"
TYPES = {"text": BYTES, "quoted": BYTES, "debug": BYTES, "maybe_peer": BYTES, "u64": NUMBER, "duration": NUMBER}
UNITS = {"duration": "_us"}  # of the C parameter: units last
TARGET = re.compile(r"[a-z0-9_]+(::[a-z0-9_]+)*\Z")
PLACEHOLDER = re.compile(r"\{([a-z0-9_]+)\}")
MOST_FIELDS = 8  # PG_LOG_FIELDS in runtime/trace/log.h
TAKEN = ("on", "write", "format", "level", "info", "value", "id", "infos")  # pg_log_… of runtime/trace/log.h


def read_field(row, cell):
    name, colon, kind = cell.partition(":")
    if not colon or kind not in TYPES:
        row.fail(f"field '{cell}': name:type, and type is one of {', '.join(TYPES)}")
    if not NAME.match(name):
        row.fail(f"field '{name}': small letters, digits and _ only, a letter first")
    return name, kind


def check_message(row, message, fields):
    """The original's log scripts split a line at its first word=…, and braces have to name a field, once."""
    if re.search(r"\w=", message):
        row.fail(f'message "{message}": holds word=, which log readers take for a field')
    names = [name for name, _ in fields]
    used = PLACEHOLDER.findall(message)
    for name in used:
        if name not in names:
            row.fail(f"message names {{{name}}}, which is no field of this line")
        if used.count(name) > 1:
            row.fail(f"message names {{{name}}} twice")
    if "{" in PLACEHOLDER.sub("", message) or "}" in PLACEHOLDER.sub("", message):
        row.fail(f'message "{message}": a brace that belongs to no {{field}}')


def read(spec_dir):
    found, names = [], {}
    for row in rows(spec_dir, LIST):
        name = row.name(0, "the line's id")
        level = row.choice(1, "level", LEVELS)
        target = row.word(2, "target")
        message = row.text(3, "message")
        fields = []
        for index in range(4, len(row.cells)):
            field = read_field(row, row.word(index, "field"))
            if field[0] in [n for n, _ in fields]:
                row.fail(f"field '{field[0]}' stands twice")
            fields.append(field)
        unique(names, row, name, "log line")
        if name in TAKEN:
            row.fail(f"log line '{name}': pg_log_{name} is something else already")
        if not TARGET.match(target):
            row.fail(f"target '{target}': words joined by ::, such as cli::node")
        if len(fields) > MOST_FIELDS:
            row.fail(f"{len(fields)} fields, at most {MOST_FIELDS}")
        check_message(row, message, fields)
        found.append((name, level, target, message, fields))
    return found


def prototype(name, fields):
    params = "".join(f", {TYPES[kind]} {field}{UNITS.get(kind, '')}" for field, kind in fields)
    return f"void pg_log_{name}(struct pg_log *log{params})"


def header(lines):
    out = [cwriter.banner(LIST), '#pragma once\n#include "trace/log.h"\n\n']
    out.append(cwriter.enum("pg_log_id", [f"PG_LOG_{name.upper()}" for name, *_ in lines]))
    out.append(f"#define PG_LOGS {len(lines)}\n\n")
    out.append("extern const struct pg_log_info pg_log_infos[PG_LOGS];\n\n")
    out.append("/* Text is borrowed until the call returns; durations are microseconds. */\n")
    out.extend(prototype(name, fields) + ";\n" for name, _, _, _, fields in lines)
    return "".join(out)


def source(lines):
    out = [cwriter.banner(LIST), '#include "logs.gen.h"\n\n',
           "const struct pg_log_info pg_log_infos[PG_LOGS] = {\n"]
    for name, level, target, message, fields in lines:
        inside = PLACEHOLDER.findall(message)
        cells = ", ".join(f"{{{cwriter.literal(field)}, PG_FIELD_{kind.upper()}, {'true' if field in inside else 'false'}}}"
                          for field, kind in fields)
        out.append(f"    [PG_LOG_{name.upper()}] = {{{cwriter.literal(name)}, {cwriter.literal(target)}, "
                   f"{cwriter.literal(message)}, PG_LOG_LEVEL_{level.upper()}, {len(fields)}, {{{cells or '{0}'}}}}},\n")
    out.append("};\n")
    for name, _, _, _, fields in lines:
        ident = f"PG_LOG_{name.upper()}"
        out.append(f"\n{prototype(name, fields)}\n{{\n    if (pg_log_on(log, {ident})) {{\n")
        values = "NULL"
        if fields:
            cells = ", ".join(f"{{.{'text' if TYPES[kind] == BYTES else 'number'} = {field}{UNITS.get(kind, '')}}}"
                              for field, kind in fields)
            out.append(f"        const union pg_log_value values[] = {{{cells}}};\n")
            values = "values"
        out.append(f"        pg_log_write(log, {ident}, &pg_log_infos[{ident}], {values});\n    }}\n}}\n")
    return "".join(out)


def generate(spec_dir):
    lines = read(spec_dir)
    return {"logs.gen.h": header(lines), "logs.gen.c": source(lines)}


def golden(spec_dir):
    return {"logs.txt": cwriter.golden(
        f"{name}  {level}  {target}  {cwriter.shown(message)}" + "".join(f"  {f}:{k}" for f, k in fields)
        for name, level, target, message, fields in read(spec_dir))}
