"""Logs: where they go, how lines look, and every event that a tunnel can cause."""
import json
import re

from peers import Entry, echo, exchange, free_port, how_it_ends, main, pattern, refused_at, same, speaks, test, until, want

A_STRANGER = "12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN"
DURATION = re.compile(r"\d+(\.\d+)?(ns|µs|ms|s)")


def lively(bed, **environment):
    """A pair that has done a bit of everything."""
    service = bed.service(echo)
    provider = bed.peer("provider", "--expose", f"echo=127.0.0.1:{service.port}",
                        "--expose", f"down=127.0.0.1:{free_port()}", **environment)
    consumer = bed.peer("consumer", "--bootstrap", provider.addr,
                        *(w for s in ("echo", "down", "nope") for w in ("--tunnel", f"{provider.id}:{s}@127.0.0.1:0")),
                        **environment)
    return provider, consumer


@test
def every_line_has_the_layout_of_the_original(bed):
    provider, consumer = lively(bed)
    for service in ("echo", "down", "nope"):
        if service == "echo":
            same(exchange(bed.connect(consumer.tunnel_port(service)), b"xyz"), b"xyz")
        else:
            refused_at(consumer.tunnel_port(service))
    consumer.saw("client tunnel closed", service="echo")
    for peer in (provider, consumer):
        bad = [e.text for e in peer.entries() if not e.parsed]
        same(bad, [], f"lines of {peer.name} in another layout")
        want(len(peer.entries()) > 10, "hardly a line")


@test
def the_events_of_a_connection_have_their_fields(bed):
    provider, consumer = lively(bed)
    consumer.connected(provider)
    opened = consumer.saw("connection opened", peer=provider.id)
    same((opened.level, opened.target), ("INFO", "cli::node"))
    same(opened.fields["endpoint"], f"Dialer {{ address: {provider.addr}, role_override: Dialer, port_use: Reuse }}")
    opened = provider.saw("connection opened", peer=consumer.id)
    want(re.fullmatch(r"Listener \{ local_addr: /ip4/127\.0\.0\.1/tcp/\d+, send_back_addr: /ip4/127\.0\.0\.1/tcp/\d+ \}",
                      opened.fields["endpoint"]), opened.text)
    ping = consumer.saw("ping", peer=provider.id)
    same((ping.level, ping.target), ("INFO", "cli::node"))
    want(DURATION.fullmatch(ping.fields["rtt"]), ping.text)
    consumer.stop()
    closed = provider.saw("connection closed", peer=consumer.id)
    same((closed.level, closed.fields["remaining"]), ("INFO", "0"))


@test
def the_events_of_a_start_have_their_fields(bed):
    provider, consumer = lively(bed)
    consumer.connected(provider)
    same(consumer.saw("generated new identity", peer_id=consumer.id).target, "cli::identity")
    same(consumer.saw("starting punchgate node").fields["local_peer_id"], consumer.id)
    same(consumer.saw("dialing bootstrap peer").fields["addr"], provider.addr)
    consumer.saw(f"bootstrap peer {provider.id} connected, entering discovery")
    moved = consumer.saw("phase transition", event="BootstrapConnected")
    same((moved.fields["from"], moved.fields["to"]), ('"Initializing"', '"Discovering"'))
    want(int(moved.fields["commands"]) >= 1, moved.text)
    done = consumer.saw("event processed", event="ListeningOn")
    same((done.level, done.target), ("DEBUG", "cli::node"))
    want("commands" in done.fields, done.text)


@test
def the_events_of_a_tunnel_have_their_fields_and_count_the_bytes(bed):
    provider, consumer = lively(bed)
    want(exchange(bed.connect(consumer.tunnel_port("echo")), pattern(70_000)) == pattern(70_000))
    asked = provider.saw("tunnel request", peer_id=consumer.id, service="echo")
    same((asked.level, asked.target), ("INFO", "cli::tunnel"))
    accepted = provider.saw("tunnel accepted", peer_id=consumer.id, service="echo")
    want(re.fullmatch(r"127\.0\.0\.1:\d+", accepted.fields["local_addr"]), accepted.text)
    closed = provider.saw("tunnel closed", peer_id=consumer.id, service="echo")
    same((closed.fields["bytes_to_service"], closed.fields["bytes_from_service"]), ("70000", "70000"))
    closed = consumer.saw("client tunnel closed", service="echo")
    same((closed.level, closed.fields["bytes_to_remote"], closed.fields["bytes_from_remote"]), ("INFO", "70000", "70000"))
    listening = consumer.saw("tunnel listening", service_name="echo")
    same((listening.level, listening.fields["remote_peer"]), ("INFO", provider.id))
    client = consumer.saw("new tunnel client")
    same(client.level, "DEBUG")


@test
def the_events_of_refused_and_broken_tunnels_have_their_fields(bed):
    provider, consumer = lively(bed)
    refused_at(consumer.tunnel_port("nope"))
    refused_at(consumer.tunnel_port("down"))
    refused = provider.saw("tunnel rejected", peer_id=consumer.id, service="nope")
    same((refused.level, refused.target, refused.fields["reason"]), ("WARN", "cli::tunnel", '"unknown service"'))
    refused = consumer.saw("client tunnel rejected", service="nope")
    same((refused.level, refused.fields["reason"]), ("WARN", "unknown service: nope"))
    consumer.saw("client tunnel rejected", service="down")
    live = bed.connect(consumer.tunnel_port("echo"))
    want(speaks(live))
    provider.kill()
    broken = consumer.saw("client tunnel error", service="echo")
    same(broken.level, "WARN")
    want(broken.fields["error"], broken.text)


@test
def a_tunnel_that_the_peer_cuts_is_an_error_of_the_provider(bed):
    provider, consumer = lively(bed)
    want(speaks(bed.connect(consumer.tunnel_port("echo"))))
    consumer.kill()
    broken = provider.saw("tunnel error", peer_id=consumer.id)
    same(broken.level, "WARN")


@test
def the_filters_of_the_readme_work(bed):
    def levels(**environment):
        peer = bed.peer(f"peer{len(bed.peers)}", "--bootstrap", f"/ip4/127.0.0.1/tcp/{free_port()}/p2p/{A_STRANGER}",
                        **environment)
        peer.saw("outgoing connection error")
        peer.stop()
        return {(e.level, e.target.split("::")[0]) for e in peer.entries()}
    info = levels(RUST_LOG="info")
    want(("INFO", "cli") in info and not any(level == "DEBUG" for level, _ in info), f"{info}")
    want(("DEBUG", "cli") in levels(RUST_LOG="cli=debug"))
    want(("DEBUG", "cli") in levels(RUST_LOG="debug"))
    same({level for level, _ in levels(RUST_LOG="cli=warn")}, {"WARN"})
    same(levels(RUST_LOG="info", PUNCHGATE_LOG="cli::node=warn"), {("WARN", "cli")})


@test
def without_a_filter_info_holds(bed):
    peer = bed.peer("peer", RUST_LOG="")
    peer.stop()
    levels = {e.level for e in peer.entries()}
    want("INFO" in levels and "DEBUG" not in levels, f"{levels}")


@test
def a_filter_that_is_not_understood_is_told_and_does_not_silence(bed):
    peer = bed.peer("peer", RUST_LOG="===")
    peer.stop()
    want("log filter" in peer.text() and "starting punchgate node" in peer.text(), peer.text())


@test
def colours_come_only_when_they_are_asked_for(bed):
    want("\x1b" not in bed.peer("plain").text(), "colours in a file")
    want("\x1b[" in bed.peer("forced", CLICOLOR_FORCE="1").text(), "CLICOLOR_FORCE has no effect")
    want("\x1b" not in bed.peer("none", CLICOLOR_FORCE="1", NO_COLOR="1").text(), "NO_COLOR has no effect")


@test
def json_lines_are_json(bed):
    peer = bed.peer("peer", "--log-format", "json")
    peer.stop()
    lines = [json.loads(line) for line in peer.text().splitlines()]
    same(list(lines[0]), ["ts", "level", "target", "message", "fields"], "keys")
    start = next(e for e in lines if e["message"] == "starting punchgate node")
    same(start["fields"], {"local_peer_id": peer.id})


@test
def every_step_of_a_machine_can_be_watched(bed):
    peer = bed.peer("peer", RUST_LOG="machine::step=debug")
    peer.stop()
    steps = [e for e in peer.entries() if e.target == "machine::step"]
    want(steps, "no step was logged")
    want(all({"event", "from", "to", "line"} <= set(e.fields) for e in steps), steps[0].text)


if __name__ == "__main__":
    main()
