"""Comments of a spec file by the line that they explain. The readers drop them; people want them beside the row."""
import dataclasses

from gen.smc.reader import strip_comment


@dataclasses.dataclass
class Notes:
    opening: str = ""                                       # what stands above the first line that says something
    sources: list = dataclasses.field(default_factory=list)  # texts of `from` lines
    at: dict = dataclasses.field(default_factory=dict)       # line number -> comment

    def of(self, thing):
        return self.at.get(thing.line, "")


def split(line, mark):
    """What a line says, and its comment without the mark. The mark may not stand in quotes."""
    if mark == "#":
        body = strip_comment(line)
        return body, line[len(body):].lstrip("#").strip()
    body, _, comment = line.partition(mark)
    return body, comment.strip()


def read(path, mark="#"):
    """A comment stands behind its line, goes on below it when it is indented, or stands in the margin above the line."""
    notes, above, last = Notes(), [], 0
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        body, comment = split(line, mark)
        if not body.strip():
            if comment and line[0].isspace() and last in notes.at:
                notes.at[last] += " " + comment
            elif comment:
                above.append(comment)
            elif last:
                above = []  # an empty line parts a comment from what follows
            continue
        if not last:
            notes.opening, above = " ".join(above), []
        last = number
        if body.startswith("from "):
            notes.sources.append(body[5:].strip())
        text = " ".join([*above, comment]).strip()
        above = []
        if text:
            notes.at[number] = text
    return notes
