#!/usr/bin/env python3
"""The corpora of the fuzz targets: one file of hex lines for each target, so that they can be read, compared and reviewed.

    corpus.py expand DIR             makes DIR/TARGET/NUMBER, as libFuzzer wants it
    corpus.py collect DIR [ROOM]     makes the hex files again out of DIR/TARGET/*, shortest first, ROOM characters each (6000)

tests/fuzz/README.md says how a corpus comes about.
"""
import hashlib
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent / "corpus"


def lines(path):
    return [line.split("#")[0].strip() for line in path.read_text().splitlines()]


def expand(place):
    for path in sorted(HERE.glob("*.hex")):
        folder = place / path.stem
        folder.mkdir(parents=True, exist_ok=True)
        for data in map(bytes.fromhex, lines(path)):
            (folder / hashlib.sha1(data).hexdigest()).write_bytes(data)


def collect(place, room):
    """Lines with a comment stay as they are: somebody wrote why."""
    HERE.mkdir(exist_ok=True)
    for folder in sorted(p for p in place.iterdir() if p.is_dir()):
        path = HERE / f"{folder.name}.hex"
        kept = [line for line in path.read_text().splitlines() if "#" in line] if path.exists() else []
        known = {line.split("#")[0].strip() for line in kept}
        found = sorted({file.read_bytes() for file in folder.iterdir()} - {b""}, key=lambda data: (len(data), data))
        used = 0
        for data in found:
            text = data.hex()
            if text in known or used + len(text) > room:
                continue
            used += len(text)
            kept.append(text)
        path.write_text("\n".join(kept) + "\n")


def main():
    command, place, *more = sys.argv[1:] or ["", ""]
    if command == "expand":
        expand(pathlib.Path(place))
    elif command == "collect":
        collect(pathlib.Path(place), int(more[0]) if more else 6000)
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
