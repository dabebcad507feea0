"""What happens to a peer's tunnels when its router does something to it, and when the way is bad. Run by nat.py."""
from lab import Lab
from nat import SWITCH, slow
from peers import echo, exchange, pattern, speaks, test, until, want
from router import Nat

PORT = 4001
# A peer learns of a way that is gone by its pings, which are rare.
NOTICED_S = 120


def at_home(bed, lab):
    """A provider in public and a consumer behind the router; returns what connects a local client of the tunnel."""
    provider_host, home = lab["provider"].host, lab["home"].host
    with provider_host.inside():
        service = bed.service(echo)
        provider = bed.peer("provider", "--expose", f"echo=127.0.0.1:{service.port}", listen=f"/ip4/0.0.0.0/tcp/{PORT}")
    with home.inside():
        consumer = bed.peer("consumer", "--bootstrap", f"/ip4/{lab['provider'].address}/tcp/{PORT}/p2p/{provider.id}",
                            "--tunnel", f"{provider.id}:echo@127.0.0.1:0", listen=f"/ip4/0.0.0.0/tcp/{PORT}")
    consumer.connected(provider)
    port = consumer.tunnel_port("echo")
    def client():  # noqa: E306
        with home.inside():
            return bed.connect(port)
    return consumer, client


def served(client):
    """Whether a new client is served, now or a little later."""
    try:
        with client() as connection:
            connection.settimeout(15)
            return speaks(connection)
    except (OSError, AssertionError):
        return False


def laboratory(**router):
    return Lab(SWITCH, {"provider": None, "home": Nat("symmetric", **router)})


@slow
@test
def a_tunnel_is_there_again_after_the_router_has_rebooted(bed):
    with laboratory() as lab:
        _, client = at_home(bed, lab)
        want(served(client))
        with lab["home"].router.rebooting():
            pass
        until(lambda: served(client), "the tunnel serves again", NOTICED_S)


@slow
@test
def a_tunnel_is_there_again_after_the_router_has_another_address(bed):
    with laboratory() as lab:
        _, client = at_home(bed, lab)
        want(served(client))
        lab["home"].move(lab["home"].address.rsplit(".", 1)[0] + ".2")
        until(lambda: served(client), "the tunnel serves again", NOTICED_S)


def keeps_its_bytes(bed, shows, **way):
    """A tunnel over a bad way, which has done at every site what `shows` names."""
    with laboratory() as lab:
        _, client = at_home(bed, lab)
        lab.way(**way)
        sent = pattern(1_000_000)
        with client() as connection:
            want(exchange(connection, sent) == sent, "the echo differs")
        counts = lab.counts()
        want(all(counts[name][what] > 0 for name in lab.sites for what in shows), f"the way was good: {counts}")
        lab.way()


@test
def a_tunnel_through_a_router_keeps_its_bytes_over_a_way_that_loses_and_reorders(bed):
    keeps_its_bytes(bed, ("lost", "overtaken"), delay_ms=5, loss_percent=2, reorder_percent=5, late_ms=5)


@slow
@test
def a_tunnel_keeps_its_bytes_over_a_way_on_which_packets_come_twice(bed):
    keeps_its_bytes(bed, ("twice",), delay_ms=5, reorder_percent=10, late_ms=20, twice_percent=20)


@slow
@test
def a_tunnel_finds_the_size_of_packets_that_a_way_takes_without_a_word_where_the_kernel_probes(bed):
    """A router that drops what is longer than 1280 bytes and says nothing: RFC 4821, which Linux does when it is switched on."""
    with laboratory() as lab:
        for site in ("provider", "home"):
            lab[site].host.set({"ipv4/tcp_mtu_probing": 1})
        _, client = at_home(bed, lab)
        want(served(client))
        lab.way(delay_ms=5, most_bytes=1280)
        sent = pattern(300_000)
        with client() as connection:
            connection.settimeout(NOTICED_S)
            want(exchange(connection, sent) == sent, "the echo differs")
        want(lab.counts()["provider"]["too_long"] > 0, "nothing was too long for the way")
        lab.way()
