"""Errors, log lines and metrics as tables, in the order of their lists."""
from gen.docs.markdown import banner, code, ended, prose, section, table
from gen.listc import errors, logs, metrics

CLASSES = {"peer": "the remote broke a rule: its stream or connection is reset and counted",
           "world": "the network or another machine is not as needed: tried again, with back-off",
           "local": "something on this machine: the user is told", "bug": "our own rule is broken: the process stops"}


def errors_page(spec_dir):
    found = errors.read(spec_dir)
    out = banner(f"{spec_dir.name}/{errors.LIST}") + "# Errors\n\nThe name is the code in JSON error objects. The class says who "
    out += "has to act; the exit status is that of a command that ends with the error.\n\n"
    for kind in errors.CLASSES:
        rows = [(code(name), status, prose(text)) for name, k, status, text in found if k == kind]
        out += section(kind, f"{CLASSES[kind][0].upper()}{CLASSES[kind][1:]}.\n\n" +
                       table(("error", "exit status", "text"), rows) if rows else "")
    return ended(out)


def logs_page(spec_dir):
    out = banner(f"{spec_dir.name}/{logs.LIST}") + "# Log lines\n\nA field in braces stands inside the message, the others follow "
    out += "it as name=value.\n\n"
    rows = []
    for name, level, target, message, fields in logs.read(spec_dir):
        told = ", ".join(f"{code(field)} {kind.replace('_', ' ')}" for field, kind in fields)
        rows.append((level, code(target), prose(message), told, code(name)))
    return ended(out + table(("level", "target", "message", "fields", "id"), rows))


def metrics_page(spec_dir):
    out = banner(f"{spec_dir.name}/{metrics.LIST}") + "# Metrics\n\nThe series are what Prometheus reads; `punchgate status` "
    out += "prints the same numbers by id.\n\n"
    rows = []
    for name, kind, family, labels, text in metrics.read(spec_dir):
        rows.append((code(family + (f"{{{labels}}}" if labels else "")), kind, prose(text), code(name)))
    return ended(out + table(("series", "kind", "what it counts", "id"), rows))


def pages(spec_dir):
    return {"errors.md": errors_page(spec_dir), "logs.md": logs_page(spec_dir), "metrics.md": metrics_page(spec_dir)}
