"""What a NAT does, found out from outside its rules: mapping and filtering as RFC 4787 (UDP) and RFC 5382 (TCP) name them.

Used by lab_test.py. Two public observers with two ports each are enough: a host with a port asks or is asked, and nothing is read from the
router. Whether something was dropped is not guessed from a silence: the same way carries a fence after it, and the switch without delay
keeps the order, so when the fence has been there and back the question is decided.
"""
import errno
import select
import socket

PATIENCE_S = 20
FIRST, SECOND, THIRD = 7001, 7002, 7003
FENCE_INSIDE, FENCE_OUTSIDE = 3999, 7009

EVERYBODY, SAME_ADDRESS, SAME_PORT = "endpoint-independent", "address-dependent", "address-and-port-dependent"


class Silence(Exception):
    """What had to come did not: there is no way through at all."""


def received(sock):
    """The next datagram and its sender."""
    if not select.select([sock], [], [], PATIENCE_S)[0]:
        raise Silence("a datagram did not come")
    return sock.recvfrom(2048)


def all_received(sock):
    words = set()
    while select.select([sock], [], [], 0)[0]:
        try:
            words.add(sock.recv(2048))
        except ConnectionRefusedError:
            words.add(b"refused")
    return words


def endpoint_kind(seen):
    """From where three outsiders see one inside endpoint: one address and two of its ports, and another address."""
    first, second, other = seen
    if first == second == other:
        return EVERYBODY
    return SAME_ADDRESS if first == second else SAME_PORT


def admitted(stranger, other_port, asked):
    if stranger:
        return EVERYBODY
    if other_port:
        return SAME_ADDRESS
    return SAME_PORT if asked else "nobody"


def listener(node, port):
    sock = node.socket(socket.SOCK_STREAM, port)
    sock.listen(16)
    return sock


def dialled(node, port, to):
    """Begins a TCP connection. A pair of endpoints that is connected already is that of a dial from the other side."""
    sock = node.socket(socket.SOCK_STREAM, port)
    failed = sock.connect_ex(to)
    if failed not in (0, errno.EINPROGRESS, errno.EADDRNOTAVAIL):
        raise Silence(f"the dial failed at once: {errno.errorcode[failed]}")
    return sock


def outcome(sock):
    """What has become of a dial: it passes, was refused, or was dropped, which is that nobody has answered."""
    try:
        sock.getpeername()
        return "passes"
    except OSError:
        return "refused" if sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) else "dropped"


def accepted(sock):
    if not select.select([sock], [], [], PATIENCE_S)[0]:
        raise Silence("a connection did not come")
    return sock.accept()


class Fence:
    """A pair of UDP sockets that are through to each other, from a port of the host that is used for nothing else."""

    def __init__(self, host, outsider, number):
        self.inside = host.socket(socket.SOCK_DGRAM, FENCE_INSIDE - number)
        self.outside = outsider.socket(socket.SOCK_DGRAM, FENCE_OUTSIDE)
        self.there = (outsider.address, FENCE_OUTSIDE)
        self.pass_by()

    def pass_by(self):
        """Twice, as two cores may change the order of what comes close together; begun inside, as the way may have been closed."""
        for _ in range(2):
            self.inside.sendto(b"open", self.there)
            _, back = received(self.outside)
            self.outside.sendto(b"fence", back)
            received(self.inside)
        self.inside.sendto(b"end", self.there)
        received(self.outside)

    def close(self):
        self.inside.close()
        self.outside.close()


class Examination:
    """One host, two observers, and what has been opened for a question. Ports are used for one question each."""

    def __init__(self, host, one, two):
        self.host, self.one, self.two, self.kept = host, one, two, []
        self.fences = [self.keep(Fence(host, node, number)) for number, node in enumerate((one, two))]

    def keep(self, thing):
        self.kept.append(thing)
        return thing

    def close(self):
        for thing in reversed(self.kept):
            thing.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def fence(self):
        for fence in self.fences:
            fence.pass_by()

    def udp(self, node, port):
        return self.keep(node.socket(socket.SOCK_DGRAM, port))

    def udp_mapping(self, port):
        """The mapping, and the endpoint as the first outsider sees it."""
        inside, seen = self.udp(self.host, port), []
        for node, number in ((self.one, FIRST), (self.one, SECOND), (self.two, FIRST)):
            with node.socket(socket.SOCK_DGRAM, number) as outsider:
                inside.sendto(b"where am I", (node.address, number))
                seen.append(received(outsider)[1])
        return endpoint_kind(seen), seen[0]

    def udp_filtering(self, port):
        """After the host has asked one endpoint: who may answer?"""
        inside, asked, other_port = self.udp(self.host, port), self.udp(self.one, FIRST), self.udp(self.one, SECOND)
        stranger = self.udp(self.two, FIRST)
        inside.sendto(b"open", (self.one.address, FIRST))
        _, opened = received(asked)
        for sock, word in ((stranger, b"stranger"), (other_port, b"other port"), (asked, b"asked")):
            sock.sendto(word, opened)
        self.fence()
        words = all_received(inside)
        for sock in (asked, other_port, stranger):
            sock.close()
        return admitted(b"stranger" in words, b"other port" in words, b"asked" in words)

    def udp_unasked(self, port, outside):
        """Nobody has sent anything from this port: what becomes of a datagram to it?"""
        inside, stranger = self.udp(self.host, port), self.udp(self.one, THIRD)
        stranger.connect(outside)
        stranger.send(b"unasked")
        self.fence()
        if b"unasked" in all_received(inside):
            return "passes"
        return "refused" if b"refused" in all_received(stranger) else "dropped"

    def tcp_mapping(self, port):
        seen = []
        for node, number in ((self.one, FIRST), (self.one, SECOND), (self.two, FIRST)):
            with listener(node, number) as outsider:
                self.keep(dialled(self.host, port, (node.address, number)))
                connection, sender = accepted(outsider)
                self.keep(connection)
                seen.append(sender)
        return endpoint_kind(seen), seen[0]

    def tcp_filtering(self, port):
        """With a connection to one endpoint: who may connect to where that is seen? The endpoint itself is busy, so a third one of
        the same address, which the host asks afterwards, stands for it: through when a simultaneous open gets through."""
        self.keep(listener(self.host, port))
        with listener(self.one, FIRST) as outsider:
            self.keep(dialled(self.host, port, (self.one.address, FIRST)))
            connection, seen = accepted(outsider)
        self.keep(connection)
        stranger, other_port, asked = (self.keep(dialled(node, number, seen)) for node, number in
                                       ((self.two, SECOND), (self.one, SECOND), (self.one, THIRD)))
        self.fence()
        through = [outcome(sock) == "passes" for sock in (stranger, other_port)]
        if outcome(asked) != "passes":
            self.keep(dialled(self.host, port, (self.one.address, THIRD)))
            self.fence()
        return admitted(*through, outcome(asked) == "passes")

    def tcp_unasked(self, port, outside):
        self.keep(listener(self.host, port))
        with dialled(self.one, THIRD + 1, outside) as stranger:
            self.fence()
            return outcome(stranger)


def port_kind(inside, outside, foretold):
    if inside == outside:
        return "kept"
    return "shifted" if outside == foretold else "random"


def properties(site, one, two, port=4001):
    """Everything about a site's first host, by name."""
    found = {}
    with Examination(site.host, one, two) as ask:
        for name, mapping, filtering, unasked in (("UDP", ask.udp_mapping, ask.udp_filtering, ask.udp_unasked),
                                                  ("TCP", ask.tcp_mapping, ask.tcp_filtering, ask.tcp_unasked)):
            found[f"{name} mapping"], (found[f"{name} address"], outside) = mapping(port)
            found[f"{name} port"] = port_kind(port, outside, site.outside_port(port))
            found[f"{name} filtering"] = filtering(port + 1)
            found[f"{name} unasked"] = unasked(port + 2, (site.address, site.outside_port(port + 2) or port + 2))
    return found
