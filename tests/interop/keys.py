"""The rows for identities with every type of key, and for signed peer records. Called by run.py."""

import contextlib
import json
import os
import time
from pathlib import Path

from nodes import END_SECONDS, Failed, Listener, check_identity, check_ok, lines, listening, run, tail

# The types with how a peer id begins: short public keys stand in it whole, of others it has the hash.
TYPES = {"ed25519": "12D3KooW", "secp256k1": "16Uiu2HA", "ecdsa": "Qm", "rsa": "Qm"}
OURS = ("ed25519", "secp256k1")
# js-libp2p makes ECDSA keys, but no peer id of them.
NO_PEERS = {"js": {"ecdsa": "Unsupported key type"}}
# rust-libp2p signs its records under a domain of its own, and reads no other.
OTHER_DOMAIN = {"rust"}
SIZE = 20_000
LISTEN = ("--listen", "/ip4/127.0.0.1/tcp/0", "--ready-json")


def types(peer) -> list[str]:
    return [key for key in TYPES if key not in NO_PEERS.get(peer.name, ())]


def check_key(peer_id: str, told: str, key: str) -> None:
    if told.lower() != key or not peer_id.startswith(TYPES[key]):
        raise Failed(f"{peer_id} with a key of type {told!r}, instead of {key}")


class Ours:
    """C as it listens, and as it dials, with an identity of each type."""

    def __init__(self, stack: contextlib.ExitStack, c_dials, echo: int):
        self.c, self.home = c_dials, c_dials.options["cwd"]
        # The listeners make their keys at their start, those that dial use files of the key command.
        self.listeners = {key: stack.enter_context(self.node(f"{key}.listener", "--identity-type", key,
                                                             "--expose", f"echo=127.0.0.1:{echo}", "--control", "off"))
                          for key in OURS}
        self.files = {key: self.home / f"{key}.dialer" for key in OURS}
        self.ids = {key: self.tell("key", "new", "--type", key, "--out", self.files[key]).strip().decode() for key in OURS}
        for key in OURS:
            check_key(self.listeners[key].peer, key, key)
            check_key(self.ids[key], key, key)

    def node(self, identity: Path | str, *arguments: object):
        argv = [self.c.punchgate, "--identity", self.home / identity, *LISTEN, *arguments]
        env = self.c.options["env"] | {"PUNCHGATE_LOG": "debug"}
        return listening([*map(str, argv)], "", **self.c.options | {"env": env})

    def tell(self, *arguments: object, stdin: bytes = b"") -> bytes:
        result = self.c.run(*arguments, stdin=stdin)
        if result.returncode != 0:
            raise Failed(f"{arguments[0]}: status {result.returncode}: {tail(result.stderr)}")
        return result.stdout


@contextlib.contextmanager
def ours(c_dials, echo: int):
    with contextlib.ExitStack() as stack:
        yield Ours(stack, c_dials, echo)


class Keys:
    """One peer's checks: `their` key and `our` key at the two ends of a connection."""

    def __init__(self, peer, ours: Ours):
        self.peer, self.ours = peer, ours

    def lines(self, *arguments: object) -> list[dict]:
        return lines(run(self.peer.argv(*arguments)))

    def dials(self, their: str, our: str) -> None:
        to = self.ours.listeners[our]
        told = self.lines("identify", to.addr, "--key", their)
        check_identity(told, to)
        check_key(told[0]["own_peer"], told[0]["own_key"], their)
        to.saw(f"(connection opened) peer={told[0]['own_peer']} ")
        check_ok(self.lines("echo", to.addr, "echo", "--bytes", SIZE, "--key", their), "echo")

    def is_dialled(self, their: str, our: str) -> None:
        with listening(self.peer.argv("listen", "--key", their), "reset") as to:
            check_key(to.peer, to.key, their)
            us = ("--identity", self.ours.files[our])
            check_identity([json.loads(self.ours.tell("identify", to.addr, "--json", *us))], to)
            sent = os.urandom(SIZE)
            if self.ours.tell("pipe", f"{to.addr}:echo", *us, stdin=sent) != sent:
                raise Failed(f"of {SIZE} bytes not all came back")
            to.saw(f"(connected to {self.ours.ids[our]})\n")

    def our_record(self) -> None:
        for our, to in self.ours.listeners.items():
            [told] = self.lines("identify", to.addr)
            if told.get("certified_addrs") != [to.addr.split("/p2p/")[0]]:
                raise Failed(f"it took {told.get('certified_addrs')} for certified, of a peer with {our}")

    def their_records(self) -> None:
        for their in types(self.peer):
            with listening(self.peer.argv("listen", "--key", their), "reset") as to:
                if (seen := self.records(to)) != (1, 0):
                    raise Failed("of a peer with {} it took {} records and dropped {}".format(their, *seen))

    def other_domain(self) -> None:
        with listening(self.peer.argv("listen", "--signed-record"), "reset") as to:
            if (seen := self.records(to)) != (0, 1):
                raise Failed("it took {} records and dropped {}".format(*seen))
            check_identity([json.loads(self.ours.tell("identify", to.addr, "--json"))], to)

    def records(self, to: Listener) -> tuple[int, int]:
        """Of those of this peer, how many C took and dropped, once there are any."""
        with self.ours.node(self.ours.files["ed25519"], "--bootstrap", to.addr) as us:
            us.saw(f"(connection opened) peer={to.peer} ")
            return self.counted()

    def counted(self) -> tuple[int, int]:
        deadline = time.monotonic() + END_SECONDS
        while True:
            counters = json.loads(self.ours.tell("status", "--json", "--identity", self.ours.files["ed25519"]))["counters"]
            found = counters["peer_records_taken"], counters["peer_records_dropped"]
            if any(found) or time.monotonic() > deadline:
                return found
            time.sleep(0.05)

    def makes_no_peer(self) -> None:
        for key, reason in NO_PEERS[self.peer.name].items():
            result = run(self.peer.argv("listen", "--key", key))
            if result.returncode != 1 or reason.encode() not in result.stdout:
                raise Failed(f"{key}: status {result.returncode}: {tail(result.stdout)}")


def columns(peer, check) -> list:
    """A column for each type of theirs, and for ours that is not the usual one."""
    pairs = [(key, key, "ed25519") for key in types(peer)] + [("our secp256k1", "ed25519", "secp256k1")]
    return [(column, f"{{}} dials {{}}, each sees the other's peer id: a key of type {their} at {peer.name}, {our} at C",
             lambda keys, _, their=their, our=our: check(keys, their, our)) for column, their, our in pairs]


class Cases:
    """What Matrix.dial takes for a kind of checks."""

    def __init__(self, *cases):
        self.cases = cases


OUR_RECORD = ("record", "{} keeps the signed peer record of {}, with either type of key", lambda keys, _: keys.our_record())
THEIR_RECORD = ("record", "{} takes the signed peer record of {}, with every type of key",
                lambda keys, _: keys.their_records())
OTHER_RECORD = ("record", "{} drops the peer record that {} signs under another domain, and takes the rest of what it says",
                lambda keys, _: keys.other_domain())
WITHOUT_ID = ("without id", "{} makes no peer id of some keys, and says so", lambda keys, _: keys.makes_no_peer())


def rows(matrix, peer, keys) -> None:
    """All rows of a peer; `keys` may be the reason why there are none."""
    standard = peer.name not in OTHER_DOMAIN
    matrix.dial(Cases(*columns(peer, Keys.dials), *[OUR_RECORD][:standard]), peer.name, keys, "C", None)
    matrix.dial(Cases(*columns(peer, Keys.is_dialled), THEIR_RECORD if standard else OTHER_RECORD), "C", keys, peer.name, None)
    if peer.name in NO_PEERS:
        matrix.dial(Cases(WITHOUT_ID), peer.name, keys, "nobody", None)
