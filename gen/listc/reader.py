"""Reads spec/*.list: a row is a line of words and "texts"; `#` starts a comment; an indented line continues the row above."""
import dataclasses
import re

from gen.report import SpecError

NAME = re.compile(r"[a-z][a-z0-9_]*\Z")
TOKEN = re.compile(r'\s*(?:"((?:[^"\\]|\\.)*)"|(#.*)|([^\s"#]\S*))')
ESCAPES = {"n": "\n", '"': '"', "\\": "\\"}


@dataclasses.dataclass(frozen=True)
class Text:
    """A quoted text: never mistaken for a word."""
    value: str


@dataclasses.dataclass
class Row:
    path: str
    line: int
    cells: list  # of str (a word) and Text

    def fail(self, message):
        raise SpecError(self.path, self.line, message)

    def word(self, index, what):
        if index >= len(self.cells) or isinstance(self.cells[index], Text):
            self.fail(f"{what} is missing, or is a quoted text where a word belongs")
        return self.cells[index]

    def name(self, index, what):
        word = self.word(index, what)
        if not NAME.match(word):
            self.fail(f"{what} '{word}': small letters, digits and _ only, a letter first")
        return word

    def choice(self, index, what, allowed):
        word = self.word(index, what)
        if word not in allowed:
            self.fail(f"{what} '{word}': one of {', '.join(allowed)}")
        return word

    def text(self, index, what):
        if index >= len(self.cells) or not isinstance(self.cells[index], Text):
            self.fail(f'{what} is missing: a "quoted text" belongs here')
        return self.cells[index].value

    def ends_at(self, count):
        if len(self.cells) > count:
            extra = self.cells[count]
            self.fail(f"'{extra.value if isinstance(extra, Text) else extra}' is one word too many")


def unescape(row, text):
    def one(match):
        if match[1] not in ESCAPES:
            row.fail(f"escape '\\{match[1]}' is unknown: only \\n, \\\" and \\\\")
        return ESCAPES[match[1]]
    return re.sub(r"\\(.)", one, text)


def cells_of(row, line):
    at, found = 0, []
    while line[at:].strip():
        match = TOKEN.match(line, at)
        if not match or (match[1] is not None and line[match.end():match.end() + 1].strip()):
            row.fail("a quoted text is not closed, or touches the next word")
        if match[1] is not None:
            found.append(Text(unescape(row, match[1])))
        elif match[3] is not None:
            found.append(match[3])
        at = match.end()
    return found


def rows(spec_dir, name):
    """Every row of spec/<name>; an absent file has none (lists may be tried on their own in tests)."""
    path = spec_dir / name
    if not path.exists():
        return []
    shown, found = f"{spec_dir.name}/{name}", []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        here = Row(shown, number, [])
        cells = cells_of(here, line)
        if not cells:
            continue
        if line[0].isspace():
            if not found:
                here.fail("an indented line continues the row above, and there is none")
            found[-1].cells.extend(cells)
        else:
            here.cells = cells
            found.append(here)
    return found


def unique(table, row, key, what):
    """Remembers key in table; a second use is refused with the line of the first."""
    if key in table:
        row.fail(f"{what} '{key}' stands already in line {table[key]}")
    table[key] = row.line
