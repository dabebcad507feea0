#!/usr/bin/env python3
"""What deploy/ says, read and done without a container engine: stages of the Containerfile, and compose.yaml in network namespaces.

As a program it stands in for `podman compose` in deploy/e2e_compose_test.sh: `up -d SERVICE …`, `logs SERVICE`, `down`, in the folder of
compose.yaml. PROGRAMS says what runs in place of each image's entry point, STATE is a folder of its own. Each service is a process in a
network namespace with the address of compose.yaml on one bridge; a published port is carried on.
"""
import asyncio
import json
import os
import pathlib
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time


# The Containerfile.

def instructions(path):
    """(word, the rest) of each; comments and continued lines are gone."""
    text = re.sub(r"^\s*#.*\n", "", path.read_text(), flags=re.M)
    lines = re.sub(r"\\\n\s*", "", text).splitlines()
    return [tuple(line.split(maxsplit=1)) for line in lines if line.strip()]


def stages(path):
    """Name to instructions, in order; what stands before the first FROM is the stage ""."""
    found, name = {"": []}, ""
    for word, rest in instructions(path):
        if word == "FROM":
            name = rest.split(" AS ")[1]
            found[name] = []
        found[name].append((word, rest))
    return found


def copied(stage):
    """(sources, where to) of what comes out of the tree."""
    return [(rest.split()[:-1], rest.split()[-1]) for word, rest in stage if word == "COPY" and not rest.startswith("--from")]


def run_stage(stage, tree, folder, patience, **arguments):
    """Does what the stage does in a folder of its own, but for packages; what it installs goes below folder/image."""
    at = folder / "src"
    at.mkdir()
    for word, rest in stage:
        if word == "COPY" and not rest.startswith("--from"):
            *sources, to = rest.split()
            for source in sources:
                if (tree / source).is_dir():
                    shutil.copytree(tree / source, at / to)
                else:
                    shutil.copy(tree / source, at / to)
        elif word == "RUN" and "bootstrap packages" not in rest:
            done = subprocess.run(["sh", "-c", rest], cwd=at, capture_output=True, text=True, timeout=patience,
                                  env=os.environ | arguments | {"DESTDIR": str(folder / "image")})
            if done.returncode != 0:
                raise AssertionError(f"RUN {rest}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    return at


# YAML, as much as compose.yaml has of it: maps, lists and words, by indentation. Anything else is refused.

def yaml(text):
    lines = [(len(line) - len(line.lstrip()), line.strip()) for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    value, rest = block(lines, lines[0][0])
    if rest:
        raise ValueError(f"indented by nothing that is there: {rest[0][1]}")
    return value


def block(lines, indent):
    is_list = lines[0][1].startswith("- ")
    value = [] if is_list else {}
    while lines and lines[0][0] == indent:
        line = lines[0][1]
        if is_list != line.startswith("- ") or "\t" in line:
            raise ValueError(f"neither the list nor the map that it is in: {line}")
        if is_list and not re.match(r"- [\w-]+:( |$)", line):
            value.append(line[2:])
            lines = lines[1:]
            continue
        if is_list:
            item, lines = block([(indent + 2, line[2:]), *lines[1:]], indent + 2)
            value.append(item)
            continue
        key, colon, word = line.partition(":")
        if not colon or not re.fullmatch(r"[\w-]+", key) or key in value or word[:2] in (" {", " [", " &", " *", " |", " >", " \"", " '"):
            raise ValueError(f"no line of this kind is read: {line}")
        lines = lines[1:]
        if word:
            value[key] = word.strip()
        else:
            value[key], lines = block(lines, lines[0][0]) if lines and lines[0][0] > indent else (None, lines)
    return value, lines


def filled(text, variables):
    return re.sub(r"\$\{(\w+):-([^}]*)\}", lambda m: variables.get(m[1]) or m[2], text)


# The engine.

class Engine:
    def __init__(self, state):
        self.state = pathlib.Path(state)
        self.compose = yaml(pathlib.Path("compose.yaml").read_text())
        self.notes = self.state / "running.json"
        self.running = json.loads(self.notes.read_text()) if self.notes.exists() else []

    def note(self, process):
        self.running.append(process.pid)
        self.notes.write_text(json.dumps(self.running))

    def start(self, argv, log):
        with open(self.state / log, "ab") as out:
            process = subprocess.Popen(argv, cwd=self.state, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True)
        self.note(process)
        return process

    def up(self, name):
        service = self.compose["services"][name]
        address = service["networks"]["mesh"]["ipv4_address"]
        if not self.running:
            sh("ip link add mesh type bridge", "ip addr add 172.28.0.1/24 dev mesh", "ip link set mesh up")
        holder = self.start(["unshare", "--net", "sleep", "600"], "holders")
        own = os.readlink("/proc/self/ns/net")
        while os.readlink(f"/proc/{holder.pid}/ns/net") == own:
            time.sleep(0.01)
        inside = f"nsenter -t {holder.pid} -n"
        end = "to" + name[:8]
        sh(f"ip link add {end} type veth peer name eth0 netns {holder.pid}", f"ip link set {end} master mesh up", f"{inside} ip link set lo up",
           f"{inside} ip addr add {address}/24 dev eth0", f"{inside} ip link set eth0 up")
        program = json.loads(os.environ["PROGRAMS"])[filled(service["image"], os.environ)]
        home = self.state / name
        home.mkdir()
        words = shlex.split(filled(service["command"], os.environ))
        self.start([*inside.split(), "env", "-C", str(home), f"HOME={home}", *program, *words], f"{name}.log")
        for published in service.get("ports", ()):
            host, port, to = published.split(":")
            self.start([sys.executable, __file__, "carry", host, port, address, to], "carried")

    def logs(self, name):
        sys.stdout.write((self.state / f"{name}.log").read_text())

    def down(self):
        # Links before those in whose namespaces they end: these would take them along, but not at once.
        links = json.loads(subprocess.run(["ip", "-j", "link", "show", "master", "mesh"], capture_output=True, check=True).stdout)
        sh(*(f"ip link del {link['ifname']}" for link in links), "ip link del mesh")
        for pid in reversed(self.running):
            try:
                os.kill(pid, signal.SIGTERM)
            except ProcessLookupError:
                pass


def sh(*commands):
    for command in commands:
        subprocess.run(command.split(), check=True)


async def carry(host, port, to, to_port):
    """A published port."""
    async def pump(reader, writer):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.write_eof()

    async def one(reader, writer):
        there = await asyncio.open_connection(to, to_port)
        await asyncio.gather(pump(reader, there[1]), pump(there[0], writer))
        there[1].close()
        writer.close()
    server = await asyncio.start_server(one, host, port)
    await server.serve_forever()


def main(command, *names):
    if command == "carry":
        asyncio.run(carry(*names))
    engine = Engine(os.environ["STATE"])
    if command == "up":
        for name in names[1:]:
            engine.up(name)
    elif command == "logs":
        engine.logs(*names)
    elif command == "down":
        engine.down()
    else:
        sys.exit(f"no such command: {command}")


if __name__ == "__main__":
    main(*sys.argv[1:])
