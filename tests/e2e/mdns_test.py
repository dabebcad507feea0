"""Peers of one network find each other without being told anything: multicast DNS, in network namespaces of the test's own."""
import json
import re
import struct
import subprocess
import sys

import lan
from peers import PATIENCE, echo, exchange, main, pattern, same, speaks, test, until, want

A_PEER = "12D3KooWGC6TvWhfapngX6wvJHMYvKpDMXPb3ZnCZ6dMoaMtimQ5"


def peer_at(bed, name, host, *arguments, listen=None, **environment):
    return bed.peer(name, *arguments, listen=listen, inside=host.inside, PUNCHGATE_NO_MDNS=0, **environment)


def program(bed, host, text, out=None):
    """Something that is no peer runs on a host, until the test ends."""
    bed.processes.append(subprocess.Popen([*host.inside, sys.executable, "-c", text], stdout=out))


def status(bed, peer):
    code, out, error = bed.run("status", "--json", "--identity", peer.key)
    same(code, 0, error)
    return json.loads(out)


def neighbours(bed, peer):
    return {n["peer"]: n for n in status(bed, peer)["neighbours"]}


class Network:
    """A bridge, and as many hosts on it."""

    def __init__(self, bed, hosts, bridges=1):
        self.bridges = [lan.Bridge() for _ in range(bridges)]
        self.hosts = [lan.Host(bed, n + 1, *self.bridges) for n in range(hosts)]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for bridge in self.bridges:
            bridge.remove()


@test
def two_peers_find_each_other_and_a_tunnel_by_peer_id_needs_no_address(bed):
    with Network(bed, 2) as net:
        service = bed.service(echo, host=net.bridges[0].own)
        provider = peer_at(bed, "provider", net.hosts[0], "--expose", f"echo={net.bridges[0].own}:{service.port}")
        here = net.hosts[1].at(net.bridges[0])
        consumer = peer_at(bed, "consumer", net.hosts[1], "--tunnel", f"{provider.id}:echo@{here}:0")
        port = consumer.tunnel_port("echo")
        provider.saw("peer found on the local network", peer=consumer.id)
        consumer.saw("peer found on the local network", peer=provider.id)
        want(speaks(bed.connect(port, host=here)))
        data = pattern(1_000_000)
        client = bed.connect(port, host=here)
        want(exchange(client, data) == data, "other bytes came back")
        of = neighbours(bed, consumer)[provider.id]
        want(of["connected"] and of["expires_s"] <= 360, str(of))
        want(any(a.startswith(f"/ip4/{net.hosts[0].at(net.bridges[0])}/tcp/") for a in of["addrs"]), str(of))
        same([e for e in consumer.entries() if e.level in ("WARN", "ERROR")], [], "complaints")


@test
def a_service_is_found_by_its_name_where_nothing_was_configured(bed):
    with Network(bed, 2) as net:
        service = bed.service(echo, host=net.bridges[0].own)
        here = net.hosts[1].at(net.bridges[0])
        consumer = peer_at(bed, "consumer", net.hosts[1], "--tunnel-by-name", f"echo@{here}:0")
        peer_at(bed, "provider", net.hosts[0], "--expose", f"echo={net.bridges[0].own}:{service.port}")
        port = until(lambda: [e for e in consumer.entries() if e.message == "tunnel listening"], "the tunnel listens")[0]
        port = int(port.fields["actual_addr"].rsplit(":", 1)[1])
        want(speaks(bed.connect(port, host=here)))


@test
def an_answer_that_names_anothers_address_leads_nobody_there(bed):
    with Network(bed, 3) as net:
        bridge = net.bridges[0]
        false, true = bed.service(echo, host=bridge.own), bed.service(echo, host=bridge.own)
        s = lan.speaker(bridge.own)
        bed.sockets.append(s)
        provider = peer_at(bed, "provider", net.hosts[0])
        provider.stop()
        liar = peer_at(bed, "liar", net.hosts[2], "--expose", f"echo={bridge.own}:{false.port}")
        here = net.hosts[1].at(bridge)
        consumer = peer_at(bed, "consumer", net.hosts[1], "--tunnel", f"{provider.id}:echo@{here}:0")
        lie = lan.told("them", [f"/ip4/{net.hosts[2].at(bridge)}/tcp/{liar.port}/p2p/{provider.id}"], 3000)
        until(lambda: (lan.say(s, lie), consumer.find("dial of an offered address failed", error="another peer answers"))[1], "the lie is tried")
        peer_at(bed, "again", net.hosts[0], "--expose", f"echo={bridge.own}:{true.port}", key="provider")
        port = consumer.tunnel_port("echo")
        client = bed.connect(port, host=here)
        want(speaks(client))
        same((false.clients, true.clients), (0, 1), "clients of the false and of the true service")
        client.close()


@test
def peers_that_want_nothing_of_each_other_are_connected_all_the_same_and_once(bed):
    with Network(bed, 3) as net:
        peers = [peer_at(bed, f"peer{n}", host) for n, host in enumerate(net.hosts)]
        for one in peers:
            for other in peers:
                if one is not other:
                    one.connected(other)
                    until(lambda: other.id in neighbours(bed, one), "the status knows it")
        peers[0].stop()
        for other in peers[1:]:  # who goes says so
            other.saw("peer of the local network is gone", peer=peers[0].id)
            want(peers[0].id not in neighbours(bed, other))


@test
def each_of_several_interfaces_is_asked_and_told_of_its_own_addresses(bed):
    with Network(bed, 0, bridges=2) as net:
        between = lan.Host(bed, 1, *net.bridges)
        left, right = lan.Host(bed, 2, net.bridges[0]), lan.Host(bed, 3, net.bridges[1])
        middle = peer_at(bed, "middle", between)
        west, east = peer_at(bed, "west", left), peer_at(bed, "east", right)
        for one in (west, east):
            middle.connected(one)
            one.connected(middle)
        for one in (west, east):
            until(lambda: middle.id in neighbours(bed, one), "it is known")
        want(neighbours(bed, west)[middle.id]["addrs"][0].startswith(f"/ip4/{between.at(net.bridges[0])}/"))
        want(neighbours(bed, east)[middle.id]["addrs"][0].startswith(f"/ip4/{between.at(net.bridges[1])}/"))
        want(east.id not in neighbours(bed, west), "one network's word has come to another")


@test
def an_interface_that_comes_later_is_used(bed):
    with Network(bed, 1, bridges=2) as net:
        late = lan.Host(bed, 2)
        here = peer_at(bed, "here", net.hosts[0])
        there = peer_at(bed, "there", late, listen="/ip4/0.0.0.0/tcp/0")
        late.join(0, net.bridges[1])
        there.saw("peer found on the local network", peer=here.id)


@test
def an_answer_has_what_each_library_looks_for(bed):
    with Network(bed, 1) as net:
        s = lan.speaker(net.bridges[0].own)
        bed.sockets.append(s)
        peer = peer_at(bed, "peer", net.hosts[0])
        asks = lan.hear(s, lambda flags, questions, _: not flags & 0x8000 and questions, PATIENCE)
        same(asks[1], [(lan.SERVICE, lan.PTR, 1)], "questions of its own")
        lan.hear(s, lambda flags, questions, sections: flags & 0x8000, PATIENCE)  # to its own question: so that all hear of it
        lan.say(s, lan.query())
        flags, questions, (answers, authority, more) = lan.hear(s, lambda f, q, _: f & 0x8000, PATIENCE)
        same((flags, questions, authority), (0x8400, [], []))
        (owner, kind, group, ttl, instance), = answers
        same((owner, kind, group, ttl), (lan.SERVICE, lan.PTR, 1, 360))
        want(re.fullmatch(r"[a-z0-9]{32}\._p2p\._udp\.local", instance), instance)
        by_kind = {k: [r for r in more if r[1] == k] for k in (lan.TXT, lan.SRV, lan.A, lan.AAAA)}
        want(all(by_kind.values()), str(more))
        same({r[0] for k in (lan.TXT, lan.SRV) for r in by_kind[k]}, {instance})
        host = by_kind[lan.SRV][0][4][1]
        same({r[0] for k in (lan.A, lan.AAAA) for r in by_kind[k]}, {host})
        same(by_kind[lan.A][0][4], bytes([10, net.bridges[0].number, 0, 1]))
        same(by_kind[lan.SRV][0][4][0][2], peer.port)
        addrs = by_kind[lan.TXT][0][4]
        want(addrs and all(a.startswith("dnsaddr=/ip") and a.endswith(f"/p2p/{peer.id}") for a in addrs), str(addrs))
        want(not any("/127.0.0.1/" in a or "/::1/" in a for a in addrs), "an address that nobody else can reach")
        for owner, kind in ((instance, lan.SRV), (instance, lan.TXT), (host, lan.A), ("_services._dns-sd._udp.local", lan.PTR)):
            lan.say(s, lan.query(owner, kind))
            lan.hear(s, lambda f, q, sections: any(r[0] == owner and r[1] == kind for r in sections[0]), PATIENCE)


@test
def who_is_not_heard_of_any_more_expires(bed):
    with Network(bed, 1) as net:
        s = lan.speaker(net.bridges[0].own)
        bed.sockets.append(s)
        peer = peer_at(bed, "peer", net.hosts[0])
        addr = f"/ip4/{net.bridges[0].own}/tcp/9/p2p/{A_PEER}"
        until(lambda: (lan.say(s, lan.told("them", [addr], 10)), peer.find("peer found on the local network", peer=A_PEER))[1],
              "it is found")
        want(neighbours(bed, peer)[A_PEER]["expires_s"] <= 10)
        peer.saw("peer of the local network is gone", peer=A_PEER, patience=10 + PATIENCE)
        same(neighbours(bed, peer), {})
        lan.say(s, lan.told("them", [addr], 3000))
        until(lambda: A_PEER in neighbours(bed, peer), "it is found again")
        lan.say(s, lan.told("them", [addr], 0))
        until(lambda: A_PEER not in neighbours(bed, peer), "a farewell is believed")


@test
def beside_another_program_on_the_port_both_hear(bed):
    with Network(bed, 2) as net:
        with open(bed.path / "other.txt", "wb") as out:
            program(bed, net.hosts[0], f"""
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
s.bind(("", 5353))
s.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP,
             socket.inet_aton("224.0.0.251") + socket.inet_aton("{net.hosts[0].at(net.bridges[0])}"))
print("here", flush=True)
while True:
    data, source = s.recvfrom(9000)
    print(source[0], data.hex(), flush=True)
""", out)
        heard = (bed.path / "other.txt").read_text
        until(lambda: "here" in heard(), "the other program stands")
        one, two = (peer_at(bed, f"peer{n}", host) for n, host in enumerate(net.hosts))
        one.connected(two)
        until(lambda: any(line.startswith(net.hosts[1].at(net.bridges[0]) + " ") for line in heard().splitlines()), "the other program hears the network, too")
        same(one.find("no peers of the local network, trying again in 5 min; leave it with --no-mdns"), [])


@test
def a_port_that_is_somebody_elses_alone_is_told_of_and_costs_nothing_else(bed):
    with Network(bed, 1) as net:
        program(bed, net.hosts[0], """
import socket, time
a = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
a.bind(("", 5353))
b = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
b.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
b.bind(("::", 5353))
time.sleep(600)
""")
        until(lambda: 5353 in net.hosts[0].udp_ports(), "the port is taken")
        peer = peer_at(bed, "peer", net.hosts[0])
        told = peer.saw("no peers of the local network, trying again in 5 min; leave it with --no-mdns")
        want("in use" in told.fields["error"], told.text)
        same(status(bed, peer)["neighbours"], [])


@test
def with_no_mdns_there_is_no_socket_and_nobody_is_found(bed):
    with Network(bed, 2) as net:
        silent = bed.peer("silent", "--no-mdns", listen=None, inside=net.hosts[0].inside, PUNCHGATE_NO_MDNS=0)
        s = lan.speaker(net.bridges[0].own)
        bed.sockets.append(s)
        lively = peer_at(bed, "lively", net.hosts[1])
        lan.hear(s, lambda f, q, _: f & 0x8000, PATIENCE)
        want(5353 not in net.hosts[0].udp_ports(), "the port is open")
        want(5353 in net.hosts[1].udp_ports(), "the port is not open")
        same(neighbours(bed, lively), {})
        same(lively.find("peer found on the local network"), [])
        same(silent.find("peer found on the local network"), [])


@test
def hostile_words_cost_nothing_and_honest_peers_are_found_meanwhile(bed):
    with Network(bed, 2) as net:
        s = lan.speaker(net.bridges[0].own)
        bed.sockets.append(s)
        victim = peer_at(bed, "victim", net.hosts[0])
        long_name = ".".join(["x" * 63] * 3 + ["y" * 61])
        own = f"/ip4/{net.bridges[0].own}/tcp/9/p2p/{victim.id}"
        many = lan.response([lan.record(f"n{i}.{lan.SERVICE}", lan.TXT, lan.texts("dnsaddr=x")) for i in range(200)])
        words = [
            lan.told("them", [own]),
            lan.told("x" * 63, [f"/ip4/{net.hosts[0].at(net.bridges[0])}/tcp/{victim.port}/p2p/{A_PEER}"]),  # the victim's own address, as another's
            lan.told("them", [f"/ip4/127.0.0.1/tcp/9/p2p/{A_PEER}", f"/dns4/printer/tcp/9/p2p/{A_PEER}", f"/ip4/224.0.0.1/tcp/9/p2p/{A_PEER}"]),
            lan.response([lan.record(lan.SERVICE, lan.PTR, lan.name(long_name))]),
            lan.response([lan.record(long_name, lan.TXT, lan.texts("dnsaddr=" + "a" * 247))]),
            struct.pack(">6H", 0, 0x8400, 0, 10000, 0, 0) + b"\xc0\x0c" + struct.pack(">HHIH", 12, 1, 9, 2) + b"\xc0\x0c",
            struct.pack(">6H", 0, 0, 65535, 65535, 65535, 65535),
            many, many + b"\0" * 3000, b"", b"\0",
        ]
        for _ in range(100):
            for message in words:
                lan.say(s, message)
        # whole networks of peers that do not exist: 10,000 of them
        for start in range(0, 10000, 10):
            answers, more = [], []
            for n in range(start, start + 10):
                owner = f"n{n}.{lan.SERVICE}"
                answers.append(lan.record(lan.SERVICE, lan.PTR, lan.name(owner)))
                more.append(lan.record(owner, lan.TXT, lan.texts(f"dnsaddr=/ip4/{net.bridges[0].own}/tcp/9/p2p/{invented(n)}")))
            lan.say(s, lan.response(answers, more))
        # from a source that is not of this network
        lan.run("ip addr add 192.0.2.77/32 dev lo")
        far = lan.speaker(net.bridges[0].own, source="192.0.2.77")
        bed.sockets.append(far)
        lan.say(far, lan.told("far", [f"/ip4/8.8.8.8/tcp/9/p2p/{invented(20000)}"]))
        honest = peer_at(bed, "honest", net.hosts[1])
        victim.connected(honest)
        until(lambda: honest.id in neighbours(bed, victim), "the honest one is a neighbour")
        known = neighbours(bed, victim)
        want(len(known) <= 17, f"{len(known)} neighbours")
        want(invented(20000) not in known and A_PEER not in known and victim.id not in known, "somebody was believed")
        want(status(bed, victim)["counters"]["mdns_dropped"] > 0)


ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"


def invented(number):
    """A peer id that nobody has: an identity multihash of an Ed25519 public key."""
    raw = bytes.fromhex("002408011220") + number.to_bytes(32, "big")
    value, text = int.from_bytes(raw, "big"), ""
    while value:
        value, digit = divmod(value, 58)
        text = ALPHABET[digit] + text
    return "1" * (len(raw) - len(raw.lstrip(b"\0"))) + text


if __name__ == "__main__":
    lan.in_a_namespace()
    main()
