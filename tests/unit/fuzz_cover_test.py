#!/usr/bin/env python3
"""Every function that reads what somebody else has written has a fuzz target.

Such functions are known by their names: pg_…_read, _parse, _feed, _received and _load, as headers declare them. A target of
tests/fuzz calls each, or names the target that reaches it from outside. Messages of spec/ get theirs from gen/wirec.
Run by ctest with PG_ROOT; closing line `N passed, N failed`.
"""
import os
import pathlib
import re
import sys

ROOT = pathlib.Path(os.environ.get("PG_ROOT", pathlib.Path(__file__).resolve().parents[2]))
READERS = re.compile(r"^[a-z][\w\s*]*?[\s*](pg_\w+_(?:read|parse|feed|received|load))\(", re.M)

# Reached through something larger, by the target that is named.
INSIDE = {
    "pg_conn_received": "fuzz_handshake",
    "pg_key_file_read": "fuzz_identity_file",
    "pg_kad_hand_read": "fuzz_streams",
    "pg_noise_read": "fuzz_handshake",
    "pg_secp256k1_read": "fuzz_keys",
    "pg_yamux_received": "fuzz_session",
    "pg_ma_value_parse": "fuzz_multiaddr",
    "pg_tunnel_frame_feed": "fuzz_streams",
    "pg_reload_read": "fuzz_options",  # what it hands on has come out of pg_options_read
    "pg_netlink_read": None,  # the kernel alone writes there
    "pg_loop_feed": None,  # hands the core what the loop has made itself
}


def declared():
    for top in ("runtime", "src"):
        for header in sorted((ROOT / top).rglob("*.h")):
            for name in READERS.findall(header.read_text()):
                yield name, header.relative_to(ROOT)


def main():
    targets = {p.stem: p.read_text() for p in (ROOT / "tests/fuzz").glob("*.[ch]")}
    called = set(re.findall(r"\bpg_\w+", "\n".join(targets.values())))
    wrong, seen = [], set()
    for name, header in declared():
        seen.add(name)
        if name in INSIDE:
            if INSIDE[name] is not None and INSIDE[name] not in targets:
                wrong.append(f"{name} is said to be reached by {INSIDE[name]}, which is not there")
            if name in called:
                wrong.append(f"{name} has a target of its own; take it out of INSIDE in this file")
        elif name not in called:
            wrong.append(f"{name} of {header} has no fuzz target: write tests/fuzz/fuzz_….c, or name the one that reaches it "
                         "in INSIDE of this file")
    wrong += [f"{name} stands in INSIDE, but no header declares it" for name in sorted(set(INSIDE) - seen)]
    print("\n".join(wrong))
    print(f"{len(seen) - len(wrong)} passed, {len(wrong)} failed")
    sys.exit(1 if wrong or len(seen) < 20 else 0)


if __name__ == "__main__":
    main()
