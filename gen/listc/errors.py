"""errors.list: name, class, exit status, text -> errors.gen.h, errors.gen.c."""
from gen.listc import cwriter
from gen.listc.reader import rows, unique

LIST = "errors.list"
CLASSES = ("peer", "world", "local", "bug")
EXITS = ("1", "2", "69", "75", "77", "78")


def read(spec_dir):
    found, names = [], {}
    for row in rows(spec_dir, LIST):
        name = row.name(0, "the error's name")
        kind = row.choice(1, "class", CLASSES)
        status = row.choice(2, "exit status", EXITS)
        text = row.text(3, "the error's text")
        row.ends_at(4)
        unique(names, row, name, "error")
        if name == "ok":
            row.fail("error 'ok': PG_OK is there already and means none")
        if not text or text.endswith("."):
            row.fail(f'text "{text}": a clause without full stop, it is joined to others')
        found.append((name, kind, int(status), text))
    return found


def header(errors):
    out = [cwriter.banner(LIST), "#pragma once\n\n"]
    out.append(cwriter.enum("pg_err", ["PG_OK = 0"] + [f"PG_ERR_{name.upper()}" for name, *_ in errors]))
    out.append(f"#define PG_ERRS {len(errors) + 1}\n\n")
    out.append("/* What an error does: reset the stream and count it; try again later; tell the user; stop. */\n")
    out.append(cwriter.enum("pg_err_class", [f"PG_CLASS_{c.upper()}" for c in ("none",) + CLASSES]))
    out.append("""
const char *pg_err_name(enum pg_err err); /* the code in JSON objects */
const char *pg_err_text(enum pg_err err);
enum pg_err_class pg_err_class(enum pg_err err);
int pg_err_exit(enum pg_err err);

/* Leaves the function with the error of x, if it has one. */
#define TRY(x)                   \\
    do {                         \\
        enum pg_err try_ = (x);  \\
        if (try_ != PG_OK) {     \\
            return try_;         \\
        }                        \\
    } while (0)
""")
    return "".join(out)


def source(errors):
    out = [cwriter.banner(LIST), '#include "errors.gen.h"\n\n']
    out.append("static const struct {\n    const char *name;\n    const char *text;\n"
               "    enum pg_err_class class;\n    int exit;\n} table[PG_ERRS] = {\n")
    out.append('    [PG_OK] = {"ok", "no error", PG_CLASS_NONE, 0},\n')
    for name, kind, status, text in errors:
        out.append(f"    [PG_ERR_{name.upper()}] = {{{cwriter.literal(name)}, {cwriter.literal(text)}, "
                   f"PG_CLASS_{kind.upper()}, {status}}},\n")
    out.append("};\n")
    for kind, name, field in (("const char *", "pg_err_name", "name"), ("const char *", "pg_err_text", "text"),
                              ("enum pg_err_class ", "pg_err_class", "class"), ("int ", "pg_err_exit", "exit")):
        out.append(f"\n{kind}{name}(enum pg_err err)\n{{\n    return table[err].{field};\n}}\n")
    return "".join(out)


def generate(spec_dir):
    errors = read(spec_dir)
    return {"errors.gen.h": header(errors), "errors.gen.c": source(errors)}


def golden(spec_dir):
    return {"errors.txt": cwriter.golden(f"{n}  {k}  {e}  {cwriter.shown(t)}" for n, k, e, t in read(spec_dir))}
