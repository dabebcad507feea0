"""A place for a laboratory that leaves nothing behind: namespaces of processes, mounts and network that end with whoever started them.

Used by nat.py, once, before anything else is started. Nothing in it has a name outside, so two of them never meet; and whichever of
its two processes is killed, by whatever signal, the kernel ends all that runs inside, and with it every namespace, device and file.
"""
import contextlib
import ctypes
import os
import pathlib
import select
import signal
import sys
import tempfile

CLONE_NEWNS, CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x20000, 0x10000000, 0x20000000, 0x40000000
MS_BIND, MS_REC, MS_PRIVATE = 0x1000, 0x4000, 0x40000
PR_SET_PDEATHSIG = 1
WORK = pathlib.Path("/run/nat")

libc = ctypes.CDLL(None, use_errno=True)


class Unavailable(Exception):
    """The machine lacks something: a reason to skip."""


def must(result, what):
    if result != 0:
        raise Unavailable(f"{what}: {os.strerror(ctypes.get_errno())} (root may do this)")


def mount(source, target, kind, flags=0):
    must(libc.mount(source.encode(), str(target).encode(), kind.encode() if kind else None, flags, None), f"a mount at {target}")


def become_root_of_our_own():
    """Without root: a user namespace, where the kernel has them."""
    uid, gid = os.geteuid(), os.getegid()
    must(libc.unshare(CLONE_NEWUSER), "a user namespace")
    for name, text in (("setgroups", "deny"), ("uid_map", f"0 {uid} 1"), ("gid_map", f"0 {gid} 1")):
        pathlib.Path("/proc/self", name).write_text(text)


def enclose():
    """Returns in a child that is alone with its processes, files in WORK and network; the caller itself never returns."""
    if os.geteuid() != 0:
        become_root_of_our_own()
    must(libc.unshare(CLONE_NEWPID), "a namespace of processes")
    alive, held = os.pipe()
    child = os.fork()
    if child == 0:
        # In this order: a parent that ended before it is seen by its end of the pipe.
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        os.close(held)
        if select.select([alive], [], [], 0)[0]:
            os._exit(1)
        os.close(alive)
        furnish()
        return
    os.close(alive)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: os.kill(child, number))
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) & 0xff)


def furnish():
    # The first process of a namespace ignores what it has no handler for.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    must(libc.unshare(CLONE_NEWNS | CLONE_NEWNET), "namespaces of mounts and network")
    mount("none", "/", None, MS_REC | MS_PRIVATE)
    mount("proc", "/proc", "proc")
    mount("tmpfs", "/run", "tmpfs")
    WORK.mkdir()
    os.environ["TMPDIR"] = str(WORK)
    tempfile.tempdir = None  # as it may have been asked before


def name_namespace(place, path=None):
    """Binds the namespace at `path`, or a new one, to the file `place`."""
    if path:
        mount(path, place, None, MS_BIND)
        return
    own = Namespace("/proc/thread-self/ns/net")
    with own.entered():
        must(libc.unshare(CLONE_NEWNET), "a network namespace")
        mount("/proc/thread-self/ns/net", place, None, MS_BIND)
    own.close()


class Namespace:
    """A network namespace that this process can enter."""

    def __init__(self, path):
        self.fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    @contextlib.contextmanager
    def entered(self):
        """Sockets made and processes started here belong to the namespace; for this thread only."""
        before = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            must(libc.setns(self.fd, CLONE_NEWNET), "entering a namespace")
            yield
        finally:
            must(libc.setns(before, CLONE_NEWNET), "leaving a namespace")
            os.close(before)

    def close(self):
        os.close(self.fd)
