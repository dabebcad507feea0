"""SSH to a real sshd on loopback: through a tunnel, and with pipe as ProxyCommand.

sshd runs with a configuration, host key and authorised key of its own in the test's folder, as the user of the test.
Without an sshd on the machine every test fails: it belongs to what `sh bootstrap test` installs.
"""
import getpass
import os
import pathlib
import shutil
import subprocess

from peers import PUNCHGATE, free_port, main, pattern, same, test, until, want


class Sshd:
    def __init__(self, bed):
        program = shutil.which("sshd", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
        want(program, "sshd is not installed; sh bootstrap test does that")
        self.bed, self.folder, self.port = bed, bed.path / "ssh", free_port()
        self.folder.mkdir(mode=0o700)
        if os.geteuid() == 0:
            # Where privilege separation lives; a booted system makes it, a chroot does not.
            pathlib.Path("/run/sshd").mkdir(mode=0o755, parents=True, exist_ok=True)
        for name in ("host", "user"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.folder / name], check=True)
        shutil.copy(self.folder / "user.pub", self.folder / "authorized")
        (self.folder / "sshd_config").write_text(
            f"Port {self.port}\nListenAddress 127.0.0.1\nHostKey {self.folder}/host\nPidFile none\n"
            f"AuthorizedKeysFile {self.folder}/authorized\nStrictModes no\nUsePAM no\nPermitRootLogin yes\n"
            "PasswordAuthentication no\nKbdInteractiveAuthentication no\nSubsystem sftp internal-sftp\n")
        self.log = open(bed.path / "sshd.log", "wb")
        self.process = subprocess.Popen([program, "-D", "-e", "-f", self.folder / "sshd_config"], stdin=subprocess.DEVNULL,
                                        stdout=self.log, stderr=self.log, start_new_session=True)
        self.log.close()
        bed.processes.append(self.process)
        until(lambda: "Server listening" in (bed.path / "sshd.log").read_text(), "sshd listens")

    def options(self):
        return ["-F", "none", "-i", self.folder / "user", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=accept-new",
                "-o", f"UserKnownHostsFile={self.folder}/known", "-o", "IdentitiesOnly=yes", "-o", "IdentityAgent=none",
                "-o", "ConnectTimeout=20"]

    def run(self, program, *arguments, patience=60):
        done = subprocess.run([program, *self.options(), *map(str, arguments)], stdin=subprocess.DEVNULL,
                              capture_output=True, cwd=self.bed.path, env=self.bed.environment(RUST_LOG="warn"),
                              timeout=patience)
        log = (self.bed.path / "sshd.log").read_text(errors="replace")
        return done.returncode, done.stdout, done.stderr.decode(errors="replace") + "\n".join(log.splitlines()[-8:])


ME = getpass.getuser()


@test
def ssh_works_through_a_tunnel(bed):
    sshd = Sshd(bed)
    provider, consumer, port = bed.pair("ssh", sshd.port)
    status, out, error = sshd.run("ssh", "-p", port, f"{ME}@127.0.0.1", "echo hello; exit 7")
    same((status, out), (7, b"hello\n"), error)


@test
def scp_brings_5_MB_through_a_tunnel_and_back(bed):
    sshd = Sshd(bed)
    provider, consumer, port = bed.pair("ssh", sshd.port)
    data = pattern(5_000_000)
    (bed.path / "here").write_bytes(data)
    status, _, error = sshd.run("scp", "-q", "-P", port, "here", f"{ME}@127.0.0.1:{bed.path}/there")
    same(status, 0, error)
    want((bed.path / "there").read_bytes() == data, "another file arrived")
    status, _, error = sshd.run("scp", "-q", "-P", port, f"{ME}@127.0.0.1:{bed.path}/there", "back")
    same(status, 0, error)
    want((bed.path / "back").read_bytes() == data, "another file came back")


@test
def pipe_serves_as_proxy_command(bed):
    sshd = Sshd(bed)
    provider = bed.peer("provider", "--expose", f"ssh=127.0.0.1:{sshd.port}")
    proxy = f"ProxyCommand={PUNCHGATE} pipe {provider.addr}:ssh"
    status, out, error = sshd.run("ssh", "-o", proxy, f"{ME}@anywhere", "cat /dev/null; echo through a pipe")
    same((status, out), (0, b"through a pipe\n"), error)
    status, out, error = sshd.run("ssh", "-o", proxy, f"{ME}@anywhere", "exit 3")
    same(status, 3, error)
    data = pattern(5_000_000)
    (bed.path / "here").write_bytes(data)
    status, _, error = sshd.run("scp", "-q", "-o", proxy, "here", f"{ME}@anywhere:{bed.path}/there")
    same(status, 0, error)
    want((bed.path / "there").read_bytes() == data, "another file arrived")


@test
def a_proxy_command_without_its_peer_fails_with_words(bed):
    sshd = Sshd(bed)
    proxy = f"ProxyCommand={PUNCHGATE} pipe /ip4/127.0.0.1/tcp/{free_port()}:ssh"
    status, _, error = sshd.run("ssh", "-o", proxy, f"{ME}@anywhere", "true")
    same(status, 255)
    want("punchgate: " in error, error)


if __name__ == "__main__":
    main()
