"""make install: what lands where, with DESTDIR and PREFIX, and that it works from there. bootstrap's refusals, too."""
import os
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(os.environ.get("PG_ROOT", pathlib.Path(__file__).resolve().parents[2]))
BUILD = pathlib.Path(os.environ.get("PG_BUILD", ROOT / "build")).resolve()
SCORE = [0, 0]


def check(truth, what):
    SCORE[0 if truth else 1] += 1
    print(("ok    " if truth else "FAIL  ") + what, flush=True)


def run(*argv, **environment):
    return subprocess.run(argv, capture_output=True, text=True, cwd=ROOT, timeout=120, env=os.environ | environment)


def installs(folder):
    dry = run("make", "-n", "install", f"DESTDIR={folder}", "PREFIX=/usr")
    check("cmake --install build --prefix '/usr'" in dry.stdout, "make install hands PREFIX on")
    done = run("cmake", "--install", str(BUILD), "--prefix", "/usr", DESTDIR=str(folder))
    check(done.returncode == 0, f"it installs {done.stderr}")
    found = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
    check(found == ["usr/bin/punchgate", "usr/share/bash-completion/completions/punchgate",
                    "usr/share/fish/vendor_completions.d/punchgate.fish", "usr/share/man/man1/punchgate.1",
                    "usr/share/man/man5/punchgate.conf.5",
                    "usr/share/zsh/site-functions/_punchgate"], f"these files and no others: {found}")
    version = run(str(folder / "usr/bin/punchgate"), "--version")
    check(re.fullmatch(r"punchgate \d+\.\d+\.\d+\n", version.stdout) is not None, "the installed program runs")
    manual = (folder / "usr/share/man/man1/punchgate.1").read_text().replace("\\-", "-")
    missing = [o for o in re.findall(r"^option\s+(\S+)", (ROOT / "spec/options.list").read_text(), re.M) if f"--{o}" not in manual]
    check(not missing, f"the manual has every option {missing or ''}")


def refuses():
    for arguments in ([], ["nonsense"], ["demo", "more"]):
        done = run("sh", "bootstrap", *arguments)
        check((done.returncode, done.stdout) == (2, "") and "usage: sh bootstrap demo|test|packages" in done.stderr,
              f"bootstrap {' '.join(arguments) or 'alone'} shows its usage")
    # Without dpkg and apt it is not Debian.
    with tempfile.TemporaryDirectory() as folder:
        for tool in ("sh", "dirname", "id"):
            os.symlink(f"/usr/bin/{tool}" if os.path.exists(f"/usr/bin/{tool}") else f"/bin/{tool}", f"{folder}/{tool}")
        done = run(f"{folder}/sh", "bootstrap", "demo", PATH=folder)
        check(done.returncode == 1 and "no apt-get" in done.stderr and "libuv1-dev" in done.stderr,
              "bootstrap says what is needed where there is no apt-get")


def main():
    with tempfile.TemporaryDirectory(prefix="pg-install-") as folder:
        installs(pathlib.Path(folder))
    refuses()
    print(f"{SCORE[0]} passed, {SCORE[1]} failed")
    return 1 if SCORE[1] else 0


if __name__ == "__main__":
    sys.exit(main())
