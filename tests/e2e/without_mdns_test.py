"""A program that is built without multicast DNS has nothing of it: no socket, no function. It is built as the Containerfile builds it."""
import subprocess
from pathlib import Path

import containers
import lan
from mdns_test import Network
from peers import PUNCHGATE, ROOT, TESTS, main, same, test, want

TESTS.clear()  # those of mdns_test.py run by themselves
PATIENCE_S = 1200  # a whole build, on a busy machine


def functions(program):
    names = subprocess.run(["nm", "--defined-only", program], capture_output=True, text=True, check=True).stdout
    return {line.split()[-1] for line in names.splitlines() if "mdns" in line.lower()}


@test
def a_build_without_mdns_has_no_socket_and_no_function_of_it(bed):
    stage = containers.stages(Path(ROOT) / "deploy/Containerfile")["build"]
    source = containers.run_stage(stage, Path(ROOT), bed.path, PATIENCE_S, FEATURES="--no-default-features")
    plain = source / "build/punchgate"
    installed = bed.path / "image/usr/local/bin/punchgate"
    same(subprocess.run([installed, "--version"], capture_output=True, check=True).stdout[:10], b"punchgate ", "what the image gets")
    same(functions(plain), set(), "functions of mDNS")
    want("pg_mdns_start" in functions(PUNCHGATE), "the usual program has them, so that this says something")
    with Network(bed, 1) as net:
        host = net.hosts[0]
        key = bed.path / "plain.key"
        log = open(bed.path / "plain.log", "wb")
        process = subprocess.Popen([*host.inside, str(plain), "--identity", str(key), "--ready-json"], stdout=subprocess.PIPE, stderr=log,
                                   env=bed.environment(PUNCHGATE_NO_MDNS=0), cwd=bed.path)
        bed.processes.append(process)
        want(b"ready" in process.stdout.readline(), "it is a peer all the same")
        same(host.udp_ports(), set(), "UDP ports")
        process.terminate()
        same(process.wait(30), 0, "exit status")


if __name__ == "__main__":
    lan.in_a_namespace()
    main()
