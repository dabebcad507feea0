"""Names of local services and listens, resolved in the loop: the system's files, a server of our own, servers that fail."""
import time

from names import A, AAAA, CNAME, Names
from peers import echo, free_port, main, refused_at, same, speaks, test, until, want


def server(bed, records=None):
    names = Names(records)
    bed.services.append(names)
    return names


def tunnel_to(bed, host, port, names=None):
    """A tunnel to the service `echo` at host:port, by a provider that asks this name server: its local port."""
    more = ["--dns-server", names.address] if names else []
    provider = bed.peer("provider", "--expose", f"echo={host}:{port}", *more)
    consumer = bed.peer("consumer", "--bootstrap", provider.addr, "--tunnel", f"{provider.id}:echo@127.0.0.1:0")
    consumer.connected(provider)
    return provider, consumer.tunnel_port("echo")


@test
def a_service_at_localhost_is_reached_without_any_name_server(bed):
    names = server(bed)
    _, port = tunnel_to(bed, "localhost", bed.service(echo).port, names)
    want(speaks(bed.connect(port)))
    same(names.asked, [], "questions about localhost")


@test
def a_service_by_name_is_reached_by_the_address_that_answers(bed):
    """The first address has no listener: the next one is tried."""
    names = server(bed, {("db.test", A): ["127.0.0.77", "127.0.0.1"], ("db.test", AAAA): ["::1"]})
    _, port = tunnel_to(bed, "db.test", bed.service(echo).port, names)
    want(speaks(bed.connect(port)))
    same(set(names.asked), {("db.test", A), ("db.test", AAAA)}, "questions")


@test
def an_alias_is_followed(bed):
    names = server(bed, {("alias.test", CNAME): ["db.test"], ("db.test", A): ["127.0.0.1"]})
    _, port = tunnel_to(bed, "alias.test", bed.service(echo).port, names)
    want(speaks(bed.connect(port)))


@test
def each_connection_asks_anew(bed):
    """A service that moves to another address is found there."""
    names = server(bed, {("db.test", A): ["127.0.0.77"]})
    provider, port = tunnel_to(bed, "db.test", bed.service(echo).port, names)
    refused_at(port)
    provider.saw("tunnel rejected")
    names.records["db.test", A] = ["127.0.0.1"]
    want(speaks(bed.connect(port)))


@test
def a_name_that_is_not_there_is_the_reason_of_the_rejection(bed):
    names = server(bed)
    provider, port = tunnel_to(bed, "nowhere.test", 80, names)
    same(refused_at(port)[1], b"")
    provider.saw("tunnel rejected", reason="there is no such name")


@test
def a_name_server_that_never_answers_holds_up_nobody_else_and_no_shutdown(bed):
    names = server(bed)
    names.silent.add("slow.test")
    service = bed.service(echo)
    provider = bed.peer("provider", "--expose", "slow=slow.test:80", "--expose", f"echo=127.0.0.1:{service.port}",
                        "--dns-server", names.address)
    consumer = bed.peer("consumer", "--bootstrap", provider.addr, "--tunnel", f"{provider.id}:slow@127.0.0.1:0",
                        "--tunnel", f"{provider.id}:echo@127.0.0.1:0")
    consumer.connected(provider)
    waiting = [bed.connect(consumer.tunnel_port("slow")) for _ in range(20)]
    until(lambda: names.count("slow.test") > 0, "the server is asked")
    want(speaks(bed.connect(consumer.tunnel_port("echo"))), "the other tunnel does not answer")
    began = time.monotonic()
    same(provider.stop(), 0)
    want(time.monotonic() - began < 9, "a shutdown waits for the name server")
    del waiting


@test
def a_server_that_fails_and_one_that_talks_nonsense_are_told_apart(bed):
    names = server(bed)
    names.failing.add("failing.test")
    names.raw["broken.test"] = (7, b"\xc0\xff" * 20)
    provider = bed.peer("provider", "--expose", "one=failing.test:80", "--expose", "two=broken.test:80", "--dns-server", names.address)
    consumer = bed.peer("consumer", "--bootstrap", provider.addr, "--tunnel", f"{provider.id}:one@127.0.0.1:0",
                        "--tunnel", f"{provider.id}:two@127.0.0.1:0")
    consumer.connected(provider)
    for service in ("one", "two"):
        refused_at(consumer.tunnel_port(service))
        provider.saw("tunnel rejected", service=service, reason="name server")


@test
def a_local_address_may_be_a_name(bed):
    provider, consumer, _ = bed.pair("echo", bed.service(echo).port)
    port = free_port()
    other = bed.peer("other", "--bootstrap", provider.addr, "--tunnel", f"{provider.id}:echo@localhost:{port}")
    other.connected(provider)
    at = other.saw("tunnel listening", service_name="echo").fields["actual_addr"]
    want(speaks(bed.connect(port, host=at.rsplit(":", 1)[0].strip("[]"))))


@test
def nothing_wakes_up_once_the_names_are_answered(bed):
    names = server(bed, {("db.test", A): ["127.0.0.1"]})
    provider, port = tunnel_to(bed, "db.test", bed.service(echo).port, names)
    client = bed.connect(port)
    want(speaks(client))

    def switches():
        status = open(f"/proc/{provider.process.pid}/status").read()
        return int(status.split("voluntary_ctxt_switches:")[1].split()[0])

    quiet = []
    for _ in range(4):  # pings every 15 s are the only timers of an idle pair: one of these seconds may hold one
        before = switches()
        time.sleep(1)
        quiet.append(switches() - before)
    want(sorted(quiet)[1] <= 1, f"wake-ups in seconds of silence: {quiet}")


@test
def a_name_server_that_is_no_address_is_refused(bed):
    for wrong in ("example.org", "127.0.0.1:", "127.0.0.1:0", "127.0.0.1:65536", "0.0.0.0", "[::1", "[127.0.0.1]:53", "::1:x", ":53", "[::1]x"):
        status, _, error = bed.run("--dns-server", wrong)
        same(status, 2, wrong)
        want("--dns-server" in error and "write ADDRESS or ADDRESS:PORT" in error, error)


main()
