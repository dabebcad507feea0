"""Every form of address that can be dialled, and names whose answers are wrong, endless or none at all."""
import time

from names import A, AAAA, CNAME, TXT, Names
from peers import echo, free_port, main, same, speaks, test, until, want

STRANGER = "12D3KooWGC6TvWhfapngX6wvJHMYvKpDMXPb3ZnCZ6dMoaMtimQ5"


def server(bed, records=None):
    names = Names(records)
    bed.services.append(names)
    return names


def record(*addresses):
    return [f"dnsaddr={a}" for a in addresses]


def ping(bed, names, address, *more, patience=30):
    status, out, error = bed.run("ping", address, "--dns-server", names.address, *more, patience=patience)
    return status, out + error


def reaches(bed, names, address):
    status, text = ping(bed, names, address)
    same(status, 0, f"{address}: {text}")


@test
def every_form_of_address_is_dialled(bed):
    peer = bed.peer("peer", "--listen", "/ip6/::1/tcp/0")
    ports = {a.split("/")[1]: a.split("/")[4] for a in peer.addrs}
    names = server(bed, {("both.test", A): ["127.0.0.1"], ("both.test", AAAA): ["::1"],
                         ("four.test", A): ["127.0.0.1"], ("six.test", AAAA): ["::1"],
                         ("_dnsaddr.list.test", TXT): record(peer.addr)})
    for form in (f"/ip4/127.0.0.1/tcp/{ports['ip4']}", f"/ip6/::1/tcp/{ports['ip6']}", f"/ip6/0:0:0:0:0:0:0:1/tcp/{ports['ip6']}",
                 f"/dns4/localhost/tcp/{ports['ip4']}", f"/dns4/peer.localhost./tcp/{ports['ip4']}", f"/dns6/localhost/tcp/{ports['ip6']}", f"/dns/localhost/tcp/{ports['ip4']}",
                 f"/dns/both.test/tcp/{ports['ip4']}", f"/dns/both.test/tcp/{ports['ip6']}", f"/dns4/four.test/tcp/{ports['ip4']}",
                 f"/dns4/FOUR.test./tcp/{ports['ip4']}", f"/dns6/six.test/tcp/{ports['ip6']}", "/dnsaddr/list.test"):
        reaches(bed, names, form)
        reaches(bed, names, f"{form}/p2p/{peer.id}")
    want(not names.count("localhost"), "a name server is asked about localhost")


@test
def a_name_stands_wherever_an_address_does(bed):
    service = bed.service(echo)
    provider = bed.peer("provider", "--expose", f"echo=127.0.0.1:{service.port}")
    names = server(bed, {("peer.test", A): ["127.0.0.1"], ("_dnsaddr.peer.test", TXT): record(provider.addr)})
    for number, address in enumerate((f"/dns4/peer.test/tcp/{provider.port}/p2p/{provider.id}", f"/dnsaddr/peer.test/p2p/{provider.id}")):
        status, out, error = bed.run("pipe", f"{address}:echo", "--dns-server", names.address, stdin=b"through a name")
        same((status, out), (0, "through a name"), error)
        status, out, error = bed.run("identify", address, "--json", "--dns-server", names.address)
        want(status == 0 and provider.id in out, error)
        tunnel = bed.peer(f"tunnel{number}", "--tunnel", f"{address}:echo@127.0.0.1:0", "--dns-server", names.address)
        want(speaks(bed.connect(tunnel.tunnel_port("echo"))))
        strapped = bed.peer(f"strapped{number}", "--bootstrap", address, "--dns-server", names.address)
        strapped.connected(provider)


@test
def a_peer_that_has_moved_is_found_at_its_new_address(bed):
    first = bed.peer("peer")
    names = server(bed, {("_dnsaddr.moving.test", TXT): record(first.addr)})
    other = bed.peer("other", "--bootstrap", f"/dnsaddr/moving.test/p2p/{first.id}", "--dns-server", names.address)
    other.connected(first)
    same(first.stop(), 0)
    again = bed.peer("again", key="peer")
    names.records["_dnsaddr.moving.test", TXT] = record(again.addr)
    until(lambda: len(other.find("connection opened", peer=first.id)) == 2, "the peer is found again")


@test
def only_records_of_the_peer_that_was_named_are_dialled(bed):
    peer, decoy = bed.peer("peer"), bed.service(lambda client: client.recv(1))
    names = server(bed, {("_dnsaddr.list.test", TXT): record(f"/ip4/127.0.0.1/tcp/{decoy.port}/p2p/{STRANGER}", f"/ip4/127.0.0.1/tcp/{decoy.port}",
                                                             "/ip4/127.0.0.1/udp/1/quic-v1/p2p/" + peer.id, "nonsense", peer.addr)
                         + ["v=spf1 -all", "dnsaddr=", "dnsaddr=/", "DNSADDR=/ip4/127.0.0.1/tcp/1", ["dnsaddr=/ip4/", "nowhere"]]})
    reaches(bed, names, f"/dnsaddr/list.test/p2p/{peer.id}")
    same(decoy.clients, 0, "connections to what was not asked for")
    status, text = ping(bed, names, f"/dnsaddr/list.test/p2p/{bed.peer('third').id}")
    same(status, 69, text)
    want("no TXT record of the name leads to this peer" in text, text)


@test
def a_record_of_several_strings_is_one_address(bed):
    peer = bed.peer("peer")
    text = record(peer.addr)[0]
    names = server(bed, {("_dnsaddr.cut.test", TXT): [[text[:9], text[9:30], text[30:]]]})
    reaches(bed, names, "/dnsaddr/cut.test")


@test
def records_may_lead_to_names_four_times_in_a_row(bed):
    peer = bed.peer("peer")
    names = server(bed, {("_dnsaddr.a5.test", TXT): record(peer.addr)})
    for n in range(5):
        names.records[f"_dnsaddr.a{n}.test", TXT] = record(f"/dnsaddr/a{n + 1}.test/p2p/{peer.id}")
    reaches(bed, names, f"/dnsaddr/a1.test/p2p/{peer.id}")
    status, text = ping(bed, names, f"/dnsaddr/a0.test/p2p/{peer.id}")
    same(status, 69, text)


@test
def a_circle_of_names_ends_and_what_hangs_on_it_is_found(bed):
    peer = bed.peer("peer")
    names = server(bed, {("_dnsaddr.a.test", TXT): record("/dnsaddr/b.test", "/dnsaddr/a.test"),
                         ("_dnsaddr.b.test", TXT): record("/dnsaddr/a.test", peer.addr)})
    reaches(bed, names, "/dnsaddr/a.test")
    same((names.count("_dnsaddr.a.test"), names.count("_dnsaddr.b.test")), (1, 1), "questions in one round")
    names.records["_dnsaddr.b.test", TXT] = record("/dnsaddr/a.test")
    for address in ("/dnsaddr/a.test", "/dnsaddr/b.test"):
        status, text = ping(bed, names, address)
        want(status == 69 and "in a circle" in text, f"{status}: {text}")


@test
def a_tree_of_names_costs_a_few_questions_only(bed):
    """Each name leads to thirty others."""
    names = server(bed)
    for a in range(30):
        names.records[f"_dnsaddr.t{a}.test", TXT] = record(*(f"/dnsaddr/t{a}x{b}.test" for b in range(30)))
    names.records["_dnsaddr.t.test", TXT] = record(*(f"/dnsaddr/t{a}.test" for a in range(30)))
    status, text = ping(bed, names, "/dnsaddr/t.test")
    same(status, 69, text)
    want(len(set(names.asked)) <= 32 and names.count() <= 64, f"{names.count()} questions")  # once by UDP and once by TCP


@test
def thousands_of_records_cost_a_few_dials_only(bed):
    good = bed.peer("good")
    decoy = bed.service(lambda client: client.recv(1))
    names = server(bed, {("_dnsaddr.many.test", TXT): [f"dnsaddr=/ip4/127.{n >> 8}.{n & 255}.1/tcp/{decoy.port}" for n in range(1400)]})
    peer = bed.peer("peer", "--bootstrap", "/dnsaddr/many.test", "--bootstrap", good.addr, "--dns-server", names.address)
    peer.connected(good)
    peer.saw("outgoing connection error", peer="many.test", patience=40)
    dials = peer.find("dialing", addr=f"tcp/{decoy.port}")
    want(0 < len(dials) <= 32, f"{len(dials)} dials")
    want(names.count("_dnsaddr.many.test") >= 2, "the answer did not come over TCP")


@test
def names_that_are_too_long_are_refused_where_they_are_typed(bed):
    for name, why in (("a" * 4096, "longer than 256 bytes"), ("a" * 64 + ".test", "labels of at most 63 bytes"), ("a..test", "none that DNS knows"),
                      (".test", "none that DNS knows"), ("exämple.test", "none that DNS knows"), ("a.test/udp/1/quic-v1", "only TCP")):
        address = f"/dns4/{name}" + ("" if "udp" in name else "/tcp/4001")
        status, _, error = bed.run("--bootstrap", address)
        same(status, 2, address)
        want(why in error and "--bootstrap" in error, error)
    long = ".".join(["a" * 60] * 4)  # 243 bytes, and 252 with the prefix
    for name, status in ((long, 69), (long + "b", 69), (long + "bb", 2)):
        got, text = ping(bed, server(bed), f"/dnsaddr/{name}")
        same(got, status, text)


@test
def names_that_are_too_long_are_passed_over_in_records(bed):
    peer = bed.peer("peer")
    names = server(bed, {("_dnsaddr.long.test", TXT): record(f"/dnsaddr/{'a' * 4096}", f"/dnsaddr/{'a' * 64}.test", f"/dns4/{'a.' * 126}test/tcp/1", peer.addr)})
    reaches(bed, names, "/dnsaddr/long.test")
    same(names.count(), names.count("_dnsaddr.long.test"), "questions")


@test
def a_circle_of_aliases_ends_with_a_reason_and_others_go_on(bed):
    good = bed.peer("good")
    names = server(bed, {("one.test", CNAME): ["two.test"], ("two.test", CNAME): ["one.test"],
                         ("_dnsaddr.one.test", CNAME): ["_dnsaddr.two.test"], ("_dnsaddr.two.test", CNAME): ["_dnsaddr.one.test"]})
    for address in ("/dns4/one.test/tcp/4001", "/dnsaddr/one.test"):
        status, text = ping(bed, names, address)
        same(status, 69, text)
        want("the name has no such record" in text, text)
    peer = bed.peer("peer", "--bootstrap", "/dns/one.test/tcp/4001", "--bootstrap", good.addr, "--dns-server", names.address)
    peer.connected(good)
    peer.saw("dial failed", addr="/dns/one.test")


@test
def a_name_server_that_never_answers_holds_nobody_up(bed):
    good = bed.peer("good")
    names = server(bed, {("fast.test", A): ["127.0.0.1"]})
    names.silent |= {"slow.test", "_dnsaddr.slow.test"}
    peer = bed.peer("peer", "--bootstrap", "/dnsaddr/slow.test", "--bootstrap", "/dns/slow.test/tcp/1",
                    "--bootstrap", f"/dns4/fast.test/tcp/{good.port}", "--dns-server", names.address)
    began = time.monotonic()
    peer.connected(good)
    want(time.monotonic() - began < 8, "the others wait for the silent server")
    status, text = ping(bed, names, "/dnsaddr/slow.test")
    same(status, 75, text)
    want("no name server answered in time" in text, text)
    peer.saw("dial failed", addr="/dnsaddr/slow.test", error="no name server answered in time")
    status, text = ping(bed, names, "/dnsaddr/slow.test", "--timeout", "300ms")
    same(status, 75, text)
    until(lambda: names.count("slow.test") > 3, "the next round asks again")  # so that a question is open when it stops
    same(peer.stop(), 0)


@test
def a_name_server_that_is_not_there_is_told(bed):
    status, out, error = bed.run("ping", "/dns4/peer.test/tcp/1", "--dns-server", f"127.0.0.1:{free_port()}")
    same(status, 69, error)
    want("no name server can be reached" in error, error)


@test
def a_list_that_names_ourselves_is_no_failure(bed):
    names = server(bed)
    peer = bed.peer("peer", "--bootstrap", "/dnsaddr/list.test", "--dns-server", names.address, ready=False)
    peer.wait_ready()
    friend = bed.peer("friend")
    names.records["_dnsaddr.list.test", TXT] = record(peer.addr, friend.addr)
    peer.connected(friend)
    same(peer.find("dialing", addr=peer.id), [], "dials of ourselves")


main()
