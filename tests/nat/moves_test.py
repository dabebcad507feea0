"""What becomes of tunnels when the machine itself moves: another address, a cable that is out for a while, another way out. No byte
is ever wrong, and nobody has to do anything. Run by nat.py."""
import contextlib
import time

from nat import full, slow
from peers import same, test, until, want
from router import Nat
from ways_test import NEW_PATH_S, Town, direct_to, is_served, serves_again

# Who moves is behind a symmetric router, which maps the new address to other ports: our cones map by the port alone, and there the
# old address still has it.
STAYS, MOVES = Nat("addr-restricted"), Nat("symmetric")


@contextlib.contextmanager
def town_with_a_direct_way(bed, office=STAYS, home=MOVES, spare=None):
    """Yields a tunnel of the home's to the office, over a punched hole."""
    with Town(bed, office, home, more={"spare": spare} if spare else {}) as town:
        town.open_office()
        consumer, client = town.tunnel()
        until(lambda: is_served(client) and direct_to(consumer, town.office), "a direct connection stands", NEW_PATH_S)
        yield town, consumer, client


@slow
@test
def a_tunnel_serves_again_when_the_machine_at_home_has_another_address(bed):
    with town_with_a_direct_way(bed) as (town, consumer, client):
        directs = len(direct_to(consumer, town.office))
        town.lab["home"].renumber("192.168.1.77")
        serves_again(town, consumer, client, directs)
        same(len(consumer.find("this machine's addresses have changed")), 1)


@slow
@test
def a_tunnel_serves_again_when_the_machine_at_the_office_has_another_address(bed):
    with town_with_a_direct_way(bed, MOVES, STAYS) as (town, consumer, client):
        directs = len(direct_to(consumer, town.office))
        town.lab["office"].renumber("192.168.1.77")
        serves_again(town, consumer, client, directs)


@full
@test
def a_tunnel_serves_again_when_the_cable_has_been_out_and_is_in_again(bed):
    with town_with_a_direct_way(bed) as (town, consumer, client):
        with town.lab["home"].unplugged():
            time.sleep(5)
            want(not is_served(client, 1), "bytes flow without a cable")
        serves_again(town, consumer, client)


@full
@test
def a_tunnel_serves_again_when_another_address_has_come_while_the_cable_was_out(bed):
    with town_with_a_direct_way(bed, MOVES, STAYS) as (town, consumer, client):
        with town.lab["office"].unplugged():
            time.sleep(5)
            town.lab["office"].renumber("192.168.1.77", up=False)
        serves_again(town, consumer, client)


@slow
@test
def a_tunnel_serves_again_when_the_way_out_leads_through_another_router(bed):
    with town_with_a_direct_way(bed, spare=MOVES) as (town, consumer, client):
        town.lab["home"].go_out_by(town.lab["spare"])
        serves_again(town, consumer, client)
