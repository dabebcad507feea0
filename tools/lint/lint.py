#!/usr/bin/env python3
"""The rules of the house that a program can check: floors, sizes, comments, sources. Prints what breaks them; status 1 then.

    lint.py            checks the whole tree
    lint.py --rules    says what is checked, and lists the exceptions with their reasons

An exception stands in EXCEPTIONS with its reason. One that is no longer needed is an error as well.
"""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
OURS = ("src", "runtime", "spec", "gen", "tests", "tools", "docs", "deploy")
SKIPPED = {"node_modules", "target", "__pycache__", "bin", "golden"}
FUNCTION_LINES, FILE_LINES, MOST_SHOWN = 70, 800, 50

# rule, what it forbids (a pattern for lines of C), where, and where it is allowed all the same
FLOORS = (
    ("uv", r'#include\s*[<"](uv\.h|uv/)', ("",), ("runtime/loop/", "tools/bench/")),
    ("ares", r'#include\s*<ares\w*\.h>', ("",), ("runtime/loop/",)),
    ("sodium", r'#include\s*<sodium', ("",), ("src/crypto/", "runtime/mem/", "tools/bench/")),
    ("cjson", r'#include\s*[<"](cjson/)?cJSON\.h', ("",), ("runtime/wire/json.c",)),
    ("openssl", r'#include\s*<openssl/', ("",), ("src/crypto/", "tools/bench/")),
    ("secp256k1", r'#include\s*<secp256k1', ("",), ("src/crypto/secp256k1.c",)),
    ("ini", r'#include\s*<ini\.h>', ("",), ("src/cli/config.c",)),
    ("loop", r'#include\s*"loop/', ("",), ("runtime/loop/", "src/cli/")),
    ("record", r'#include\s*"record/', ("",), ("runtime/record/", "src/cli/", "tools/replay/")),
    ("sim", r'#include\s*"sim/', ("",), ("runtime/sim/",)),
    ("core above loop", r'#include\s*"(core|service|transport|cli)/', ("runtime/",), ()),
    ("service above core", r'#include\s*"(service|cli)/', ("src/core/", "src/transport/", "src/crypto/"), ()),
    ("core above transport", r'#include\s*"core/', ("src/transport/", "src/crypto/"), ()),
    ("transport above crypto", r'#include\s*"transport/', ("src/crypto/",), ()),
    ("cli on top", r'#include\s*"cli/', ("src/service/",), ()),
    ("clock", r'\b(time|clock|clock_gettime|gettimeofday|nanosleep|usleep|sleep)\s*\(|#include\s*<(time|sys/time)\.h>',
     ("src/core/", "src/transport/", "runtime/machine/"), ()),
    ("random", r'\b(rand|srand|random|srandom|getrandom|arc4random\w*)\s*\(', ("src/core/", "src/transport/", "runtime/machine/"), ()),
    ("printing", r'\b(printf|fprintf|vprintf|puts|fputs|putchar|perror|fopen|fwrite)\s*\(',
     ("src/core/", "src/transport/", "src/service/", "runtime/machine/"), ()),
    ("stdio", r'#include\s*<stdio\.h>', ("src/core/", "src/transport/", "runtime/machine/"), ()),
    ("malloc", r'\b(malloc|calloc|realloc|strdup|strndup|asprintf)\s*\(', ("src/core/", "src/transport/", "runtime/machine/"), ()),
    ("sockets", r'#include\s*<(sys/socket|sys/un|netinet/\w+|arpa/inet|netdb|poll|sys/epoll|unistd|fcntl)\.h>',
     ("src/core/", "src/transport/", "runtime/machine/"), ()),
)

# (rule, file): the reason
EXCEPTIONS = {}

UNFINISHED = re.compile(r"\b(TO" r"DO|FIX" r"ME|X" r"XX)\b")
# Folders of one machine, and registries: a checkout works anywhere and fetches nothing by name.
ELSEWHERE = re.compile(r"(?<![\w.])/(work|home/\w+|root|Users)/|\b(crates\.io|npmjs\.(org|com)|pypi\.org|proxy\.gola"
                       r"ng\.org|deb\.deb" r"ian\.org)")


def text_files():
    for top in sorted(ROOT.iterdir()):
        if top.name in OURS and top.is_dir():
            yield from (p for p in sorted(top.rglob("*")) if p.is_file() and p.suffix != ".lock"
                        and not SKIPPED & set(p.relative_to(ROOT).parts))
        elif top.is_file() and not top.name.startswith(".git") and top.suffix not in (".sock", ".key"):
            yield top


def name_of(path):
    return path.relative_to(ROOT).as_posix()


def without_comments(text):
    """Comments and strings become blanks, so that words in them break no rule; includes keep theirs."""
    def blank(match):
        return re.sub(r"[^\n]", " ", match[0])
    text = re.sub(r"/\*.*?\*/", blank, text, flags=re.S)
    text = re.sub(r"//[^\n]*", blank, text)
    return re.sub(r'^(?!\s*#include)(.*)$', lambda line: re.sub(r'"(?:[^"\\\n]|\\.)*"', blank, line[0]), text, flags=re.M)


def floors(name, text, used):
    for rule, pattern, where, allowed in FLOORS:
        if not name.startswith(where) or (allowed and name.startswith(allowed)) or name.startswith("tests/"):
            continue
        for number, line in enumerate(text.splitlines(), 1):
            if not re.search(pattern, line):
                continue
            if (rule, name) in EXCEPTIONS:
                used.add((rule, name))
            else:
                yield number, f"breaks the rule `{rule}`: {line.strip()}"


def long_functions(text):
    """Functions of our layout: a definition at the margin, its braces alone at the margin."""
    lines = text.splitlines()
    begin = None
    for number, line in enumerate(lines, 1):
        if line == "{" and number > 1:
            begin = number
        elif line.startswith("}") and begin is not None:
            if number - begin - 1 > FUNCTION_LINES:
                yield begin, f"the function is {number - begin - 1} lines long, more than {FUNCTION_LINES}"
            begin = None


def check_c(path, name, text, used):
    if not text.startswith("/*"):
        yield 1, "does not open with a comment that says what it is, who calls it and what it serves"
    code = without_comments(text)
    yield from floors(name, code, used)
    yield from long_functions(code)


def check_machine(path, name, text, used):
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith("machine "):
            if not re.search(r"^from\s+\S", text, flags=re.M):
                yield number, "cites no source: a line `from …` is missing"


def check_text(path, name, text):
    lines = text.splitlines()
    if name.startswith("gen/test/"):
        return  # inputs of the generator, wrong on purpose
    if path.suffix != ".json" and len(lines) > FILE_LINES and not name.startswith("tests/interop/"):
        yield len(lines), f"{len(lines)} lines, more than {FILE_LINES}"
    if text and not text.endswith("\n"):
        yield len(lines), "the last line has no end"
    for number, line in enumerate(lines, 1):
        if line.rstrip() != line:
            yield number, "trailing white space"
        if UNFINISHED.search(line) and path != pathlib.Path(__file__).resolve():
            yield number, f"something unfinished: {line.strip()}"
        if ELSEWHERE.search(line) and path != pathlib.Path(__file__).resolve():
            yield number, f"a place of one machine or a registry: {line.strip()[:100]}"
        if "\r" in line:
            yield number, "a carriage return"
    if "\t" in text and path.suffix in (".c", ".h", ".py", ".sm", ".sys", ".wire", ".proto", ".list"):
        yield 1 + text[:text.index("\t")].count("\n"), "a tab"


def problems():
    used = set()
    for path in text_files():
        name = name_of(path)
        data = path.read_bytes()
        if b"\0" in data:
            continue
        text = data.decode("utf-8", "replace")
        found = list(check_text(path, name, text))
        if path.suffix in (".c", ".h"):
            found += check_c(path, name, text, used)
        if path.suffix == ".sm" and name.startswith("spec/"):
            found += check_machine(path, name, text, used)
        yield from (f"{name}:{number}: {why}" for number, why in found)
    for rule, name in sorted(set(EXCEPTIONS) - used):
        yield f"tools/lint/lint.py: the exception of {name} from `{rule}` is not needed any more"


def main():
    if sys.argv[1:] == ["--rules"]:
        for rule, pattern, where, allowed in FLOORS:
            print(f"{rule}: {pattern}\n    in {' '.join(where).strip() or 'all C'}"
                  + (f", except {' '.join(allowed)}" if allowed else ""))
        for (rule, name), why in EXCEPTIONS.items():
            print(f"exception: {name} from {rule}: {why}")
        return 0
    found = list(problems())
    for line in found[:MOST_SHOWN]:
        print(line)
    print(f"{'nothing' if not found else len(found)} to mend")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
