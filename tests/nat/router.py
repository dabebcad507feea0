"""The rules of a router, for nft: what it translates, whom it lets in, for how long. Used by lab.py; see README.md.

Words are those of RFC 4787, sections 4 and 5. What an inside endpoint is mapped to is learned after the translation, in `opened`, and
who may answer there in `permitted`; both have time-outs, and only packets from the inside open or refresh them. Nothing is refused
aloud, what nobody asked for is dropped.
"""
from dataclasses import dataclass, field

# Cones move ports, so that a peer that tells others its listen port is not reached by luck: P to P ^ SHIFT, which no two ports share.
# Two routers in a row move by different distances, as the second would undo what the first has done.
SHIFT, OUTER_SHIFT = 0x4000, 0x2000
LINE, LAN = "line", "lan*"

MAPPING = {"full-cone": "endpoint-independent", "addr-restricted": "endpoint-independent", "port-restricted": "endpoint-independent",
           "symmetric": "address-and-port-dependent"}
FILTERING = {"full-cone": "endpoint-independent", "addr-restricted": "address-dependent",
             "port-restricted": "address-and-port-dependent", "symmetric": "address-and-port-dependent"}
KINDS = tuple(MAPPING)


@dataclass(frozen=True)
class Nat:
    kind: str
    keep_port: bool = False
    shift: int = SHIFT
    timeout_s: int = 300
    hairpin: bool = False
    hosts: int = 1
    behind: "Nat | None" = None             # a router of the provider's, outside of this one
    forwards: tuple = ()                    # ports at which the first inside host is offered to everybody
    spoiled: tuple = field(default=())      # (words of the rules, others): a wrong router, which the self-test has to find out

    def __post_init__(self):
        if self.kind not in KINDS:
            raise ValueError(f"no such kind of NAT: {self.kind}")

    def outside_port(self, port):
        """Where the inside port is seen from outside; None when nobody can tell."""
        if self.kind == "symmetric":
            return None
        return port if self.keep_port else port ^ self.shift


def translation(nat, address):
    if nat.kind == "symmetric":
        return "masquerade fully-random"
    return f"snat ip to {address} : th sport" + ("" if nat.keep_port else f" ^ {nat.shift}")


def entrances(nat, address, first_host):
    """Rules for what comes from outside and may come in without an answer to anything."""
    to_us = f"ip daddr {address} meta l4proto {{ tcp, udp }}"
    for port in nat.forwards:
        yield f"{to_us} th dport {port} dnat ip to {first_host}"
    there = "dnat ip to meta l4proto . th dport map @opened"
    if nat.kind == "full-cone":
        yield f"{to_us} {there}"
    if nat.kind == "addr-restricted":
        yield f"{to_us} meta l4proto . th dport . ip saddr @permitted {there}"


def turnings(nat, address):
    """Rules for what comes from the inside to the router's own address: let in as from outside, where its sender has the port that
    it is mapped to. A symmetric router has no mapping that a neighbour could use."""
    own = "th sport" + ("" if nat.keep_port else f" ^ {nat.shift}")
    to_us = f'iifname "{LAN}" ip daddr {address} meta l4proto {{ tcp, udp }}'
    there = "dnat ip to meta l4proto . th dport map @opened"
    if nat.kind == "addr-restricted":
        # Its address is the same for all of them: who has sent there from a port, has opened that port.
        yield f"{to_us} update @turned {{ meta l4proto . {own} . {own} }}"
        yield f"{to_us} meta l4proto . th dport . th dport @turned {there}"
    if nat.kind == "port-restricted":
        yield f"{to_us} update @turned {{ meta l4proto . {own} . th dport }}"
        yield f"{to_us} meta l4proto . th dport . {own} @turned {there}"


def rules(nat, address, first_host):
    """The whole rule set of a router at `address`; with it goes whatever was open before."""
    came_in = f'iifname {{ "{LINE}"' + (f', "{LAN}" }}' if nat.hairpin else " }")
    went_out = f'oifname "{LINE}"'
    sets = f"flags dynamic,timeout; timeout {nat.timeout_s}s;"
    entering = "\n".join(f"    {came_in} {rule}" for rule in entrances(nat, address, first_host))
    if nat.hairpin:
        entering += "".join(f"\n    {rule}" for rule in turnings(nat, address))
    hairpin = f"""
    iifname "{LAN}" oifname "{LAN}" ct status dnat meta l4proto {{ tcp, udp }} {translation(nat, address)}""" if nat.hairpin else ""
    text = f"""flush ruleset
table ip nat {{
  map opened {{ typeof meta l4proto . th dport : ip saddr . th sport; {sets} }}
  set permitted {{ typeof meta l4proto . th dport . ip saddr; {sets} }}
  set turned {{ type inet_proto . inet_service . inet_service; {sets} }}
  chain entering {{
    type nat hook prerouting priority dstnat; policy accept;
{entering}
  }}
  chain leaving {{
    type nat hook postrouting priority srcnat; policy accept;
    {went_out} meta l4proto {{ tcp, udp }} {translation(nat, address)}{hairpin}
  }}
  chain learning {{
    type filter hook postrouting priority srcnat + 50; policy accept;
    {went_out} ip saddr != {address} drop
    {went_out} meta l4proto {{ tcp, udp }} ct direction original update @opened {{ meta l4proto . th sport : ct original ip saddr . ct original proto-src }}
    {went_out} meta l4proto {{ tcp, udp }} ct direction reply update @opened {{ meta l4proto . th sport : ct reply ip saddr . ct reply proto-src }}
    {went_out} meta l4proto {{ tcp, udp }} update @permitted {{ meta l4proto . th sport . ip daddr }}
  }}
  chain passing {{
    type filter hook forward priority filter; policy drop;
    ct state invalid drop
    iifname "{LAN}" {went_out} accept
    ct state established,related accept
    ct status dnat accept
  }}
  chain arriving {{
    type filter hook input priority filter; policy drop;
    iifname "lo" accept
  }}
}}
"""
    for words, others in nat.spoiled:
        if words not in text:
            raise ValueError(f"the rules of {nat.kind} have no `{words}` that could be spoiled")
        text = text.replace(words, others)
    return text


def settings(nat):
    """Files under /proc/sys/net, and what goes in."""
    track = "netfilter/nf_conntrack_"
    times = {f"{track}{name}": nat.timeout_s for name in ("udp_timeout", "udp_timeout_stream", "tcp_timeout_established")}
    # A router that has lost its tables does not take up connections in their middle.
    return {"ipv4/ip_forward": 1, f"{track}tcp_loose": 0, **times}
