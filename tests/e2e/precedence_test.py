"""Flag over environment over file over default, seen from outside."""
from peers import echo, free_port, main, same, speaks, test, want


def port_of(peer):
    return peer.port


@test
def a_flag_wins_over_the_environment_which_wins_over_the_file(bed):
    in_flag, in_variable, in_file = free_port(), free_port(), free_port()
    config = bed.path / "p.conf"
    config.write_text(f"listen = /ip4/127.0.0.1/tcp/{in_file}\n")
    variable = {"PUNCHGATE_LISTEN": f"/ip4/127.0.0.1/tcp/{in_variable}"}
    peer = bed.peer("one", "--config", config, "--listen", f"/ip4/127.0.0.1/tcp/{in_flag}", listen=None, **variable)
    same(([a.split("/")[4] for a in peer.addrs]), [str(in_flag)])
    peer = bed.peer("two", "--config", config, listen=None, **variable)
    same(([a.split("/")[4] for a in peer.addrs]), [str(in_variable)])
    peer = bed.peer("three", "--config", config, listen=None)
    same(([a.split("/")[4] for a in peer.addrs]), [str(in_file)])


@test
def the_file_is_found_in_its_place(bed):
    folder = bed.path / "config" / "punchgate"
    folder.mkdir(parents=True)
    port = free_port()
    (folder / "punchgate.conf").write_text(f"# mine\nlisten = /ip4/127.0.0.1/tcp/{port}\nready-json = 1\n")
    peer = bed.bare("peer", "--identity", "x.key", XDG_CONFIG_HOME=bed.path / "config")
    peer.wait_ready()
    same(peer.port, port)
    peer.saw("configuration file read", path=str(folder / "punchgate.conf"))


@test
def everything_can_come_from_the_environment(bed):
    one, two = bed.service(echo), bed.service(echo)
    provider = bed.bare("provider", PUNCHGATE_IDENTITY="p.key", PUNCHGATE_LISTEN="/ip4/127.0.0.1/tcp/0",
                        PUNCHGATE_READY_JSON="1", PUNCHGATE_EXPOSE=f"one=127.0.0.1:{one.port},two=127.0.0.1:{two.port}")
    provider.wait_ready()
    consumer = bed.bare("consumer", PUNCHGATE_IDENTITY="c.key", PUNCHGATE_LISTEN="/ip4/127.0.0.1/tcp/0",
                        PUNCHGATE_READY_JSON="1", PUNCHGATE_BOOTSTRAP=provider.addr,
                        PUNCHGATE_TUNNEL=f"{provider.id}:one@127.0.0.1:0,{provider.id}:two@127.0.0.1:0")
    consumer.wait_ready()
    want(speaks(bed.connect(consumer.tunnel_port("one"))))
    want(speaks(bed.connect(consumer.tunnel_port("two"))))


@test
def everything_can_come_from_the_file(bed):
    service = bed.service(echo)
    (bed.path / "p.conf").write_text(f"identity = p.key\nlisten = /ip4/127.0.0.1/tcp/0\nready-json = 1\ncontrol = off\n"
                                     f"expose = echo=127.0.0.1:{service.port}\n")
    provider = bed.bare("provider", "--config", "p.conf")
    provider.wait_ready()
    (bed.path / "c.conf").write_text(f"[punchgate]\nidentity = c.key\nlisten = /ip4/127.0.0.1/tcp/0\nready-json = 1\n"
                                     f"bootstrap = {provider.addr}\ntunnel = {provider.id}:echo@127.0.0.1:0\n")
    consumer = bed.bare("consumer", PUNCHGATE_CONFIG="c.conf")
    consumer.wait_ready()
    want(speaks(bed.connect(consumer.tunnel_port("echo"))))


@test
def an_option_of_an_item_cannot_stand_first_in_a_list(bed):
    status, _, error = bed.run(PUNCHGATE_EXPOSE="allow=x,web=127.0.0.1:80")
    same(status, 2)
    want("PUNCHGATE_EXPOSE" in error, error)


if __name__ == "__main__":
    main()
