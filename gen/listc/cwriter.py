"""Small helpers for writing C and golden text; no knowledge of any list."""

BANNER = "/* Made by gen/listc from spec/{source}; edit that, not this. */\n"


def banner(source):
    return BANNER.format(source=source)


def literal(text):
    """A C string literal: non-ASCII as octal bytes, so that no hex digit that follows can join an escape."""
    out = []
    for byte in text.encode():
        char = chr(byte)
        if char in '"\\':
            out.append("\\" + char)
        elif char == "\n":
            out.append("\\n")
        elif 0x20 <= byte < 0x7F:
            out.append(char)
        else:
            out.append(f"\\{byte:03o}")
    return '"' + "".join(out) + '"'


def long_literal(text, indent="    "):
    """A literal of many lines, one C string a line."""
    lines = text.splitlines(keepends=True) or [""]
    return ("\n" + indent).join(literal(line) for line in lines)


def pieces(text, most=4000):
    """A text cut at line ends: C promises no longer literals than 4095 bytes."""
    out = [""]
    for line in text.splitlines(keepends=True):
        if len((out[-1] + line).encode()) > most:
            out.append("")
        out[-1] += line
    return out


def enum(name, members):
    body = "".join(f"    {member},\n" for member in members)
    return f"enum {name} {{\n{body}}};\n"


def shown(text):
    """A text as a list has it, so that a dump stays one row a line."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def golden(rows):
    """Sorted, one row a line: what a reviewer reads."""
    return "".join(sorted(row + "\n" for row in rows))
