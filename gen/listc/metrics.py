"""metrics.list: id, kind, series with labels, help -> metrics.gen.h, metrics.gen.c."""
import re

from gen.listc import cwriter, limits
from gen.listc.reader import rows, unique

LIST = "metrics.list"
KINDS = ("counter", "gauge")
SERIES = re.compile(r'((?:punchgate|libp2p)_[a-z][a-z0-9_]*)(?:\{([^}]*)\})?\Z')
LABELS = re.compile(r'[a-z_]+="[a-z0-9_]+"(,[a-z_]+="[a-z0-9_]+")*\Z')


def check_series(row, kind, word):
    match = SERIES.match(word)
    if not match or (match[2] is not None and not LABELS.match(match[2])):
        row.fail(f'series \'{word}\': punchgate_name or punchgate_name{{label="value",…}}')
    if (kind == "counter") != match[1].endswith("_total"):
        row.fail(f"series '{word}': _total stands at the end of counters, and of nothing else")
    return match[1], match[2] or ""


def read(spec_dir):
    found, names, series, families, last = [], {}, {}, {}, None
    for row in rows(spec_dir, LIST):
        name = row.name(0, "the metric's id")
        kind = row.choice(1, "kind", KINDS)
        family, labels = check_series(row, kind, row.word(2, "series"))
        text = row.text(3, "help")
        row.ends_at(4)
        unique(names, row, name, "metric")
        unique(series, row, row.cells[2], "series")
        if family in families and family != last:
            row.fail(f"series '{family}': its rows do not stand together")
        if families.setdefault(family, (kind, text)) != (kind, text):
            row.fail(f"series '{family}': kind and help are the same in all its rows")
        last = family
        found.append((name, kind, family, labels, text))
    return found + limits.metrics(spec_dir)


def header(metrics):
    out = [cwriter.banner(LIST), "#pragma once\n#include <stdint.h>\n\n"]
    out.append(cwriter.enum("pg_metric", [f"PG_METRIC_{n.upper()}" for n, *_ in metrics]))
    out.append(f"#define PG_METRICS {len(metrics)}\n\n")
    out.append(cwriter.enum("pg_metric_kind", [f"PG_METRIC_IS_{k.upper()}" for k in KINDS]))
    out.append("""
struct pg_metrics {
    uint64_t value[PG_METRICS]; /* by enum pg_metric */
};

struct pg_metric_info {
    const char *name;   /* as `punchgate status` prints it */
    const char *series; /* as Prometheus names it, without labels */
    const char *labels; /* label="value",… or "" */
    const char *help;
    enum pg_metric_kind kind;
};
extern const struct pg_metric_info pg_metric_infos[PG_METRICS];
""")
    return "".join(out)


def source(metrics):
    out = [cwriter.banner(LIST), '#include "metrics.gen.h"\n\n',
           "const struct pg_metric_info pg_metric_infos[PG_METRICS] = {\n"]
    for name, kind, family, labels, text in metrics:
        cells = ", ".join(cwriter.literal(c) for c in (name, family, labels, text))
        out.append(f"    [PG_METRIC_{name.upper()}] = {{{cells}, PG_METRIC_IS_{kind.upper()}}},\n")
    return "".join(out) + "};\n"


def generate(spec_dir):
    metrics = read(spec_dir)
    return {"metrics.gen.h": header(metrics), "metrics.gen.c": source(metrics)}


def golden(spec_dir):
    return {"metrics.txt": cwriter.golden(
        f'{n}  {k}  {f}{"{" + labels + "}" if labels else ""}  {cwriter.shown(t)}' for n, k, f, labels, t in read(spec_dir))}
