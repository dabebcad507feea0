"""Rows of the line-based wire languages: words of a line, comments gone, each refusal with its place."""
import re

from gen.report import SpecError

MOST = (1 << 32) - 1


class Row:
    def __init__(self, place, line, indented, words):
        self.place, self.line, self.indented, self.words = place, line, indented, words
        self.at = 0

    def fail(self, message):
        raise SpecError(self.place, self.line, message)

    def peek(self):
        return self.words[self.at] if self.at < len(self.words) else None

    def take(self, what):
        if self.at >= len(self.words):
            self.fail(f"the line ends where {what} should stand")
        self.at += 1
        return self.words[self.at - 1]

    def expect(self, *words):
        for word in words:
            found = self.take(f"'{word}'")
            if found != word:
                self.fail(f"'{found}' where '{word}' should stand")

    def accept(self, word):
        if self.peek() == word:
            self.at += 1
            return True
        return False

    def number(self, what, low=0, high=MOST):
        word = self.take(what)
        if not re.fullmatch(r"[0-9]+", word):
            self.fail(f"'{word}' is not a number; {what} should stand here")
        if not low <= int(word) <= high:
            self.fail(f"{what} is {word}, but may only be {low} to {high}")
        return int(word)

    def choice(self, what, options):
        word = self.take(what)
        if word not in options:
            self.fail(f"'{word}' is no {what}; there are: {', '.join(options)}")
        return word

    def name(self, what):
        word = self.take(what)
        if not re.fullmatch(r"[a-z][a-z0-9_]*", word):
            self.fail(f"'{word}' is no name for {what}: small letters, digits and _")
        return word

    def end(self):
        if self.at < len(self.words):
            self.fail(f"'{self.words[self.at]}' is too much: the line should have ended before it")


def rows(place, text):
    """Rows that say something; `from` rows (where the rules come from) are for readers and left out."""
    for number, line in enumerate(text.splitlines(), 1):
        body = re.sub(r"(^|\s)#.*", "", line)
        words = re.findall(r"!=|[=,&<>]|![A-Za-z]\S*|[^\s,=&<>!]+|\S", body)
        if words and words[0] != "from":
            yield Row(place, number, line[0].isspace(), words)
