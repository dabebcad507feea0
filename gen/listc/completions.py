"""What shells offer while a command line is typed: bash, zsh and fish. Made from options.list alone; tests/docs/completions_test.py
asks real shells."""
FILES = ("path", "control")  # kinds whose value is a file


def of(command, options):
    return [o for o in options if command.name in o.commands + o.flag_only]


def values(option):
    return option.choices if option.kind == "word" else []


def quoted(text):
    return "'" + text.replace("'", "'\\''") + "'"


def bash(commands, options):
    words = sorted({c.name.partition(".")[0] for c in commands})
    out = ["# Made by gen/listc from spec/options.list; edit that, not this.\n_punchgate()\n{\n",
           '    local word="${COMP_WORDS[COMP_CWORD]}" before="${COMP_WORDS[COMP_CWORD-1]}" command=run at\n',
           '    COMPREPLY=()\n    for ((at = 1; at < COMP_CWORD; at++)); do\n        case "${COMP_WORDS[at]}" in\n']
    for group in sorted({c.group for c in commands if c.group}):
        seconds = "|".join(c.name.partition(".")[2] for c in commands if c.group == group)
        out.append(f'        {group}) command={group}; case "${{COMP_WORDS[at+1]}}" in {seconds}) command="{group}.${{COMP_WORDS[at+1]}}" ;; esac; break ;;\n')
    single = "|".join(c.name for c in commands if not c.group)
    out.append(f'        {single}) command="${{COMP_WORDS[at]}}"; break ;;\n        esac\n    done\n    case "$before" in\n')
    for option in options:
        if values(option):
            out.append(f'    --{option.name}) COMPREPLY=($(compgen -W "{" ".join(values(option))}" -- "$word")); return ;;\n')
    out.append("    " + "|".join("--" + o.name for o in options if o.kind in FILES)
               + ') COMPREPLY=($(compgen -f -- "$word")); return ;;\n')
    out.append("    " + "|".join("--" + o.name for o in options if o.takes_value and o.kind not in FILES and not values(o))
               + ") return ;;\n    esac\n")
    out.append('    local flags=\n    case "$command" in\n')
    for command in commands:
        out.append(f'    {command.name}) flags="{" ".join("--" + o.name for o in of(command, options))}" ;;\n')
    for group in sorted({c.group for c in commands if c.group}):
        out.append(f'    {group}) flags="--help {" ".join(c.name.partition(".")[2] for c in commands if c.group == group)}" ;;\n')
    out.append(f'    esac\n    ((COMP_CWORD == 1)) && flags="$flags {" ".join(words)}"\n'
               '    COMPREPLY=($(compgen -W "$flags" -- "$word"))\n}\ncomplete -F _punchgate punchgate\n')
    return "".join(out)


def zsh_option(option):
    help_text = option.help.partition(".")[0].replace("[", "(").replace("]", ")").replace(":", " -")
    if not option.takes_value:
        return quoted(f"--{option.name}[{help_text}]")
    action = "(" + " ".join(values(option)) + ")" if values(option) else "_files" if option.kind in FILES else " "
    placeholder = option.placeholder.replace(":", " ").replace("[", "").replace("]", "")
    return quoted(f"{'*' if option.many else ''}--{option.name}[{help_text}]:{placeholder}:{action}")


def zsh(commands, options):
    out = ["#compdef punchgate\n# Made by gen/listc from spec/options.list; edit that, not this.\n_punchgate()\n{\n",
           "    local -a flags names\n    local command=run at\n",
           "    names=(" + " ".join(sorted({c.name.partition(".")[0] for c in commands})) + ")\n",
           "    for ((at = 2; at < CURRENT; at++)); do\n        case ${words[at]} in\n"]
    for group in sorted({c.group for c in commands if c.group}):
        seconds = "|".join(c.name.partition(".")[2] for c in commands if c.group == group)
        out.append(f"        {group}) command={group}; [[ ${{words[at+1]}} == ({seconds}) ]] && command={group}.${{words[at+1]}}; break ;;\n")
    out.append(f"        {'|'.join(c.name for c in commands if not c.group)}) command=${{words[at]}}; break ;;\n        esac\n    done\n")
    out.append("    case $command in\n")
    for command in commands:
        out.append(f"    {command.name}) flags=(\n" + "".join(f"        {zsh_option(o)}\n" for o in of(command, options)) + "    ) ;;\n")
    for group in sorted({c.group for c in commands if c.group}):
        seconds = " ".join(c.name.partition(".")[2] for c in commands if c.group == group)
        out.append(f"    {group}) names=({seconds}) ;;\n")
    out.append('    esac\n    _arguments -s $flags "*:command:($names)"\n}\n_punchgate "$@"\n')
    return "".join(out)


def fish(commands, options):
    out = ["# Made by gen/listc from spec/options.list; edit that, not this.\ncomplete -c punchgate -f\n"]
    names = " ".join(sorted({c.name.partition(".")[0] for c in commands}))
    for command in commands:
        if not command.group:
            out.append(f"complete -c punchgate -n 'not __fish_seen_subcommand_from {names}' -a {command.name} "
                       f"-d {quoted(command.help.partition('.')[0])}\n")
    for group in sorted({c.group for c in commands if c.group}):
        out.append(f"complete -c punchgate -n 'not __fish_seen_subcommand_from {names}' -a {group}\n")
        for command in commands:
            if command.group == group:
                out.append(f"complete -c punchgate -n '__fish_seen_subcommand_from {group}' -a {command.name.partition('.')[2]} "
                           f"-d {quoted(command.help.partition('.')[0])}\n")
    for option in options:
        users = {c.partition(".")[0] for c in option.commands + option.flag_only}
        seen = f"__fish_seen_subcommand_from {' '.join(sorted(users))}"
        if "run" in users:
            seen += f"; or not __fish_seen_subcommand_from {names}"
        line = f"complete -c punchgate -n '{seen}' -l {option.name}"
        if option.takes_value:
            line += " -r" + (" -F" if option.kind in FILES else " -x")
        if values(option):
            line += f" -a {quoted(' '.join(values(option)))}"
        out.append(f"{line} -d {quoted(option.help.partition('.')[0])}\n")
    return "".join(out)


def write(commands, options):
    return {"punchgate.bash": bash(commands, options), "_punchgate": zsh(commands, options), "punchgate.fish": fish(commands, options)}
