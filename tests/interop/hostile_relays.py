"""The rows of relays, and of peers at relays, that say one thing wrong: a message of Circuit Relay v2 with a field dropped, changed or said
twice, or relayed bytes that are. They may lose what they asked for, and nobody else may lose anything. Called by run.py."""

import contextlib
import re
from concurrent.futures import ThreadPoolExecutor

import circuits
from hostile import ENDS, Honest, log_of, wait_for
from nodes import Failed, Listener, check_pings, lines, listening, run, tail

# A C has no more relays, and one of them is honest.
AT_ONCE = 7
DIAL_SECONDS = 4
# Longer than C waits for an answer that does not come, 10 s.
WAIT_SECONDS = 20
SEEDS = range(1, 8)
CIRCUIT = "/p2p-circuit/p2p/"

HELD, FAILED, EITHER = "held", "failed", "either"
# What a relay says to RESERVE: type 1, reservation 3 (expire 1, addrs 2, voucher 3), limit 4 (duration 1, data 2), status 5. A voucher may be
# left out; one that is longer than any could be is as good as none.
ANSWERS = {
    "hop:3:drop": FAILED, "hop:3:cut": FAILED, "hop:3:type": FAILED, "hop:3.1:drop": FAILED, "hop:3.1:zero": FAILED, "hop:3.1:set=1": FAILED,
    "hop:3.1:huge": FAILED, "hop:3.1:set=4102444800": FAILED, "hop:3.3:flip": FAILED, "hop:3.3:cut": FAILED, "hop:3.3:huge": HELD,
    "hop:4:drop": HELD, "hop:4.1:zero": HELD, "hop:4.2:huge": HELD, "hop:5:drop": FAILED, "hop:5:zero": FAILED, "hop:5:set=200": FAILED,
    "hop:5:set=4000000000": FAILED, "hop:1:zero": FAILED, "hop:1:set=77": FAILED, "hop:all:drop": FAILED, "hop:all:empty": FAILED,
    "hop:all:cut": FAILED, "hop:all:long": FAILED, "hop:all:huge": FAILED, "hop:all:garbage": FAILED, "hop:all:twice": EITHER,
    "hop:all:extra": EITHER, "hop:all:late=3000": HELD,
}
# What it says to whoever is reached through it: type 1 (CONNECT is 0, which may be left out), peer 2 (id 1). Whether a dialer gets through.
STOPS = {
    "stop:2:drop": FAILED, "stop:2.1:flip": FAILED, "stop:2.1:drop": FAILED, "stop:2.1:huge": FAILED, "stop:1:drop": HELD, "stop:1:set=1": FAILED,
    "stop:1:set=99": FAILED, "stop:all:drop": FAILED, "stop:all:empty": FAILED, "stop:all:cut": FAILED, "stop:all:huge": FAILED,
    "stop:all:garbage": FAILED, "stop:all:extra": FAILED, "stop:all:twice": FAILED, "stop:raw:drop=2": FAILED, "stop:raw:flip=2": FAILED,
    "stop:raw:twice=2": FAILED, "stop:raw:flip=0": FAILED,
}
# What it says to whoever dials through it, the reservation behind it: type 1, limit 4, status 5.
CONNECTS = {
    "hop+1:5:drop": FAILED, "hop+1:5:zero": FAILED, "hop+1:5:set=200": FAILED, "hop+1:5:set=201": FAILED, "hop+1:5:set=202": FAILED,
    "hop+1:5:set=203": FAILED, "hop+1:5:set=204": FAILED, "hop+1:5:set=400": FAILED, "hop+1:5:set=401": FAILED, "hop+1:5:set=4000000000": FAILED,
    "hop+1:5:type": FAILED, "hop+1:1:zero": FAILED, "hop+1:1:set=77": FAILED, "hop+1:4:drop": HELD, "hop+1:4.2:huge": HELD, "hop+1:4.1:zero": HELD,
    "hop+1:all:drop": FAILED, "hop+1:all:empty": FAILED, "hop+1:all:cut": FAILED, "hop+1:all:huge": FAILED, "hop+1:all:garbage": FAILED,
    "hop+1:all:twice": FAILED, "hop+1:all:extra": FAILED, "hop+1:all:late=1500": HELD, "hop:raw:flip=2": FAILED, "hop:raw:drop=2": FAILED,
    "hop:raw:twice=2": FAILED,
}
# What a listener answers a relay of ours: type 1, status 4.
REFUSALS = {
    "stop:4:drop": FAILED, "stop:4:zero": FAILED, "stop:4:type": FAILED, "stop:4:set=200": FAILED, "stop:4:set=201": FAILED, "stop:4:set=202": FAILED,
    "stop:4:set=203": FAILED, "stop:4:set=204": FAILED, "stop:4:set=400": FAILED, "stop:4:set=401": FAILED, "stop:4:set=4000000000": FAILED,
    "stop:1:zero": FAILED, "stop:1:set=9": FAILED, "stop:all:drop": FAILED, "stop:all:empty": FAILED, "stop:all:cut": FAILED, "stop:all:huge": FAILED,
    "stop:all:garbage": FAILED, "stop:all:twice": FAILED, "stop:all:extra": FAILED, "stop:all:late=1500": HELD,
}
# What a peer asks a relay of ours, to reserve or to reach somebody: type 0 (RESERVE is 0, CONNECT 1), peer 2 (id 1).
REQUESTS = ("hop:1:set=2", "hop:1:set=9", "hop:all:cut", "hop:all:huge", "hop:all:garbage")
DIALS = ("hop:1:drop", "hop:1:set=2", "hop:1:huge", "hop:2:drop", "hop:2:type", "hop:2:cut", "hop:2.1:drop", "hop:2.1:flip", "hop:2.1:zero",
         "hop:2.1:huge", "hop:2.2:huge", "hop:all:empty", "hop:all:cut", "hop:all:huge", "hop:all:garbage")


def seeded(protocol: str) -> dict[str, str]:
    """Any field of any message, and any change of it: whatever comes of that, nobody else has a part in it."""
    return {f"{protocol}:any:random={seed}": EITHER for seed in SEEDS}


def all_at_once(what, many) -> list:
    with ThreadPoolExecutor(max(1, len(many))) as pool:
        return list(pool.map(what, many))


class HostileRelays:
    """One build of such a peer; `c` starts what is ours."""

    def __init__(self, peer, c_dials, echo: int):
        self.peer, self.c, self.honest = peer, c_dials, circuits.Library(peer)
        self.ours = circuits.Ours(c_dials, echo)
        self.echo = echo
        # rust has no words for single faults: seeds, and bytes of circuits.
        self.spells = peer.name == "go"

    def faults(self, named: dict[str, str], seeds: dict[str, str]) -> dict[str, str]:
        return {fault: outcome for fault, outcome in named.items() if self.spells or ":raw:flip=" in fault} | seeds

    def relay(self, fault: str = ""):
        return listening(self.peer.argv("relay", *(("--fault", fault) if fault else ())), "reset")

    def reserve(self, at: Listener, *fault: str):
        return listening(self.peer.argv("reserve", at.addr, *fault), "reset")

    def reaches(self, addr: str, *fault: str, wanted: str = HELD) -> str:
        """Empty when two pings have been answered, else what came of it; what should not come about is not waited for long."""
        try:
            *_, summary = lines(run(self.peer.argv("ping", addr, "--count", 2, *fault), seconds=WAIT_SECONDS if wanted == HELD else DIAL_SECONDS))
        except Failed as error:
            return str(error)
        return "" if summary.get("received") == 2 else str(summary)

    @contextlib.contextmanager
    def beside(self, to: Listener):
        """Somebody who does nothing wrong and has a tunnel to the same C all the while, which serves afterwards as it did before."""
        with self.c.tunnels(to, ("echo",)) as tunnels, Honest(tunnels).talking():
            yield
        check_pings(lines(self.c.run("ping", to.addr, "--count", 5, "--json")))
        if to.process.poll() is not None:
            raise Failed(f"C has ended with {to.process.returncode}: {tail(to.log().encode())}")

    # C is reached through relays that do one thing wrong.

    @contextlib.contextmanager
    def reserving(self, faults: list[str]):
        """A C, its relay that is honest, and the others by their faults."""
        with contextlib.ExitStack() as stack:
            good, *bad = [stack.enter_context(relay) for relay in map(self.relay, ["", *faults])]
            bootstraps = [part for relay in (good, *bad) for part in ("--bootstrap", relay.addr)]
            to = stack.enter_context(self.ours.run("reserving", "--nat-status", "private", "--relays", "8",
                                                   "--expose", f"echo=127.0.0.1:{self.echo}", *bootstraps))
            stack.enter_context(self.beside(to))
            yield to, good, dict(zip(faults, bad))
            if reason := self.reaches(good.addr + CIRCUIT + to.peer):
                raise Failed(f"C is not reached through the relay that is honest: {reason}")

    @staticmethod
    def reserved(to: Listener, relay: Listener) -> str:
        """What C says of its reservation at this relay."""
        wait_for(lambda: "" if re.search(f"relay reservation (?:accepted via|with) {relay.peer}", log_of(to)) else
                 f"nothing is said of {relay.argv[-1]}", WAIT_SECONDS)
        return HELD if re.search(f"relay reservation accepted via {relay.peer}", log_of(to)) else FAILED

    def answers(self, group: list[str], wanted: dict[str, str]) -> None:
        with self.reserving(group) as (to, _, bad):
            def check(fault):  # noqa: E306
                told = self.reserved(to, bad[fault])
                if wanted[fault] not in (told, EITHER):
                    raise Failed(f"fault {fault}: the reservation is {told}")
                if told == FAILED and not re.search(f"relay reservation with {bad[fault].peer} failed: .*\\w", log_of(to)):
                    raise Failed(f"fault {fault}: C gives no reason")
                if told == HELD and wanted[fault] == HELD and (reason := self.reaches(bad[fault].addr + CIRCUIT + to.peer)):
                    raise Failed(f"fault {fault}: nobody comes through the relay: {reason}")
                bad[fault].saw("(altered hop)")
            all_at_once(check, group)

    def stops(self, group: list[str], wanted: dict[str, str]) -> None:
        with self.reserving(group) as (to, _, bad):
            def check(fault):  # noqa: E306
                relay = bad[fault]
                if self.reserved(to, relay) != HELD:
                    raise Failed(f"fault {fault}: C holds no reservation: {tail(to.log().encode())}")
                reason = self.reaches(relay.addr + CIRCUIT + to.peer, wanted=wanted[fault])
                relay.saw("(altered stop)")
                if wanted[fault] != EITHER and bool(reason) != (wanted[fault] == FAILED):
                    raise Failed(f"fault {fault}: {reason or 'a dialer gets through'}")
                if wanted[fault] == FAILED:
                    wait_for(lambda: "" if self.says_why(log_of(to), relay) else f"fault {fault}: C's log does not say why", WAIT_SECONDS)
                # Whom the relay names has to prove it.
                if fault == "stop:2.1:flip" and not re.search(f"{relay.peer}/p2p-circuit.* error=another peer answers at this address", log_of(to)):
                    raise Failed(f"fault {fault}: another reason than that it is another peer")
            all_at_once(check, group)

    @staticmethod
    def says_why(log: str, relay: Listener) -> bool:
        """Why a circuit of this relay did not last: it was refused, its handshake failed, or what came in later was no Noise."""
        source = re.search(f"connection opened peer=(\\w+) endpoint=Listener .*/p2p/{relay.peer}/p2p-circuit", log)
        ended = f"|its peer broke a rule peer={source[1]} error=" if source else ""
        return bool(re.search(f"circuit of a relay refused relay={relay.peer} error=|connection failed .*{relay.peer}/p2p-circuit.* error={ended}", log))

    def in_groups(self, check, wanted: dict[str, str]) -> None:
        faults = list(wanted)
        groups = [faults[i:i + AT_ONCE] for i in range(0, len(faults), AT_ONCE)]
        with ThreadPoolExecutor(3) as pool:
            list(pool.map(lambda group: check(group, wanted), groups))

    def are_reserved_at(self, _) -> None:
        self.in_groups(self.answers, self.faults(ANSWERS, seeded("hop")))

    def bring_circuits(self, _) -> None:
        self.in_groups(self.stops, self.faults(STOPS, seeded("stop")))

    # C dials through relays that do one thing wrong.

    def connect(self, fault: str, outcome: str) -> None:
        with self.relay(fault) as relay, self.reserve(relay) as listener:
            for arguments in (("ping", listener.addr, "--count", 2), ("pipe", f"{listener.addr}:echo", "--path", "relay")):
                result = self.c.run(*arguments, "--timeout", f"{WAIT_SECONDS if outcome == HELD else DIAL_SECONDS}s",
                                    stdin=bytes(20_000), seconds=2 * WAIT_SECONDS)
                told = HELD if result.returncode == 0 else FAILED
                if outcome not in (told, EITHER):
                    raise Failed(f"fault {fault}: {arguments[0]} ended with {result.returncode}: {tail(result.stderr)}")
                if result.returncode not in ENDS or (result.returncode and not result.stderr.strip()):
                    raise Failed(f"fault {fault}: {arguments[0]} ended with {result.returncode}, and why: {tail(result.stderr)}")
            relay.saw("(altered hop)")

    def are_dialled_through(self, _) -> None:
        # With a reservation that is not sound its listener does not get ready.
        later = {fault.replace("hop", "hop+1"): outcome for fault, outcome in seeded("hop").items()} if self.spells else {}
        wanted = self.faults(CONNECTS, later)
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda fault: self.connect(fault, wanted[fault]), wanted))

    # C is the relay of peers that do one thing wrong.

    def are_relayed_for(self, _) -> None:
        with self.ours.run("relay", "--nat-status", "public", "--expose", f"echo=127.0.0.1:{self.echo}", "--max-relay-circuit-rate", "1000") as at, \
                self.beside(at), self.reserve(at) as good, ThreadPoolExecutor(4) as pool:
            jobs = [pool.submit(self.answer, at, fault, outcome) for fault, outcome in self.faults(REFUSALS, seeded("stop")).items()]
            jobs += [pool.submit(self.request, at, fault) for fault in self.faults(dict.fromkeys(REQUESTS, FAILED), seeded("hop"))]
            jobs += [pool.submit(self.dial, good, fault) for fault in (*DIALS, *seeded("hop")) if self.spells]
            for job in jobs:
                job.result()
            if reason := self.reaches(good.addr):
                raise Failed(f"a listener beside is not reached any more: {reason}")

    def answer(self, at: Listener, fault: str, outcome: str) -> None:
        with self.reserve(at, "--fault", fault) as listener:
            reason = self.reaches(listener.addr, wanted=outcome)
            if outcome != EITHER and bool(reason) != (outcome == FAILED):
                raise Failed(f"fault {fault}: {reason or 'a dialer gets through'}")
            listener.saw("(altered stop)")
            if outcome == FAILED:
                wait_for(lambda: "" if re.search(f"(?:CircuitReqDenied|CircuitClosed) .*dst_peer_id={listener.peer} ", log_of(at)) else
                         f"fault {fault}: C's log does not say what became of the circuit", WAIT_SECONDS)

    def request(self, at: Listener, fault: str) -> None:
        """A reservation that is asked for wrongly is not given; one that came about nevertheless is the asker's own affair."""
        try:
            with self.reserve(at, "--fault", fault):
                if "random" not in fault:
                    raise Failed(f"fault {fault}: it holds a reservation")
        except Failed as error:
            if "it holds" in str(error):
                raise

    def dial(self, good: Listener, fault: str) -> None:
        reason = self.reaches(good.addr, "--fault", fault, wanted=FAILED)
        if not reason and "random" not in fault and fault != "hop:2.2:huge":
            raise Failed(f"fault {fault}: a circuit came about")

    cases = (
        ("reserved at", "relays of {} answer a reservation with one thing wrong; {} takes what is sound, says why not, and is reached through an honest one",
         are_reserved_at),
        ("bring circuits", "relays of {} announce circuits, or carry their bytes, with one thing wrong; {} refuses them with a reason and nobody else's",
         bring_circuits),
        ("dialled through", "relays of {} answer the dialer with one thing wrong; commands of {} end with a reason", are_dialled_through),
        ("relayed for", "peers of {} ask a relay, and answer it, with one thing wrong; {} says what and relays for others on", are_relayed_for),
    )
