"""What is offered while a command line is typed, asked of the real shells; and whether the manual has anything that groff warns of."""
import os
import pathlib
import shutil
import subprocess
import sys

ROOT = pathlib.Path(os.environ.get("PG_ROOT", pathlib.Path(__file__).resolve().parents[2]))
GEN = pathlib.Path(os.environ.get("PG_BUILD", ROOT / "build")).resolve() / "gen"
SCORE = [0, 0]

# (line as typed so far, what must be offered, what must not)
LINES = (
    ("punchgate ", {"ping", "status", "check", "key", "--expose"}, {"--count", "new"}),
    ("punchgate p", {"ping", "perf", "pipe"}, {"status"}),
    ("punchgate ping --c", {"--count", "--config"}, {"--control"}),
    ("punchgate key ", {"new", "show"}, {"ping"}),
    ("punchgate key new --t", {"--type"}, {"--timeout"}),
    ("punchgate --nat-status ", {"private", "public"}, {"ping"}),
    ("punchgate perf --", {"--up", "--down"}, {"--expose"}),
)


def check(truth, what):
    SCORE[0 if truth else 1] += 1
    print(("ok    " if truth else "FAIL  ") + what, flush=True)


def run(*argv):
    return subprocess.run(argv, capture_output=True, text=True, timeout=60, env=os.environ | {"HOME": "/nonexistent"})


def bash(line):
    words = line.split(" ")
    array = " ".join(f"'{w}'" for w in words)
    done = run("bash", "--norc", "-c", f"source {GEN}/punchgate.bash; COMP_WORDS=({array}); COMP_CWORD={len(words) - 1}; "
               'complete -p punchgate >/dev/null || exit 1; _punchgate; printf "%s\\n" "${COMPREPLY[@]}"')
    return done.returncode, set(done.stdout.split()), done.stderr


def fish(line):
    done = run("fish", "--no-config", "-c", f"source {GEN}/punchgate.fish; complete -C '{line}'")
    return done.returncode, {offered.split("\t")[0] for offered in done.stdout.splitlines()}, done.stderr


def offered(shell, ask):
    for line, wanted, unwanted in LINES:
        if shell == "fish" and line == "punchgate ":
            wanted = {w for w in wanted if not w.startswith("-")}  # fish shows options once a - is typed
        status, got, error = ask(line)
        check(status == 0 and wanted <= got and not unwanted & got, f"{shell} completes '{line}' {error}{sorted(got) if not wanted <= got else ''}")


def main():
    offered("bash", bash)
    if shutil.which("fish"):
        offered("fish", fish)
    if shutil.which("zsh"):
        done = run("zsh", "-n", str(GEN / "_punchgate"))
        check(done.returncode == 0, f"zsh reads its completions {done.stderr}")
        done = run("zsh", "-f", "-c", f"autoload -Uz compinit; compinit -D; fpath=({GEN} $fpath); autoload -Uz _punchgate; whence -f _punchgate")
        check(done.returncode == 0 and "_punchgate" in done.stdout, f"zsh loads them {done.stderr}")
    if shutil.which("groff"):
        for page in ("punchgate.1", "punchgate.conf.5"):
            done = run("groff", "-man", "-Tutf8", "-ww", "-z", str(GEN / page))
            check(done.returncode == 0 and done.stderr == "", f"groff has nothing to say against {page} {done.stderr}")
    print(f"{SCORE[0]} passed, {SCORE[1]} failed")
    return 1 if SCORE[1] else 0


if __name__ == "__main__":
    sys.exit(main())
