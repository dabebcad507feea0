"""deploy/: an image and four containers, as far as a machine without container engine and registries can show: what the files name is there, and
the four of compose.yaml in network namespaces, started by its own script. What the build stage makes is looked at in without_mdns_test.py."""
import ipaddress
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import containers
import lan
from peers import PUNCHGATE, ROOT, main, same, test, want

DEPLOY = Path(ROOT) / "deploy"
STAGES = containers.stages(DEPLOY / "Containerfile")
COMPOSE = containers.yaml((DEPLOY / "compose.yaml").read_text())
SCRIPT = (DEPLOY / "e2e_compose_test.sh").read_text()
SERVICES = COMPOSE["services"]
# What the script puts into the environment.
PEER = "12D3KooWGx2Ffo2uoi4Jqbg2XL6WP5aqvu2Q2eseEbXh7rihHdrF"
FILLED = {"BOOTSTRAP": f"/ip4/172.28.0.10/tcp/4001/p2p/{PEER}", "WORKHORSE": PEER}
PATIENCE_S = 180


def address(service):
    return SERVICES[service]["networks"]["mesh"]["ipv4_address"]


@test
def the_Containerfile_names_what_is_there_and_ends_as_a_user_without_rights(bed):
    same(list(STAGES), ["", "build", "echo", "punchgate"], "stages")
    same(STAGES[""][0][0], "ARG")
    for name, stage in list(STAGES.items())[1:]:
        same(stage[0], ("FROM", f"${{BASE}} AS {name}"), "any base, given at build time")
        for sources, _ in containers.copied(stage):
            for source in sources:
                want((Path(ROOT) / source).exists(), f"COPY {source}")
        for word, rest in stage:
            if rest.startswith("--from"):
                want(rest.split()[0].removeprefix("--from=") in list(STAGES)[1:], rest)
    for name in ("echo", "punchgate"):
        [user] = [rest for word, rest in STAGES[name] if word == "USER"]
        want(user.split(":")[0].isdigit() and int(user.split(":")[0]) > 0, f"{name} runs as {user}")
    same([json.loads(rest) for word, rest in STAGES["punchgate"] if word == "ENTRYPOINT"], [["punchgate"]])


@test
def the_image_has_the_packages_of_every_library_that_the_program_loads(bed):
    [text] = [rest for word, rest in STAGES["punchgate"] if word == "RUN"]
    named = set(text.split("--no-install-recommends")[1].split("&&")[0].split())
    loaded = subprocess.run(["ldd", PUNCHGATE], capture_output=True, text=True, check=True).stdout
    libraries = {Path(found).name for found in re.findall(r"=> (/\S+)", loaded)}
    if not shutil.which("dpkg-query"):
        want(len(named) >= 7)
        return
    for library in libraries:
        owners = subprocess.run(["dpkg-query", "-S", f"*/{library}"], capture_output=True, text=True).stdout
        packages = {line.split(":")[0] for line in owners.splitlines()}
        # libc is part of every base; those of sanitizers are only in a build for tests.
        want(packages & (named | {"libc6", "libgcc-s1", "libstdc++6", "libasan8", "libubsan1"}), f"{library} is in {packages}, the image has {named}")


@test
def the_containers_are_four_whose_addresses_options_and_ports_agree(bed):
    same({name: address(name) for name in SERVICES},
         {"bootstrap": "172.28.0.10", "echo": "172.28.0.20", "workhorse": "172.28.0.30", "client": "172.28.0.40"})
    [subnet] = COMPOSE["networks"]["mesh"]["ipam"]["config"]
    want(all(ipaddress.ip_address(address(name)) in ipaddress.ip_network(subnet["subnet"]) for name in SERVICES))
    for name, service in SERVICES.items():
        words = shlex.split(containers.filled(service["command"], FILLED))
        if name != "echo":
            status, _, error = bed.run("check", *words)
            same(status, 0, f"check of {name}: {error}")
    want(f"--expose echo={address('echo')}:7777" in SERVICES["workhorse"]["command"] and "--port 7777" in SERVICES["echo"]["command"])
    [published] = SERVICES["client"]["ports"]
    want(SERVICES["client"]["command"].endswith(f"@0.0.0.0:{published.split(':')[2]}") and f"port={published.split(':')[1]}" in SCRIPT)
    want(f"BOOTSTRAP=/ip4/{address('bootstrap')}/tcp/4001/p2p/" in SCRIPT)
    used = set(re.findall(r"\$\{(\w+):-", (DEPLOY / "compose.yaml").read_text())) - {"IMAGE", "ECHO_IMAGE"}
    same(used, set(re.findall(r"^ *export (\w+)$", SCRIPT, re.M)), "variables of compose.yaml that the script gives")
    for command, services in re.findall(r"\$compose (up -d|logs) ([\w ]+)", SCRIPT):
        want(set(services.split()) <= set(SERVICES), f"{command} {services}")


def compose_test(bed, program, patience_s=30):
    """The script over namespaces: its status, and what it said."""
    state = bed.path / "state"
    state.mkdir()
    environment = bed.environment(STATE=state, LOGS=state / "said", PATIENCE=patience_s, COMPOSE=f"{sys.executable} {containers.__file__}", PROGRAMS=json.dumps({
        "punchgate:local": [program], "punchgate-echo:local": [sys.executable, str(Path(ROOT) / "tools/echo_server.py")]}))
    script = subprocess.Popen(["sh", DEPLOY / "e2e_compose_test.sh"], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    bed.processes.append(script)
    try:
        said, _ = script.communicate(timeout=PATIENCE_S)
    except subprocess.TimeoutExpired:
        script.terminate()  # it ends its services itself
        said, _ = script.communicate(timeout=PATIENCE_S)
    return script.returncode, said, state


@test
def four_peers_in_namespaces_are_started_one_by_one_and_bytes_come_back_through_port_2222(bed):
    status, said, state = compose_test(bed, PUNCHGATE)
    same(status, 0, said + (state / "said/client.log").read_text()[-3000:])
    want(re.search(r'"hello punchgate \d+" came back through port 2222', said), said)
    want("relay reservation accepted" in (state / "said/workhorse.log").read_text())


@test
def the_script_fails_when_a_container_does_not_do_its_part(bed):
    """A relay that relays for nobody."""
    program = bed.path / "deaf"
    program.write_text(f'#!/bin/sh\nexec {PUNCHGATE} "$@" --relay-mode off\n')
    program.chmod(0o755)
    status, said, _ = compose_test(bed, str(program), 5)
    want(status != 0 and "has not said" in said, said)


if __name__ == "__main__":
    lan.in_a_namespace()
    main()
