#!/usr/bin/env python3
"""Every log line, read back the way the original's log scripts read theirs: by one expression for the line, one for a field.

Run by ctest with PG_BUILD and PG_ROOT; the lines come from `log_test --print`..
"""
import json
import os
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(os.environ.get("PG_ROOT", pathlib.Path(__file__).resolve().parents[2]))
BUILD = pathlib.Path(os.environ.get("PG_BUILD", ROOT / "build"))
sys.path.insert(0, str(ROOT))
from gen.listc import logs  # noqa: E402  (needs the path above)

LINE = re.compile(r"(\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d+Z?)\s+(TRACE|DEBUG|INFO|WARN|ERROR)\s+([\w:]+):\s+(.+)")
FIELD = re.compile(r'(\w+)=(?:"([^"]*)"|(\S+))')
PRINTED = {"text": "12D3KooWx", "debug": "12D3KooWx", "quoted": "two words", "maybe_peer": 'Some(PeerId("12D3KooWx"))',
           "u64": "1234567", "duration": "1.234567s"}
IN_JSON = {**{k: "12D3KooWx" for k in PRINTED}, "quoted": "two words", "u64": 1234567, "duration": 1234567}
SCORE = [0, 0]


def check(good, what):
    SCORE[0 if good else 1] += 1
    if not good:
        print(f"FAILED: {what}")


def parse(line):
    match = LINE.match(line)
    if not match:
        return None
    _, level, target, rest = match.groups()
    first = FIELD.search(rest)
    fields = {m[1]: m[2] if m[2] is not None else m[3] for m in FIELD.finditer(rest)} if first else {}
    return level, target, (rest[:first.start()] if first else rest).strip(), fields


def samples(how):
    found = [p for p in BUILD.rglob("*log_test") if p.is_file() and os.access(p, os.X_OK)]
    if not found:
        sys.exit(f"log_test is not in {BUILD}; build it first")
    return subprocess.run([found[0], "--print", how], check=True, capture_output=True).stdout.decode().splitlines()


def expected_message(message, fields):
    for name, kind in fields:
        message = message.replace("{" + name + "}", PRINTED[kind])
    return message


def outside(message, fields):
    return [(name, kind) for name, kind in fields if "{" + name + "}" not in message]


def test_text(listed):
    lines = samples("text")
    check(len(lines) == len(listed), f"{len(listed)} lines expected, {len(lines)} printed")
    for line, (name, level, target, message, fields) in zip(lines, listed):
        want = (level.upper(), target, expected_message(message, fields), {f: PRINTED[k] for f, k in outside(message, fields)})
        check(parse(line) == want, f"{name}: {line!r} reads as {parse(line)}, not {want}")


def test_hostile(listed):
    """Whatever a stranger writes, a reader sees one line and the fields of the list, and no other."""
    lines = samples("hostile")
    check(len(lines) == len(listed), f"hostile text made {len(lines)} lines of {len(listed)}")
    for line, (name, level, target, message, fields) in zip(lines, listed):
        entry = parse(line)
        names = {f for f, _ in outside(message, fields)}
        check(entry is not None and entry[:2] == (level.upper(), target), f"{name}: {line!r}")
        check(entry is not None and set(entry[3]) == names or message != expected_message(message, fields),
              f"{name}: fields {sorted(entry[3])}, not {sorted(names)}")


def test_json(listed):
    lines = samples("json")
    check(len(lines) == len(listed), f"{len(listed)} JSON lines expected, {len(lines)} printed")
    for line, (name, level, target, message, fields) in zip(lines, listed):
        entry = json.loads(line)
        want = {f + ("_us" if k == "duration" else ""): IN_JSON[k] for f, k in fields}
        check(list(entry) == ["ts", "level", "target", "message", "fields"], f"{name}: keys {list(entry)}")
        check((entry["level"], entry["target"], entry["message"]) == (level.upper(), target, expected_message(message, fields)),
              f"{name}: {line}")
        check(entry["fields"] == want, f"{name}: fields {entry['fields']}, not {want}")


def main():
    listed = logs.read(ROOT / "spec")
    test_text(listed)
    test_hostile(listed)
    test_json(listed)
    print(f"{SCORE[0]} passed, {SCORE[1]} failed")
    return 1 if SCORE[1] else 0


if __name__ == "__main__":
    sys.exit(main())
