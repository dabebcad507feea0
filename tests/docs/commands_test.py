"""README and docs say what is so: every sh block is run, every table that has a source is compared with it.

    commands_test.py           the test
    commands_test.py --write   writes the tables in README.md and docs/ anew from spec/

A block `sh` must end with status 0. `sh keeps-running` is started and ended with its page. `sh no-test: REASON` is left out.
The blocks of a page run in a folder of their own, in order, with free ports instead of those that stand there.
"""
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(os.environ.get("PG_ROOT", pathlib.Path(__file__).resolve().parents[2]))
BUILD = pathlib.Path(os.environ.get("PG_BUILD", ROOT / "build")).resolve()
sys.path[:0] = [str(ROOT), str(ROOT / "tests/e2e")]
from gen.listc import logs  # noqa: E402
from peers import free_port  # noqa: E402

PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "deploy/README.md", *(ROOT / "docs").rglob("*.md")])
BLOCK = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.M | re.S)
PORT = re.compile(r"(?<![\d.])(4001|7777|8080|9000|9090|9191)(?!\d)")
READY_SECONDS, RUN_SECONDS = 20, 60
# Events that need a part which does not exist yet.
NOT_YET = ("relay_", "hole_punch_", "kademlia_bootstrap_ok", "nat_status_changed", "discovery_complete")
SCORE = [0, 0]


def check(truth, what):
    SCORE[0 if truth else 1] += 1
    print(("ok    " if truth else "FAIL  ") + what.splitlines()[0], flush=True)
    if not truth and "\n" in what:
        print(what.split("\n", 1)[1], flush=True)
    return truth


# ---- tables that have a source ----------------------------------------------------------------------------------


def options_table():
    return (BUILD / "gen/options.md").read_text().split("# Commands and options\n\n", 1)[1]


def logs_table():
    rows = ["| level | target | message | fields |\n| --- | --- | --- | --- |\n"]
    for name, level, target, message, fields in logs.read(ROOT / "spec"):
        if level in ("error", "warn", "info") and not name.startswith(NOT_YET):
            outside = ", ".join(f for f, _ in fields if "{" + f + "}" not in message)
            rows.append(f"| {level.upper()} | `{target}` | {message} | {outside} |\n")
    return "".join(rows) + "\nSeen with `debug`: " + ", ".join(
        m for n, level, _, m, _ in logs.read(ROOT / "spec") if level == "debug" and "{" not in m and not n.startswith(NOT_YET)) + ".\n"


def limits_table():
    return (BUILD / "gen/limits.md").read_text()


TABLES = {"options": options_table, "logs": logs_table, "limits": limits_table}


def with_tables(text):
    for name, make in TABLES.items():
        begin, end = f"<!-- begin {name} -->\n", f"<!-- end {name} -->"
        if begin in text:
            head, rest = text.split(begin, 1)
            text = head + begin + make() + end + rest.split(end, 1)[1]
    return text


# ---- blocks -----------------------------------------------------------------------------------------------------


class Page:
    def __init__(self, path, folder):
        self.path, self.folder = path, pathlib.Path(folder)
        self.ports, self.running = {}, []
        for name, target in (("build", BUILD), ("tools", ROOT / "tools")):
            (self.folder / name).symlink_to(target)
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("PUNCHGATE", "RUST_LOG", "XDG_"))}
        self.environment = kept | {"HOME": str(self.folder), "PYTHONUNBUFFERED": "1", "PUNCHGATE_NO_MDNS": "1"}

    def script(self, text):
        return "set -e\n" + PORT.sub(lambda m: str(self.ports.setdefault(m[1], free_port())), text)

    def run(self, text):
        done = subprocess.run(["sh", "-c", self.script(text)], cwd=self.folder, env=self.environment, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=RUN_SECONDS)
        return done.returncode == 0, done.stdout.decode(errors="replace")

    def start(self, text):
        log = self.folder / f"running-{len(self.running)}.log"
        with open(log, "wb") as out:
            process = subprocess.Popen(["sh", "-c", self.script(text)], cwd=self.folder, env=self.environment, stdout=out,
                                       stdin=subprocess.DEVNULL, stderr=subprocess.STDOUT, start_new_session=True)
        self.running.append(process)
        wanted = "tunnel listening" if "--tunnel" in text else "istening on" if "http.server" not in text else "Serving"
        end = time.monotonic() + READY_SECONDS
        while time.monotonic() < end and process.poll() is None:
            if wanted in log.read_text(errors="replace"):
                return True, ""
            time.sleep(0.05)
        return False, log.read_text(errors="replace")

    def end(self):
        for process in reversed(self.running):
            try:
                os.killpg(process.pid, signal.SIGTERM)
            except ProcessLookupError:
                pass
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def run_blocks(path):
    name = path.relative_to(ROOT)
    with tempfile.TemporaryDirectory(prefix="pg-docs-") as folder:
        page = Page(path, folder)
        try:
            for info, text in BLOCK.findall(path.read_text()):
                words = info.split(None, 1)
                if not words or words[0] not in ("sh", "bash", "shell", "console"):
                    continue
                what = f"{name}: {text.splitlines()[0]}"
                if info == "sh":
                    good, said = page.run(text)
                elif info == "sh keeps-running":
                    good, said = page.start(text)
                else:
                    good, said = re.fullmatch(r"sh no-test: \S.*", info) is not None, f"no such kind of block: {info}"
                check(good, f"{what}\n{said}")
        finally:
            page.end()


# ---- words ------------------------------------------------------------------------------------------------------


def make_targets(path, text):
    targets = set(re.findall(r"`make ([a-z]+)`", text)) | set(re.findall(r"^make ([a-z]+)$", text, re.M))
    known = set(re.findall(r"^([a-z0-9]+):", (ROOT / "Makefile").read_text(), re.M))
    unknown = targets - known
    check(not unknown, f"{path.relative_to(ROOT)} names only targets of the Makefile {sorted(unknown) or ''}")


def links(path, text):
    broken = [to for to in re.findall(r"\]\(([^)#]+)", text) if "://" not in to and not (path.parent / to).exists()]
    check(not broken, f"{path.relative_to(ROOT)} links to what is there {broken or ''}")


def files(path, text):
    # Paths in backticks that begin with one of our folders.
    named = re.findall(r"`((?:spec|gen|runtime|src|tests|tools|docs)/[\w./-]*\w)`", text)
    missing = [p for p in named if not (ROOT / p).exists() and p not in ("tests/wire/*.md",)]
    check(not missing, f"{path.relative_to(ROOT)} names files that exist {missing or ''}")


def folders(text):
    drawing = text.split("## The folders", 1)[1].split("```")[1]
    drawn = {line.split("/", 1)[0] for line in drawing.splitlines() if "/" in line[:12]}
    missing = [d for d in sorted(drawn) if not (ROOT / d).is_dir()]
    there = {p.name for p in ROOT.iterdir() if p.is_dir() and not p.name.startswith((".", "build")) and any(p.rglob("*.*"))}
    check(not missing, f"README.md draws folders that exist {missing or ''}")
    check(there - {"logs", "__pycache__"} <= drawn, f"README.md draws every folder {sorted(there - drawn) or ''}")


def main():
    readme = ROOT / "README.md"
    if sys.argv[1:] == ["--write"]:
        for path in PAGES:
            path.write_text(with_tables(path.read_text()))
        return 0
    for path in PAGES:
        check(path.read_text() == with_tables(path.read_text()),
              f"{path.relative_to(ROOT)} has the tables of spec/ (else: python3 tests/docs/commands_test.py --write)")
    folders(readme.read_text())
    for path in PAGES:
        text = path.read_text()
        links(path, text)
        files(path, text)
        make_targets(path, text)
        run_blocks(path)
    print(f"{SCORE[0]} passed, {SCORE[1]} failed")
    return 1 if SCORE[1] else 0


if __name__ == "__main__":
    sys.exit(main())
