"""unix:/path as target of --expose and as local end of --tunnel: bytes, ends, and what is said when the socket is not as it must be."""
import os
import socket
import stat

from peers import echo, exchange, how_it_ends, main, pattern, read_exactly, refused_at, same, speaks, test, until, want


def pair(bed, path):
    provider = bed.peer("provider", "--expose", f"s=unix:{path}")
    consumer = bed.peer("consumer", "--tunnel", f"{provider.addr}:s@127.0.0.1:0")
    consumer.connected(provider)
    return provider, consumer, consumer.tunnel_port("s")


@test
def a_tunnel_leads_to_a_unix_socket_and_both_ends_are_passed_on(bed):
    path = bed.path / "s.sock"
    service = bed.service(echo, path=path)
    provider, _, port = pair(bed, path)
    want(speaks(bed.connect(port)))
    data = pattern(5_000_000)
    want(exchange(bed.connect(port), data) == data, "other bytes came back")
    accepted = provider.saw("tunnel accepted", service="s")
    same(accepted.fields["local_addr"], f"unix:{path}")
    same(service.clients, 2)


@test
def a_service_that_ends_first_or_closes_at_once_is_passed_on(bed):
    path = bed.path / "s.sock"
    bed.service(lambda client: client.sendall(b"bye"), path=path)
    _, _, port = pair(bed, path)
    same(how_it_ends(bed.connect(port)), ("eof", b"bye"))


@test
def a_socket_that_is_not_there_is_told_with_the_reason_but_its_path_stays_here(bed):
    path = bed.path / "missing.sock"
    provider, consumer, port = pair(bed, path)
    refused_at(port)
    rejected = consumer.saw("client tunnel rejected", service="s", reason="service cannot be reached: No such file or directory")
    want("missing.sock" not in rejected.text, rejected.text)
    said = provider.saw("tunnel rejected", service="s")
    want(f"unix:{path}" in said.text and "No such file or directory" in said.text, said.text)
    bed.service(echo, path=path)
    want(speaks(bed.connect(port)), "the socket is there now")


@test
def a_socket_that_nobody_answers_and_a_file_that_is_none_are_refused(bed):
    path = bed.path / "left.sock"
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(path))
    left.close()
    _, consumer, port = pair(bed, path)
    refused_at(port)
    consumer.saw("client tunnel rejected", reason="Connection refused")
    path.unlink()
    path.write_text("a file")
    refused_at(port)
    until(lambda: len(consumer.find("client tunnel rejected", reason="Connection refused")) == 2, "the second refusal")


@test
def a_service_whose_queue_is_full_is_told(bed):
    path = bed.path / "s.sock"
    bed.service(None, path=path, backlog=0)
    for _ in range(4):
        client = socket.socket(socket.AF_UNIX)
        client.setblocking(False)
        bed.sockets.append(client)
        try:
            client.connect(str(path))
        except BlockingIOError:
            break
    _, consumer, port = pair(bed, path)
    refused_at(port)
    consumer.saw("client tunnel rejected", reason="its queue of connections is full")


@test
def no_permission_is_told(bed):
    if os.geteuid() == 0:
        # Root may open every socket: the peer runs as somebody else.
        import pwd
        user = pwd.getpwnam("nobody")
    path = bed.path / "s.sock"
    bed.service(echo, path=path)
    os.chmod(path, 0)
    if os.geteuid() != 0:
        _, consumer, port = pair(bed, path)
        refused_at(port)
        consumer.saw("client tunnel rejected", reason="Permission denied")
        return
    os.chmod(bed.path, 0o755)
    home = bed.path / "nobody"
    home.mkdir()
    os.chown(home, user.pw_uid, user.pw_gid)
    peer = bed.as_user(user.pw_uid, "provider", "--identity", home / "p.key", "--listen", "/ip4/127.0.0.1/tcp/0", "--ready-json",
                       "--expose", f"s=unix:{path}")
    consumer = bed.peer("consumer", "--tunnel", f"{peer.addr}:s@127.0.0.1:0")
    consumer.connected(peer)
    refused_at(consumer.tunnel_port("s"))
    consumer.saw("client tunnel rejected", reason="Permission denied")


@test
def a_tunnel_may_listen_at_a_unix_socket_of_its_user(bed):
    service = bed.service(echo)
    provider = bed.peer("provider", "--expose", f"echo=127.0.0.1:{service.port}")
    path = bed.path / "t.sock"
    consumer = bed.peer("consumer", "--tunnel", f"{provider.addr}:echo@unix:{path}")
    same(consumer.saw("tunnel listening", service_name="echo").fields["actual_addr"], f"unix:{path}")
    consumer.connected(provider)
    same(stat.S_IMODE(path.stat().st_mode), 0o600, "mode")
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(20)
    bed.sockets.append(client)
    client.connect(str(path))
    client.sendall(b"hello")
    same(read_exactly(client, 5), b"hello")
    client.close()
    consumer.stop()
    want(not path.exists(), "the socket is still there")


@test
def a_place_that_is_taken_is_told_and_other_tunnels_stand(bed):
    provider = bed.peer("provider")
    taken, file = bed.path / "taken.sock", bed.path / "file"
    bed.service(None, path=taken)
    file.write_text("mine")
    consumer = bed.peer("consumer", "--tunnel", f"{provider.id}:a@unix:{taken}", "--tunnel", f"{provider.id}:b@unix:{file}",
                        "--tunnel", f"{provider.id}:c@unix:{bed.path}/none/c.sock", "--tunnel", f"{provider.id}:d@127.0.0.1:0")
    failed = until(lambda: len(consumer.find("tunnel failed")) == 3 and consumer.find("tunnel failed"), "three failures")
    for entry, words in zip(failed, ("Address already in use", "", "No such file or directory")):
        want(words in entry.text and "unix:" in entry.text, entry.text)
    consumer.saw("tunnel listening", service_name="d")
    same(file.read_text(), "mine", "a file that was there before")


@test
def a_path_that_no_socket_can_have_is_wrong_usage(bed):
    long = "/" + "x" * 107
    status, _, error = bed.run("--expose", f"s=unix:{long}")
    same(status, 2)
    want("more than 107 bytes" in error and "shorter" in error, error)
    status, _, error = bed.run("--expose", "s=unix:relative.sock")
    same(status, 2)
    want("unix:/PATH" in error, error)


if __name__ == "__main__":
    main()
