"""The rules of the house hold for the tree, and the lint sees when they do not."""
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(os.environ.get("PG_ROOT", pathlib.Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(ROOT / "tools/lint"))
import lint  # noqa: E402

SCORE = [0, 0]
GOOD = "/* A file. */\n"


def check(truth, what):
    SCORE[0 if truth else 1] += 1
    if not truth:
        print("not so:", what)


def complaints(name, text):
    path = ROOT / name
    found = list(lint.check_text(path, name, text))
    if path.suffix in (".c", ".h"):
        found += lint.check_c(path, name, text, set())
    if path.suffix == ".sm":
        found += lint.check_machine(path, name, text, set())
    return found


def sees(name, text, what):
    found = complaints(name, text)
    check(any(what in why for _, why in found), f"{name} with {text[:60]!r} should be told: {what}; it was told {found}")


def silent(name, text):
    found = complaints(name, text)
    check(not found, f"{name} with {text[:60]!r} should pass; it was told {found}")


def main():
    done = subprocess.run([sys.executable, ROOT / "tools/lint/lint.py"], capture_output=True, text=True)
    check(done.returncode == 0, f"the tree passes\n{done.stdout}")

    sees("src/core/x.c", GOOD + "#include <uv.h>\n", "`uv`")
    sees("src/cli/x.c", GOOD + "#include <sodium.h>\n", "`sodium`")
    sees("src/cli/x.c", GOOD + "#include <cjson/cJSON.h>\n", "`cjson`")
    sees("src/core/x.c", GOOD + "    time(NULL);\n", "`clock`")
    sees("src/transport/x.c", GOOD + "    printf(\"x\");\n", "`printing`")
    sees("runtime/machine/x.c", GOOD + "    p = malloc(3);\n", "`malloc`")
    sees("src/core/x.c", GOOD + "#include <sys/socket.h>\n", "`sockets`")
    sees("src/core/x.c", GOOD + "    return rand();\n", "`random`")
    sees("src/core/x.c", GOOD + "#include \"service/tunnel.h\"\n", "`service above core`")
    sees("src/service/x.c", GOOD + "#include \"loop/loop.h\"\n", "`loop`")
    sees("runtime/wire/x.c", GOOD + "#include \"core/node.h\"\n", "`core above loop`")
    silent("runtime/loop/x.c", GOOD + "#include <uv.h>\n")
    silent("src/crypto/x.c", GOOD + "#include <sodium.h>\n")
    silent("src/core/x.c", GOOD + "/* no malloc(3) here, nor \"time(NULL)\" */\n")
    silent("src/core/x.c", GOOD + "    put(\"printf(\");\n")

    sees("src/core/x.c", "int x;\n", "open with a comment")
    long = GOOD + "static void f(void)\n{\n" + "    g();\n" * 71 + "}\n"
    sees("src/core/x.c", long, "71 lines")
    silent("src/core/x.c", long.replace("    g();\n", "", 1))
    sees("src/core/x.c", GOOD + "int x;\n" * 800, "more than 800")
    sees("docs/x.md", "words \n", "trailing")
    sees("docs/x.md", "words", "last line")
    sees("docs/x.md", "TO" "DO: more words\n", "unfinished")
    sees("docs/x.md", "see /ho" "me/me/x\n", "one machine")
    sees("docs/x.md", "see pypi" ".org\n", "registry")
    sees("spec/machine/x.sm", "machine x  per y  at most 1\n", "cites no source")
    silent("spec/machine/x.sm", "machine x  per y  at most 1\nfrom    a page\n")

    print(f"{SCORE[0]} passed, {SCORE[1]} failed")
    return 1 if SCORE[1] else 0


if __name__ == "__main__":
    sys.exit(main())
