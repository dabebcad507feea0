"""limits.list: what one peer takes at most -> limits.gen.h, limits.gen.c, limits.md; rows for options.py and metrics.py."""
import dataclasses
import re

from gen.listc import cwriter
from gen.listc.reader import rows, unique

LIST = "limits.list"
UNITS = {"count": "count", "rate": "count", "bytes": "size", "time": "duration"}  # and the kind of the option
REFUSES = ("connection", "dial", "stream", "tunnel", "query", "request", "reservation", "circuit")
BYTES = re.compile(r"([0-9]+)(KiB|MiB|GiB)\Z")
TIME = re.compile(r"([0-9]+)(ms|s|min|h)\Z")
BYTES_OF = {"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
MS_OF = {"ms": 1, "s": 1000, "min": 60_000, "h": 3_600_000}
TIMER = re.compile(r"([a-z][a-z0-9_]*)\.([a-z][a-z0-9_]*)\Z")
METRIC, METRIC_HELP = "punchgate_refused_total", "what was turned away because a limit was reached"


@dataclasses.dataclass
class Limit:
    name: str
    unit: str
    shown: str   # the default as it is written
    value: int
    help: str
    option: str = ""  # "" for what is fixed
    low: int = 0
    high: int = 0
    refuses: str = ""

    @property
    def kind(self):
        return UNITS[self.unit]


def number(row, unit, text):
    pattern, scale = (BYTES, BYTES_OF) if unit == "bytes" else (TIME, MS_OF)
    if text.isdigit() and (unit not in ("bytes", "time") or text == "0"):
        return int(text)
    match = pattern.match(text) if unit in ("bytes", "time") else None
    if not match:
        row.fail(f"'{text}': not a {unit}")
    return int(match[1]) * scale[match[2]]


def bound(row, limit, key, text):
    """from and to: as the default is written; times in milliseconds, as for options."""
    value = int(text) if text.isdigit() else number(row, limit.unit, text)
    setattr(limit, {"from": "low", "to": "high"}[key], value)


def timer(spec_dir, row, text):
    """The constant time of MACHINE.TIMER, from the machine itself."""
    machine, name = TIMER.match(text).groups()
    path = spec_dir / "machine" / f"{machine}.sm"
    for line in path.read_text().splitlines() if path.exists() else ():
        words = line.split()
        if words[:2] == ["timer", name] and TIME.match(words[2]):
            return words[2]
    return row.fail(f"'{text}': no timer of constant time in spec/machine/{machine}.sm")


def attributes(row, limit, count):
    seen = {}
    for index in range(4, count):
        key, _, text = row.word(index, "attribute").partition("=")
        unique(seen, row, key, "attribute")
        if key == "option":
            limit.option = text
        elif key in ("from", "to") and text:
            bound(row, limit, key, text)
        elif key == "refuses" and text in REFUSES:
            limit.refuses = text
        else:
            row.fail(f"'{row.cells[index]}': option=, from=, to= or refuses={'|'.join(REFUSES)} belongs here")
    if not limit.option or not limit.low <= limit.value <= limit.high:
        row.fail(f"limit '{limit.name}': option=, and from= and to= around the default are needed")


def read(spec_dir):
    """(those that can be changed, in the order of their numbers; those that are fixed)."""
    limits, fixed, names = [], [], {}
    for row in rows(spec_dir, LIST):
        kind = row.choice(0, "the row's first word", ("limit", "fixed"))
        name = row.name(1, "the limit's name")
        unit = row.choice(2, "unit", tuple(UNITS))
        shown = row.word(3, "value")
        unique(names, row, name, "limit")
        if kind == "fixed":
            row.ends_at(5)
            shown = timer(spec_dir, row, shown) if TIMER.match(shown) else shown
            fixed.append(Limit(name, unit, shown, number(row, unit, shown), row.text(4, "help")))
            continue
        limit = Limit(name, unit, shown, number(row, unit, shown), row.text(len(row.cells) - 1, "help"))
        attributes(row, limit, len(row.cells) - 1)
        limits.append(limit)
    return limits, fixed


def metrics(spec_dir):
    """Rows as metrics.py reads them; together, so that the first one's number and a limit's place give the limit's."""
    return [(f"refused_{one.name}", "counter", METRIC, f'limit="{one.name}"', METRIC_HELP)
            for one in read(spec_dir)[0] if one.refuses]


def header(limits, fixed):
    out = [cwriter.banner(LIST), '#pragma once\n#include <stdint.h>\n\n#include "metrics.gen.h"\n\n']
    out.append(cwriter.enum("pg_limit", [f"PG_LIMIT_{one.name.upper()}" for one in limits]))
    out.append(f"#define PG_LIMITS {len(limits)} /* also: none of them */\n\n")
    out.extend(f"#define PG_FIXED_{one.name.upper()}{'_MS' if one.unit == 'time' else ''} {one.value}u\n" for one in fixed)
    out.append("""
/* By enum pg_limit; times in milliseconds. */
struct pg_limits {
    uint64_t value[PG_LIMITS];
};

struct pg_limit_info {
    const char *name;
    const char *option;  /* that changes it, with its dashes */
    const char *refuses; /* what is turned away; NULL when nothing is */
    int metric;          /* enum pg_metric, -1 when nothing is turned away */
    uint64_t standard;
};
extern const struct pg_limit_info pg_limit_infos[PG_LIMITS];
void pg_limits_standard(struct pg_limits *);
""")
    return "".join(out)


def source(limits):
    out = [cwriter.banner(LIST), '#include "limits.gen.h"\n\n#include <stddef.h>\n\n',
           "const struct pg_limit_info pg_limit_infos[PG_LIMITS] = {\n"]
    for one in limits:
        refuses = cwriter.literal(one.refuses) if one.refuses else "NULL"
        metric = f"PG_METRIC_REFUSED_{one.name.upper()}" if one.refuses else "-1"
        out.append(f"    [PG_LIMIT_{one.name.upper()}] = {{{cwriter.literal(one.name)}, {cwriter.literal('--' + one.option)}, "
                   f"{refuses}, {metric}, {one.value}u}},\n")
    out.append("};\n\nvoid pg_limits_standard(struct pg_limits *limits)\n{\n"
               "    for (unsigned i = 0; i < PG_LIMITS; i++)\n        limits->value[i] = pg_limit_infos[i].standard;\n}\n")
    return "".join(out)


def unit_text(one):
    return {"rate": f"{one.shown} a second", "time": re.sub(r"(\d)([a-z])", r"\1 \2", one.shown),
            "bytes": re.sub(r"(\d)([A-Z])", r"\1 \2", one.shown)}.get(one.unit, one.shown)


def markdown(spec_dir):
    limits, fixed = read(spec_dir)
    out = ["| limit | default | option | what it bounds |\n| --- | --- | --- | --- |\n"]
    out.extend(f"| `{one.name}` | {unit_text(one)} | `--{one.option}` | {one.help} |\n" for one in limits)
    out.extend(f"| `{one.name}` | {unit_text(one)} | | {one.help} |\n" for one in fixed)
    return "".join(out)


def generate(spec_dir):
    limits, fixed = read(spec_dir)
    if not limits:
        return {}  # lists are tried on their own in tests
    return {"limits.gen.h": header(limits, fixed), "limits.gen.c": source(limits), "limits.md": markdown(spec_dir)}


def golden(spec_dir):
    limits, fixed = read(spec_dir)
    return {"limits.txt": cwriter.golden(
        [f"limit {o.name}  {o.unit}  {o.shown}  option={o.option} from={o.low} to={o.high}"
         + (f" refuses={o.refuses}" if o.refuses else "") + f"  {cwriter.shown(o.help)}" for o in limits]
        + [f"fixed {o.name}  {o.unit}  {o.shown}  {cwriter.shown(o.help)}" for o in fixed])}
