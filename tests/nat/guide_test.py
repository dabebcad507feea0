"""docs/NAT.md does what it says: each of its commands is run, on the machine that it names, behind a router there. Run by nat.py."""
import getpass
import os
import pathlib
import re
import subprocess

from lab import Lab
from nat import ROOT, SWITCH, slow
from peers import PATIENCE, PUNCHGATE, same, test, until, want
from router import Nat

PAGE = ROOT / "docs/NAT.md"
PORT = 4001
BLOCK = re.compile(r"^```sh no-test: (keeps running|runs) on (\w+), by tests/nat/guide_test.py\n(.*?)^```$", re.M | re.S)
MACHINES = ("relay", "office", "home")


class Machine:
    """A folder and a namespace."""

    def __init__(self, bed, host, name):
        self.bed, self.host, self.name = bed, host, name
        self.folder = bed.path / f"at-{name}"
        self.folder.mkdir()
        (self.folder / "build").symlink_to(pathlib.Path(PUNCHGATE).parent)

    def popen(self, text, variables, out):
        env = self.bed.environment(RUST_LOG="debug,machine=off", **variables)
        with self.host.inside():
            return subprocess.Popen(["sh", "-ec", f"exec {text}" if out else text], cwd=self.folder, env=env, stdin=subprocess.DEVNULL,
                                    stdout=out or subprocess.PIPE, stderr=out or subprocess.STDOUT)

    def start(self, text, variables):
        self.log = self.folder / "log"
        with open(self.log, "wb") as out:
            self.bed.processes.append(self.popen(text, variables, out))
        until(lambda: "istening on" in self.log.read_text(), f"the peer on {self.name} listens", PATIENCE)

    def run(self, text, variables, patience=3 * PATIENCE):
        process = self.popen(text, variables, None)
        try:
            said = process.communicate(timeout=patience)[0].decode(errors="replace")
        except subprocess.TimeoutExpired:
            process.kill()
            said = process.communicate()[0].decode(errors="replace")
        return process.returncode, said

    def logs(self, words, patience=PATIENCE):
        until(lambda: words in self.log.read_text(), f"the peer on {self.name} logs {words!r}; {self.log.read_text()[-3000:]}", patience)


class Guide:
    """The page, as somebody would follow it."""

    def __init__(self, bed, lab):
        # Not at the top, as it brings tests of its own.
        from ssh_test import Sshd
        self.bed = bed
        self.machines = {name: Machine(bed, lab[name].host, name) for name in MACHINES}
        with lab["office"].host.inside():
            self.sshd = Sshd(bed)
        self.variables = {"ADDRESS": lab["relay"].address, "USER": getpass.getuser()}
        # What ssh needs to know of this sshd, and a user has in his configuration.
        tools = bed.path / "tools"
        tools.mkdir()
        options = " ".join(f"'{word}'" for word in map(str, self.sshd.options()))
        (tools / "ssh").write_text(f"#!/bin/sh\nexec /usr/bin/ssh {options} \"$@\"\n")
        (tools / "ssh").chmod(0o755)
        self.variables["PATH"] = f"{tools}:{os.environ['PATH']}"

    def id(self, machine):
        status, said = self.machines[machine].run(f"build/punchgate id --identity {machine}.key", self.variables)
        same(status, 0, said)
        return said.strip()

    def follow(self):
        """Every command that ended, and what it said."""
        told = []
        for how, name, text in BLOCK.findall(PAGE.read_text()):
            text = re.sub(r"127\.0\.0\.1:22\b", f"127.0.0.1:{self.sshd.port}", text).strip()
            machine = self.machines[name]
            if how == "keeps running":
                machine.start(text, self.variables)
                self.after_start(name)
                continue
            status, said = machine.run(text, self.variables)
            same(status, 0, f"{text}\n{said}\n{self.story()}")
            told.append((text, said))
            if text.startswith("echo "):
                self.variables["RELAY"] = said.strip()
        return told

    def after_start(self, name):
        """What the page tells its reader to look for."""
        if name == "office":
            self.variables["OFFICE"] = self.id("office")
            self.machines["office"].logs("relay reservation accepted")
        if name == "home":
            self.machines["home"].logs("tunnel listening")

    def story(self):
        return "\n".join(f"--- {m.name}\n" + "\n".join(m.log.read_text().splitlines()[-40:]) for m in self.machines.values() if hasattr(m, "log"))


def followed(office, home, direct):
    def runs(bed):
        with Lab(SWITCH, {"relay": None, "office": office, "home": home}, delay_ms=5) as lab:
            guide = Guide(bed, lab)
            told = guide.follow()
            ssh = [said for text, said in told if text.startswith("ssh")]
            same(len(ssh), 2, "commands of ssh in the page")
            want("hello from the office" in ssh[0] and "hello again" in ssh[1], f"{ssh}\n{guide.story()}")
            if direct:
                guide.machines["home"].logs("hole punch succeeded")
    return runs


@slow
@test
def the_guide_leads_from_home_to_the_office_through_both_routers(bed):
    followed(Nat("port-restricted"), Nat("addr-restricted"), True)(bed)
