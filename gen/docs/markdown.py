"""Markdown in small pieces: cells that cannot break a table, code that stays code."""
import re


def banner(source):
    return f"<!-- Made by gen/docs from {source}; edit that, not this. -->\n\n"


def code(text):
    """A name as code, or nothing at all: an empty code span would be two stray backticks."""
    return f"`{text}`" if str(text) else ""


def codes(texts):
    return ", ".join(code(text) for text in texts)


def prose(text):
    """A comment as Markdown: what stands in backticks is left alone, the rest loses its special letters."""
    parts = re.split(r"(`[^`]*`)", text)
    return "".join(p if n % 2 else re.sub(r"([*\[\]\\])", r"\\\1", p).replace("<", "&lt;") for n, p in enumerate(parts))


def table(heads, rows):
    """A table, or nothing when it would have no rows. Columns that are empty in all rows are left out."""
    kept = [n for n in range(len(heads)) if any(row[n] for row in rows)]
    if not kept:
        return ""
    lines = ["| " + " | ".join(heads[n] for n in kept) + " |", "|" + " --- |" * len(kept)]
    for row in rows:
        # GFM takes a bar for the end of a cell even inside code
        cells = [str(row[n]).replace("|", "\\|") for n in kept]
        lines.append("|" + "".join(f" {cell} |" if cell else " |" for cell in cells))
    return "\n".join(lines) + "\n\n"


def section(title, body):
    """A heading with its text, or nothing when there is no text."""
    return f"## {title}\n\n{body}" if body else ""


def bullets(items):
    return "".join(f"- {item}\n" for item in items) + ("\n" if items else "")


def ended(text):
    """One empty line between blocks, none at the end."""
    return text.rstrip("\n") + "\n"


def first_sentence(text):
    return re.split(r"(?<=[.!?])\s", text, maxsplit=1)[0]
