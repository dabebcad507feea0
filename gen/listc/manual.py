"""What people read about the options: --help of each command, punchgate(1), a page for docs/. Made from options.list alone."""
import textwrap

EXITS = ((0, "all is well"), (1, "failed or refused: a wrong peer answers, a tunnel is rejected, a protocol is broken"),
         (2, "wrong usage"), (69, "cannot be reached"), (75, "no answer in time"), (77, "no permission"),
         (78, "wrong configuration or identity file"))
ORDER = ("An option is taken from the command line, else from its environment variable, else from the configuration file, "
         "else it has its default. A list is taken whole from the first of these that has it.")
VARIABLES = ("The variable of an option is its name in capitals, with PUNCHGATE_ before it and _ for -: PUNCHGATE_TUNNEL_WAIT. "
             "Lists are separated by commas. Flags are 1 or 0. An empty variable counts as absent.")
FILE = ("The file has lines of the form name = value with the names of the options, without dashes before them. A name that "
        "is repeated adds to a list. Lines that begin with # or ; are comments. Unknown names are errors.")
DROP_INS = ("Files NAME.conf in a folder beside the file, with its name and .d behind it (punchgate.conf.d), are read after it, sorted by "
            "name. Their lists add to those before; of anything else the last file that has it wins.")
LOGS = ("PUNCHGATE_LOG, else RUST_LOG, filters the log, which goes to standard error: info, debug, cli::tunnel=debug,warn. "
        "NO_COLOR and CLICOLOR_FORCE rule its colours, which otherwise appear on terminals only.")
TIMES = ("Times are whole numbers with the unit ms, s, min or h; without a unit they are seconds. Sizes are whole numbers with "
         "the unit KiB, MiB or GiB; without a unit they are bytes.")



def signals(options):
    lists = [o.name for o in options if o.reload]
    return ("SIGINT and SIGTERM end a peer: it takes nothing new, what runs has 5 s to end, and a second signal cuts that short. SIGHUP makes "
            "it read its configuration again. What is wrong there, or a file that has vanished, changes nothing and is told in the log with its "
            f"line. Else the lists {', '.join(lists)} take effect: what is in the old and the new lists is not touched, tunnels that "
            "run go on to their end, and new ones follow the new lists. Other options wait for a restart, and the log names those that have "
            "changed. A SIGHUP during the start is answered after it, and one after SIGINT or SIGTERM not at all. A peer does not end "
            "when its terminal does, for that is a SIGHUP, too.")


def wrapped(text, indent, width=80):
    return textwrap.fill(text, width, initial_indent=indent, subsequent_indent=indent,
                         break_long_words=False, break_on_hyphens=False) + "\n"


def default_text(option):
    return " Default: " + ", ".join(option.default) + "." if option.default else ""


def flag_text(option):
    return f"--{option.name}" + (f" {option.placeholder}" if option.takes_value else "") + (", -h" if option.name == "help" else "")


def of_command(command, options):
    return [o for o in options if command.name in o.commands + o.flag_only]


def usage_line(command):
    argument = "" if command.argument == "-" else " " + command.argument
    return f"punchgate {'[run]' if command.name == 'run' else command.shown}{argument} [OPTION]..."


def help_text(command, commands, options):
    out = [f"Usage: {usage_line(command)}\n"]
    if command.name == "run":
        out.extend(f"       {usage_line(c)}\n" for c in commands if c.name != "run")
    out.append("\n" + wrapped(command.help, ""))
    if command.name == "run":
        out.append("\nCommands:\n")
        for c in commands:
            out.append(f"  {c.shown}\n" + wrapped(c.help, "        "))
    out.append("\nOptions:\n" if command.name != "run" else "\nOptions of run:\n")
    for option in of_command(command, options):
        default = default_text(option) if command.name in option.commands else ""
        out.append(f"  {flag_text(option)}\n" + wrapped(option.help + default, "        "))
    out.append("\n" + wrapped(TIMES + " " + ORDER, ""))
    out.append("\nExit status: " + ", ".join(f"{n} {t.partition(':')[0]}" for n, t in EXITS) + ".\n")
    out[-1] = "\n" + wrapped(out[-1].strip(), "")
    if command.name == "run":
        out.append(wrapped("punchgate COMMAND --help tells about a command; punchgate(1) about files and variables.", ""))
    return "".join(out)


def group_text(commands):
    """What `punchgate key --help` says."""
    out = [("Usage: " if n == 0 else "       ") + usage_line(c) + "\n" for n, c in enumerate(commands)]
    out.extend(f"\n  {c.shown}\n" + wrapped(c.help, "        ") for c in commands)
    return "".join(out) + "\n" + wrapped("punchgate COMMAND --help tells about a command.", "")


def takers(option, commands):
    """The commands that take an option, as users write them; a group of which all do by its name alone."""
    names = option.commands + option.flag_only
    groups = {c.group for c in commands if c.group}
    whole = {g for g in groups if all(c.name in names for c in commands if c.group == g)}
    shown = (n.partition(".")[0] if n.partition(".")[0] in whole else n.replace(".", " ") for n in names)
    return ", ".join(dict.fromkeys(shown))


def roff(text):
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("…", "...")
    return "\\&" + text if text.startswith((".", "'")) else text


def man_section(title, *paragraphs):
    return f".SH {title}\n" + ".PP\n".join(roff(p) + "\n" for p in paragraphs)


def man_items(items):
    return "".join(f".TP\n.B {roff(head)}\n{roff(body)}\n" for head, body in items)


def man_page(commands, options):
    out = ['.\\" Made by gen/listc from spec/options.list; edit that, not this.\n.TH PUNCHGATE 1 "" punchgate "User Commands"\n']
    out.append(man_section("NAME", "punchgate - carries TCP services between peers"))
    out.append(".SH SYNOPSIS\n.nf\n" + "".join(roff(usage_line(c)) + "\n" for c in commands) + ".fi\n")
    out.append(man_section("DESCRIPTION", "Every punchgate is a peer. It offers services of its machine to other peers, makes "
                           "services of other peers reachable on its machine, or both. Peers prove who they are by their keys "
                           "and speak libp2p: TCP, Noise, yamux."))
    out.append(".SH COMMANDS\n" + man_items([(c.shown + ("" if c.argument == "-" else " " + c.argument), c.help) for c in commands]))
    out.append(".SH OPTIONS\n" + roff(TIMES) + "\n" + man_items(
        [(flag_text(o), o.help + default_text(o) + " For: " + takers(o, commands) + ".") for o in options]))
    out.append(man_section("CONFIGURATION FILE", ORDER, FILE, DROP_INS))
    out.append(man_section("SIGNALS", signals(options)))
    out.append(man_section("ENVIRONMENT", VARIABLES, LOGS))
    out.append(".SH EXIT STATUS\n" + man_items([(str(n), t[0].upper() + t[1:] + ".") for n, t in EXITS]))
    out.append(".SH EXAMPLES\n" + man_items([
        ("punchgate --expose ssh=127.0.0.1:22", "Offers the SSH server of this machine."),
        ("punchgate --bootstrap ADDR --tunnel PEER:ssh@127.0.0.1:2222", "Makes it local elsewhere: ssh -p 2222 user@127.0.0.1"),
        ("ssh -o ProxyCommand='punchgate pipe ADDR:ssh' user@host", "The same without a running peer.")]))
    return "".join(out)


def conf_page(options):
    """punchgate.conf(5): what may stand in the file."""
    out = ['.\\" Made by gen/listc from spec/options.list; edit that, not this.\n.TH PUNCHGATE.CONF 5 "" punchgate "File Formats"\n']
    out.append(man_section("NAME", "punchgate.conf - configuration of punchgate"))
    out.append(".SH SYNOPSIS\n.nf\n" + "".join(roff(p) + "\n" for p in (
        "$XDG_CONFIG_HOME/punchgate/punchgate.conf", "~/.config/punchgate/punchgate.conf", "/etc/punchgate/punchgate.conf",
        "punchgate.conf.d/*.conf")) + ".fi\n")
    out.append(man_section("DESCRIPTION", "The first of these files that is there is read, or the one that --config names. " + FILE, DROP_INS, ORDER,
                           "punchgate check tells of every mistake; with --show-origin it prints every value and where it comes from."))
    out.append(".SH OPTIONS\n" + roff(TIMES) + "\n" + man_items(
        [(f"{o.name} = {o.placeholder if o.takes_value else '1|0'}", o.help + default_text(o) + (" Taken over on SIGHUP." if o.reload else ""))
         for o in options if "file" in o.sources and "run" in o.commands]))
    out.append(man_section("SIGNALS", signals(options)))
    out.append(".SH EXAMPLES\n.nf\n" + "".join(roff(line) + "\n" for line in (
        "bootstrap = /dnsaddr/example.org", "expose = ssh=127.0.0.1:22", "expose = web=127.0.0.1:8080,allow=PEER",
        "tunnel = PEER:db@127.0.0.1:5432")) + ".fi\n")
    out.append(man_section("SEE ALSO", "punchgate(1)"))
    return "".join(out)


def cell(text):
    return text.replace("|", "\\|")


def markdown(commands, options):
    out = ["<!-- Made by gen/listc from spec/options.list; edit that, not this. -->\n\n# Commands and options\n\n",
           "| command | what it does |\n| --- | --- |\n"]
    for c in commands:
        out.append(f"| `{cell(usage_line(c).removesuffix(' [OPTION]...'))}` | {cell(c.help)} |\n")
    out.append(f"\n{TIMES}\n\n{ORDER}\n\n{VARIABLES}\n\n{FILE} {DROP_INS}\n\n{signals(options)}\n\n{LOGS}\n\n")
    out.append("| option | for | default | what it does |\n| --- | --- | --- | --- |\n")
    for o in options:
        default = ", ".join(f"`{d}`" for d in o.default)
        out.append(f"| `{cell(flag_text(o))}` | {takers(o, commands)} | {default} | {cell(o.help)} |\n")
    out.append("\n| exit status | meaning |\n| --- | --- |\n" + "".join(f"| {n} | {t} |\n" for n, t in EXITS))
    return "".join(out)
