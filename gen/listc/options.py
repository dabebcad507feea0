"""options.list: commands and options -> options.gen.h, options.gen.c, and the documents that gen/listc/manual.py writes."""
import dataclasses
import re

from gen.listc import completions, cwriter, limits, manual
from gen.listc.reader import rows, unique

LIST = "options.list"
SOURCES = ("flag", "env", "file")
# kind -> (C field, takes a value, many)
KINDS = {
    "flag": ("bool {name};", False, False),
    "path": ("const char *{name};", True, False),
    "control": ("const char *{name};", True, False),
    "protocol": ("const char *{name};", True, False),
    "word": ("unsigned {name}; /* enum pg_option_{name} */", True, False),
    "count": ("uint64_t {name};", True, False),
    "duration": ("uint64_t {name}_ms;", True, False),
    "size": ("uint64_t {name};", True, False),
    "listen": ("struct pg_strings {name};", True, True),
    "bootstrap": ("struct pg_strings {name};", True, True),
    "expose": ("struct pg_strings {name};", True, True),
    "tunnel": ("struct pg_strings {name};", True, True),
    "named": ("struct pg_strings {name};", True, True),
    "external": ("struct pg_strings {name};", True, True),
    "nameserver": ("struct pg_strings {name};", True, True),
}
BOUNDED = ("count", "duration", "size")
ARGUMENTS = ("-", "ADDR", "ADDR:SERVICE", "FILE", "KEY", "KEY,VALUE", "PEER")
COMMAND = re.compile(r"[a-z][a-z0-9]*(\.[a-z][a-z0-9]*)?\Z")
WORD = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*\Z")
DURATION = re.compile(r"([0-9]+)(ms|s|min|h)?\Z")
UNIT_MS = {None: 1000, "ms": 1, "s": 1000, "min": 60_000, "h": 3_600_000}


@dataclasses.dataclass
class Command:
    name: str       # key.new is written "key new" by users: a word of a group
    argument: str
    help: str
    like: str = ""  # takes every option of that command

    @property
    def shown(self):
        return self.name.replace(".", " ")

    @property
    def group(self):
        return self.name.partition(".")[0] if "." in self.name else None

    @property
    def symbol(self):
        return "PG_CLI_" + self.name.replace(".", "_").upper()


@dataclasses.dataclass
class Option:
    name: str
    kind: str
    placeholder: str
    help: str
    commands: list = dataclasses.field(default_factory=list)
    flag_only: list = dataclasses.field(default_factory=list)  # commands that take it from the command line only
    sources: tuple = SOURCES
    default: list = dataclasses.field(default_factory=list)
    low: int = 0
    high: int = 0
    parts: list = dataclasses.field(default_factory=list)
    most: int = 1
    limit: str = ""  # of limits.list
    reload: bool = False  # a running peer takes it over on SIGHUP

    @property
    def field(self):
        return self.name.replace("-", "_")

    @property
    def member(self):
        return self.field + ("_ms" if self.kind == "duration" else "")

    @property
    def many(self):
        return KINDS[self.kind][2]

    @property
    def takes_value(self):
        return KINDS[self.kind][1]

    @property
    def choices(self):
        return self.placeholder.split("|") if self.kind == "word" else []

    @property
    def variable(self):
        return "PUNCHGATE_" + self.field.upper()


def split_list(row, text, what):
    items = text.split(",")
    if "" in items:
        row.fail(f"{what} '{text}': an item is empty")
    return items


def set_attribute(row, option, key, text, commands):
    if key == "for":
        for word in [c.name for c in commands] if text == "all" else split_list(row, text, key):
            name = word.rstrip("!")
            if name not in [c.name for c in commands]:
                row.fail(f"for '{name}': no such command above")
            (option.flag_only if word.endswith("!") else option.commands).append(name)
    elif key == "sources":
        option.sources = tuple(split_list(row, text, key))
        if not set(option.sources) <= set(SOURCES) or "flag" not in option.sources:
            row.fail(f"sources '{text}': flag, and perhaps {' and '.join(SOURCES[1:])}")
    elif key == "default":
        option.default = split_list(row, text, key) if option.many else [text]
    elif key in ("from", "to"):
        if option.kind not in BOUNDED or not text.isdigit():
            row.fail(f"{key} '{text}': a whole number, for {', '.join(BOUNDED[:-1])} and {BOUNDED[-1]} only")
        setattr(option, {"from": "low", "to": "high"}[key], int(text))
    elif key == "parts" and option.many:
        option.parts = split_list(row, text, key)
    elif key == "most" and option.many and text.isdigit():
        option.most = int(text)
    elif key == "reload" and option.many and text == "yes":
        option.reload = True
    elif key in ("parts", "most", "reload"):
        row.fail(f"{key} '{text}': for lists only; most is a number, reload is yes")
    else:
        row.fail(f"'{key}=': one of for, sources, default, from, to, parts, most, reload")


def check_default(row, option):
    """The parser trusts the table's own defaults, so they are looked at here."""
    if option.kind in BOUNDED:
        if option.high < option.low or option.high == 0:
            row.fail(f"option '{option.name}': from= and to= are needed, from the smaller to the larger")
        for text in option.default:
            match = DURATION.match(text)
            if not match or (match[2] and option.kind == "count"):
                row.fail(f"default '{text}': not a {option.kind}")
            value = int(match[1]) * (UNIT_MS[match[2]] if option.kind == "duration" else 1)
            if not option.low <= value <= option.high:
                row.fail(f"default '{text}': not within from= and to=")
    if option.kind == "word":
        for choice in option.choices:
            if not WORD.match(choice):
                row.fail(f"choice '{choice}': small letters, digits and - only")
        if set(option.default) - set(option.choices):
            row.fail(f"default '{option.default[0]}': one of {', '.join(option.choices)}")
    if option.kind == "flag" and option.default:
        row.fail("a flag has no default: it is off")


def read_option(row, commands):
    option = Option(row.word(1, "the option's name"), row.choice(2, "kind", tuple(KINDS)), row.word(3, "placeholder"), "")
    if not WORD.match(option.name):
        row.fail(f"option '{option.name}': small letters, digits and - only, a letter first")
    if (option.placeholder == "-") == option.takes_value:
        row.fail(f"placeholder '{option.placeholder}': - for flags, a word for everything else")
    seen = {}
    for index in range(4, len(row.cells) - 1):
        key, equals, text = row.word(index, "attribute").partition("=")
        if not equals or not text:
            row.fail(f"'{row.cells[index]}': key=value belongs here, and the help text last")
        unique(seen, row, key, "attribute")
        set_attribute(row, option, key, text, commands)
    option.help = row.text(len(row.cells) - 1, "help")
    if option.many and option.most < max(2, len(option.default)):
        row.fail(f"option '{option.name}': most= is missing or too small for a list")
    if not option.commands and not option.flag_only:
        row.fail(f"option '{option.name}': for= is missing, no command takes it")
    check_default(row, option)
    return option


def limit_options(spec_dir):
    """Each limit is an option of run."""
    placeholders = {"count": "N", "size": "SIZE", "duration": "TIME"}
    return [Option(one.option, one.kind, placeholders[one.kind], f"Limit {one.name}: {one.help}.", commands=["run"],
                   default=[one.shown], low=one.low, high=one.high, limit=one.name) for one in limits.read(spec_dir)[0]]


def read_command(row, commands):
    command = Command(row.word(1, "the command's name"), row.choice(2, "argument", ARGUMENTS).replace(",", " "), row.text(3, "help"))
    if len(row.cells) > 4:
        key, _, command.like = row.word(4, "attribute").partition("=")
        if key != "like" or command.like not in [c.name for c in commands]:
            row.fail(f"'{row.cells[4]}': only like=COMMAND of a command above may follow the help text")
    row.ends_at(5 if command.like else 4)
    if not COMMAND.match(command.name):
        row.fail(f"command '{command.name}': small letters and digits only, a letter first; a dot after the name of its group")
    if command.name in [c.group for c in commands] or command.group in [c.name for c in commands]:
        row.fail(f"command '{command.name}': {command.group or command.name} cannot be a command and a group")
    return command


def groups(commands):
    """Names of the groups, each with its commands."""
    found = {}
    for command in commands:
        if command.group:
            found.setdefault(command.group, []).append(command)
    return found


def read(spec_dir):
    commands, options, names = [], [], {}
    for row in rows(spec_dir, LIST):
        kind = row.choice(0, "the row's first word", ("command", "option"))
        if kind == "command":
            command = read_command(row, commands)
            unique(names, row, "command " + command.name, "row")
            if not commands and command.name != "run":
                row.fail(f"command '{command.name}': the first is run, which happens without a command")
            commands.append(command)
        else:
            option = read_option(row, commands)
            unique(names, row, "option " + option.name, "row")
            options.append(option)
    options += limit_options(spec_dir)
    for command in commands:
        for option in options:
            if command.like in option.commands and command.name not in option.commands:
                option.commands.append(command.name)
    return commands, options


def mask(commands, names):
    return sum(1 << i for i, c in enumerate(commands) if c.name in names)


def header(commands, options):
    out = [cwriter.banner(LIST), "#pragma once\n#include <stdbool.h>\n#include <stddef.h>\n#include <stdint.h>\n\n"]
    out.append(cwriter.enum("pg_cli_command", [c.symbol for c in commands]))
    out.append(f"#define PG_CLI_COMMANDS {len(commands)}\n\n")
    out.append(cwriter.enum("pg_option", [f"PG_OPTION_{o.field.upper()}" for o in options]))
    out.append(f"#define PG_OPTIONS {len(options)}\n\n")
    out.extend(f"#define PG_OPTION_{o.field.upper()}_MOST {o.most}\n" for o in options if o.many)
    out.append("\n")
    for option in options:
        if option.choices:
            stem = f"PG_OPTION_{option.field.upper()}"
            out.append(cwriter.enum(f"pg_option_{option.field}", [f"{stem}_UNSET"] + [
                f"{stem}_{c.upper().replace('-', '_')}" for c in option.choices]) + "\n")
    out.append(cwriter.enum("pg_option_kind", [f"PG_KIND_{k.upper()}" for k in KINDS]) + "\n")
    out.append("""struct pg_strings {
    const char *const *at;
    size_t n;
};

/* One value for each option; absent ones are NULL, 0, false or empty. */
struct pg_option_values {
""")
    out.extend("    " + KINDS[o.kind][0].format(name=o.field) + "\n" for o in options)
    out.append("""};

struct pg_option_info {
    const char *name;        /* without the dashes */
    const char *variable;    /* of the environment; NULL: not read from there */
    const char *placeholder; /* NULL for flags; the choices of a word */
    const char *const *defaults; /* texts, NULL after the last; NULL for none */
    const char *const *parts;    /* keys that belong to the item before, the same way */
    uint64_t low, high;      /* of counts and durations */
    size_t most;             /* values that a list may have; 1 for everything else */
    size_t offset;           /* in struct pg_option_values */
    enum pg_option_kind kind;
    bool many, in_file;
    bool reload;             /* a list that a running peer takes over on SIGHUP */
    unsigned commands;       /* bit by enum pg_cli_command: takes it from everywhere */
    unsigned flag_only;      /* from the command line only */
    int limit;               /* enum pg_limit, -1 for those that are none */
};
extern const struct pg_option_info pg_option_infos[PG_OPTIONS];

struct pg_cli_command_info {
    const char *name;     /* one word, or two: key new */
    const char *argument; /* one word, or two; NULL: none */
    const char *const *help; /* what `punchgate NAME --help` prints, in pieces; NULL after the last */
};
extern const struct pg_cli_command_info pg_cli_command_infos[PG_CLI_COMMANDS];

/* First words that several commands share. */
struct pg_cli_group_info {
    const char *name; /* NULL after the last */
    const char *help; /* what `punchgate NAME --help` prints */
};
extern const struct pg_cli_group_info pg_cli_group_infos[];
""")
    return "".join(out)


def name_list(options, what):
    """Arrays of texts that end in NULL; one per option that has any."""
    out = []
    for option in options:
        if getattr(option, what):
            texts = ", ".join(cwriter.literal(t) for t in getattr(option, what))
            out.append(f"static const char *const {what}_{option.field}[] = {{{texts}, NULL}};\n")
    return "".join(out)


def source(commands, options):
    limited = '#include "limits.gen.h"\n' if any(o.limit for o in options) else ""
    out = [cwriter.banner(LIST), '#include "options.gen.h"\n\n', limited,
           name_list(options, "default"), name_list(options, "parts")]
    out.append("\nconst struct pg_option_info pg_option_infos[PG_OPTIONS] = {\n")
    for o in options:
        pairs = [("name", cwriter.literal(o.name)),
                 ("variable", cwriter.literal(o.variable) if "env" in o.sources else "NULL"),
                 ("placeholder", cwriter.literal(o.placeholder) if o.takes_value else "NULL"),
                 ("defaults", f"default_{o.field}" if o.default else "NULL"),
                 ("parts", f"parts_{o.field}" if o.parts else "NULL"),
                 ("low", str(o.low)), ("high", str(o.high)), ("most", str(o.most)),
                 ("offset", f"offsetof(struct pg_option_values, {o.member})"),
                 ("kind", f"PG_KIND_{o.kind.upper()}"),
                 ("many", "true" if o.many else "false"), ("in_file", "true" if "file" in o.sources else "false"),
                 ("reload", "true" if o.reload else "false"),
                 ("commands", hex(mask(commands, o.commands))), ("flag_only", hex(mask(commands, o.flag_only))),
                 ("limit", f"PG_LIMIT_{o.limit.upper()}" if o.limit else "-1")]
        out.append(f"    [PG_OPTION_{o.field.upper()}] = {{\n"
                   + "".join(f"        .{key} = {value},\n" for key, value in pairs) + "    },\n")
    out.append("};\n\n")
    for c in commands:
        texts = ",\n".join("    " + cwriter.long_literal(piece, "    ") for piece in cwriter.pieces(manual.help_text(c, commands, options)))
        out.append(f"static const char *const {c.symbol.lower()}_help[] = {{\n{texts}, NULL,\n}};\n")
    out.append("\nconst struct pg_cli_command_info pg_cli_command_infos[PG_CLI_COMMANDS] = {\n")
    for c in commands:
        argument = "NULL" if c.argument == "-" else cwriter.literal(c.argument)
        out.append(f"    [{c.symbol}] = {{{cwriter.literal(c.shown)}, {argument}, {c.symbol.lower()}_help}},\n")
    out.append("};\n\nconst struct pg_cli_group_info pg_cli_group_infos[] = {\n")
    for name, members in groups(commands).items():
        text = cwriter.long_literal(manual.group_text(members), "     ")
        out.append(f"    {{{cwriter.literal(name)},\n{text}}},\n")
    return "".join(out) + "    {NULL, NULL},\n};\n"


def generate(spec_dir):
    commands, options = read(spec_dir)
    return {"options.gen.h": header(commands, options), "options.gen.c": source(commands, options),
            "punchgate.1": manual.man_page(commands, options), "punchgate.conf.5": manual.conf_page(options),
            "options.md": manual.markdown(commands, options),
            **completions.write(commands, options)}


def describe(option):
    cells = [f"option {option.name}", option.kind, option.placeholder, "for=" + ",".join(option.commands + [n + "!" for n in option.flag_only]),
             "sources=" + ",".join(option.sources)]
    cells += ["default=" + ",".join(option.default)] if option.default else []
    cells += [f"from={option.low} to={option.high}"] if option.kind in BOUNDED else []
    cells += [f"most={option.most}"] if option.many else []
    cells += ["parts=" + ",".join(option.parts)] if option.parts else []
    cells += ["reload"] if option.reload else []
    return "  ".join(cells + [cwriter.shown(option.help)])


def golden(spec_dir):
    commands, options = read(spec_dir)
    return {"options.txt": cwriter.golden([f"command {c.name}  {c.argument}  {cwriter.shown(c.help)}" + (f"  like={c.like}" if c.like else "") for c in commands]
                                          + [describe(o) for o in options])}
