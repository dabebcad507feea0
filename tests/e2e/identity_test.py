"""Identity files: made once, kept, protected, and clear words when they are no good."""
import os
import stat

from peers import main, same, test, until, want


def started(bed, path, name="peer"):
    return bed.bare(name, "--identity", path, "--listen", "/ip4/127.0.0.1/tcp/0", "--ready-json")


def refused(bed, path, *words, status=78):
    """run and id refuse the file, name it and say one of the words."""
    for command in ([], ["id"]):
        extra = [] if command else ["--listen", "/ip4/127.0.0.1/tcp/0"]
        got, out, error = bed.run(*command, "--identity", path, *extra)
        same(got, status, f"exit status of {command or 'run'}: {error}")
        want(os.path.basename(str(path)) in error, f"the file is not named: {error}")
        want(any(word in error for word in words), error)
        same(out, "", "standard output")
        same(len(error.strip().splitlines()), 1, f"lines of {error!r}")


@test
def the_peer_id_is_the_same_after_a_restart(bed):
    path = bed.path / "id.key"
    first = started(bed, path)
    first.wait_ready()
    first.saw("generated new identity", peer_id=first.id)
    first.stop()
    second = started(bed, path)
    second.wait_ready()
    second.saw("loaded identity", peer_id=first.id)
    same(second.id, first.id)
    same(bed.run("id", "--identity", path)[1].strip(), first.id)


@test
def the_file_is_made_with_its_folders_and_readable_by_nobody_else(bed):
    path = bed.path / "a" / "b" / "id.key"
    before = os.umask(0)
    try:
        peer = started(bed, path)
        peer.wait_ready()
    finally:
        os.umask(before)
    same(stat.S_IMODE(path.stat().st_mode), 0o600, "mode")
    data = path.read_bytes()
    same((len(data), data[:4]), (68, bytes.fromhex("08011240")), "libp2p's form")
    same([p.name for p in path.parent.iterdir() if "sock" not in p.name], ["id.key"], "files that were left behind")


@test
def without_an_option_it_stands_in_the_working_folder(bed):
    peer = bed.bare("peer", "--listen", "/ip4/127.0.0.1/tcp/0", "--ready-json")
    peer.wait_ready()
    same(stat.S_IMODE((bed.path / "identity.key").stat().st_mode), 0o600, "mode")


@test
def id_never_makes_a_file(bed):
    path = bed.path / "none.key"
    status, out, error = bed.run("id", "--identity", path)
    same((status, out), (78, ""))
    want("none.key" in error, error)
    want(not path.exists(), "id has made a file")


@test
def an_empty_file_is_refused(bed):
    path = bed.path / "empty.key"
    path.write_bytes(b"")
    refused(bed, path, "empty")
    same(path.read_bytes(), b"", "the file")


@test
def a_truncated_file_is_refused_and_left_alone(bed):
    path = bed.path / "good.key"
    peer = started(bed, path)
    peer.wait_ready()
    peer.stop()
    cut = bed.path / "cut.key"
    cut.write_bytes(path.read_bytes()[:40])
    refused(bed, cut, "not a libp2p private key", "cannot be used", "broken", "bytes")
    same(len(cut.read_bytes()), 40, "bytes of the file")


@test
def a_key_whose_halves_do_not_fit_is_refused(bed):
    path = bed.path / "good.key"
    peer = started(bed, path)
    peer.wait_ready()
    peer.stop()
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    wrong = bed.path / "wrong.key"
    wrong.write_bytes(data)
    refused(bed, wrong, "key", "cannot be used")


@test
def garbage_and_folders_are_refused(bed):
    path = bed.path / "text.key"
    path.write_text("-----BEGIN NONSENSE-----\n")
    refused(bed, path, "key")
    folder = bed.path / "folder.key"
    folder.mkdir()
    refused(bed, folder, "folder", "directory", "regular file")


@test
def a_file_that_others_can_read_is_used_with_a_warning(bed):
    path = bed.path / "open.key"
    peer = started(bed, path)
    peer.wait_ready()
    peer.stop()
    path.chmod(0o644)
    again = started(bed, path)
    again.wait_ready()
    same(again.id, peer.id)
    until(lambda: "open.key" in again.text() and "chmod" in again.text(), "the warning names the file and the remedy")


@test
def a_link_to_a_file_is_followed(bed):
    path = bed.path / "real.key"
    peer = started(bed, path)
    peer.wait_ready()
    peer.stop()
    link = bed.path / "link.key"
    link.symlink_to(path)
    again = started(bed, link)
    again.wait_ready()
    same(again.id, peer.id)


@test
def a_folder_that_cannot_be_written_is_told(bed):
    refusing = bed.path / "file"
    refusing.write_text("not a folder")
    status, _, error = bed.run("--identity", refusing / "id.key", "--listen", "/ip4/127.0.0.1/tcp/0")
    want(status in (77, 78), f"status {status}")
    want("id.key" in error or "file" in error, error)


@test
def a_full_disk_leaves_no_half_a_file(bed):
    if not os.path.exists("/dev/full"):
        return
    # Only root may make a full file system; a limit on the size of files does the same to the write.
    import resource
    import subprocess
    from peers import PUNCHGATE

    def limit():
        import signal
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))

    path = bed.path / "id.key"
    done = subprocess.run([PUNCHGATE, "--identity", path, "--listen", "/ip4/127.0.0.1/tcp/0"], cwd=bed.path,
                          env=bed.environment(), stderr=subprocess.PIPE, preexec_fn=limit, timeout=20)
    want(done.returncode in (1, 77, 78), f"status {done.returncode}: {done.stderr}")
    want(b"id.key" in done.stderr, f"{done.stderr}")
    same(list(bed.path.glob("*key*")), [], "files that were left behind")


if __name__ == "__main__":
    main()
