"""punchgate check: every mistake with its place, every value with its origin, and nothing changed."""
import json
import os

from peers import main, same, test, want


def write(bed, *lines):
    path = bed.path / "p.conf"
    path.write_text("".join(line + "\n" for line in lines))
    return path


@test
def every_mistake_is_told_with_file_and_line_and_the_status_is_78(bed):
    config = write(bed, "listen = /ip4/127.0.0.1/tcp/0", "lissten = x", "expose = web", "expose = ok=127.0.0.1:1",
                   "expose = bad=127.0.0.1:99999", "tunnel-wait = soon", "nat-status = maybe")
    status, out, error = bed.run("check", "--config", config)
    same((status, out), (78, ""), error)
    told = error.splitlines()
    for line, words in ((2, "lissten"), (3, "expose"), (5, "port"), (6, "soon"), (7, "maybe")):
        want(any(f"{config}:{line}: " in t and words in t for t in told), f"line {line} in {error}")
    same(len(told), 5, error)
    status, out, _ = bed.run("check", "--config", config, "--json")
    said = [json.loads(line) for line in out.splitlines()]
    same((status, [s["event"] for s in said]), (78, ["error"] * 5 + ["check"]))
    same(said[-1], {"event": "check", "ok": False, "problems": 5})
    same({s["code"] for s in said[:-1]}, {"config_bad"})


@test
def mistakes_of_environment_and_flags_are_told_beside_those_of_the_file(bed):
    config = write(bed, "expose = web")
    status, out, error = bed.run("check", "--config", config, "--listen", "nowhere", PUNCHGATE_BOOTSTRAP="nobody")
    same(status, 78)
    same(len(error.splitlines()), 3, error)
    want("--listen" in error and "PUNCHGATE_BOOTSTRAP" in error and f"{config}:1" in error, error)


@test
def a_good_configuration_is_status_0_and_nothing_is_made(bed):
    config = write(bed, "identity = new.key", "listen = /ip4/127.0.0.1/tcp/0", "expose = a=127.0.0.1:1")
    before = set(os.listdir(bed.path))
    status, out, error = bed.run("check", "--config", config)
    same((status, out, error), (0, "the configuration is good\n", ""))
    same(json.loads(bed.run("check", "--config", config, "--json")[1]), {"event": "check", "ok": True, "problems": 0})
    same(set(os.listdir(bed.path)), before, "files")


@test
def what_contradicts_and_a_bad_identity_file_are_told(bed):
    (bed.path / "bad.key").write_bytes(b"not a key")
    config = write(bed, "identity = bad.key", "expose = a=127.0.0.1:1", "expose = a=127.0.0.1:2")
    status, _, error = bed.run("check", "--config", config)
    same(status, 78)
    want("stands twice" in error and "bad.key" in error, error)
    status, _, error = bed.run("check", "--config", bed.path / "none.conf")
    same(status, 78)
    want("none.conf" in error, error)
    same(bed.run("check", "--nonsense")[0], 2, "a wrong option of check itself")


@test
def show_origin_tells_where_each_value_came_from_in_the_form_of_the_file(bed):
    config = write(bed, "tunnel-wait = 1s", "expose = a=127.0.0.1:1", "expose = b=127.0.0.1:2", "nat-status = private")
    status, out, error = bed.run("check", "--config", config, "--show-origin", "--nat-status", "public", PUNCHGATE_TUNNEL_WAIT="3s")
    same(status, 0, error)
    for line in (f"expose = a=127.0.0.1:1 ; {config}:2", f"expose = b=127.0.0.1:2 ; {config}:3", "tunnel-wait = 3s ; PUNCHGATE_TUNNEL_WAIT",
                 "nat-status = public ; --nat-status", "listen = /ip4/0.0.0.0/tcp/0 ; default", "# bootstrap = ; not set"):
        want(line in out.splitlines(), f"{line!r} is missing in {out}")
    again = bed.path / "again.conf"
    again.write_text(out)
    same(bed.run("check", "--config", again)[:2], (0, "the configuration is good\n"))
    said = [json.loads(line) for line in bed.run("check", "--config", config, "--show-origin", "--json")[1].splitlines()]
    want({"event": "option", "name": "expose", "value": "b=127.0.0.1:2", "source": "file", "origin": f"{config}:3"} in said, f"{said}")
    want({"event": "option", "name": "bootstrap", "value": None, "source": "none", "origin": "none"} in said, f"{said}")


@test
def drop_in_files_are_read_behind_the_file_by_name_and_each_is_named(bed):
    config = write(bed, "tunnel-wait = 1s", "expose = a=127.0.0.1:1", "nat-status = private")
    folder = bed.path / "p.conf.d"
    folder.mkdir()
    # Not in the order in which they are made; neither hidden ones nor those of editors count.
    (folder / "20-b.conf").write_text("tunnel-wait = 3s\nexpose = c=127.0.0.1:3\n")
    (folder / "10-a.conf").write_text("# first\nexpose = b=127.0.0.1:2\ntunnel-wait = 2s\n")
    for name in (".30.conf", "30.conf~", "30.txt"):
        (folder / name).write_text("nonsense\n")
    status, out, error = bed.run("check", "--config", config, "--show-origin")
    same(status, 0, error)
    lines = [line for line in out.splitlines() if line.startswith(("expose", "tunnel-wait", "nat-status"))]
    same(sorted(lines), sorted([f"expose = a=127.0.0.1:1 ; {config}:2", f"expose = b=127.0.0.1:2 ; {folder}/10-a.conf:2",
                                f"expose = c=127.0.0.1:3 ; {folder}/20-b.conf:2", f"tunnel-wait = 3s ; {folder}/20-b.conf:1",
                                f"nat-status = private ; {config}:3"]))
    (folder / "20-b.conf").write_text("tunnel-wait = soon\nlissten = x\ntunnel-wait = 1s\n")
    (folder / "30.conf").mkdir()
    status, _, error = bed.run("check", "--config", config)
    same(status, 78)
    for words in (f"{folder}/20-b.conf:2: unknown name", f"{folder}/20-b.conf:3: tunnel-wait stands already in line 1",
                  f"{folder}/20-b.conf:1: tunnel-wait \"soon\"", f"{folder}/30.conf: Is a directory"):
        want(words in error, f"{words} is missing in {error}")


if __name__ == "__main__":
    main()
