"""The key commands: every form of both types there and back, files that are never written over, keys that openssl reads and makes."""
import base64
import json
import stat
import subprocess

from peers import main, same, test, want

TYPES = {"ed25519": ("12D3KooW", 68), "secp256k1": ("16Uiu2HA", 36)}
FORMS = ("protobuf", "kubo", "pem")


def key(bed, *words):
    status, out, error = bed.run("key", *words)
    same((status, error), (0, ""), f"key {words}")
    return out


def refused(bed, *words, says, status=78):
    got, out, error = bed.run("key", *words)
    same((got, out), (status, ""), f"key {words}: {error}")
    same(len(error.strip().splitlines()), 1, f"lines of {error!r}")
    want(says in error, error)


def openssl(bed, *words):
    done = subprocess.run(["openssl", *map(str, words)], capture_output=True, cwd=bed.path, timeout=60)
    want(done.returncode == 0, done.stderr.decode(errors="replace"))
    return done.stdout


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


@test
def a_new_key_is_what_its_type_says_and_a_peer_can_be_it(bed):
    for kind, (prefix, size) in TYPES.items():
        path = bed.path / f"{kind}.key"
        peer = key(bed, "new", "--type", kind, "--out", path).strip()
        want(peer.startswith(prefix), peer)
        same((len(path.read_bytes()), mode(path)), (size, 0o600))
        same(bed.run("id", "--identity", path)[1].strip(), peer)
        shown = json.loads(key(bed, "show", path, "--json"))
        same((shown["event"], shown["type"], shown["peer"]), ("key", kind, peer))
        want(shown["cid"].startswith("bafzaa"), shown["cid"])
        public = base64.b64decode(shown["public_key"])
        same(public[:2], bytes([8, 1 if kind == "ed25519" else 2]), "the public key's protobuf")
        running = bed.bare(kind, "--identity", path, "--listen", "/ip4/127.0.0.1/tcp/0", "--ready-json")
        running.wait_ready()
        same(running.id, peer)


@test
def every_form_of_both_types_goes_there_and_back(bed):
    for kind in TYPES:
        first = bed.path / f"{kind}.protobuf"
        peer = key(bed, "new", "--type", kind, "--out", first).strip()
        for form in FORMS:
            other, back = bed.path / f"{kind}.{form}.x", bed.path / f"{kind}.{form}.back"
            same(key(bed, "export", first, "--format", form, "--out", other).strip(), peer)
            same(mode(other), 0o600)
            want(peer in key(bed, "show", other), f"{form} is shown as another peer")
            same(key(bed, "import", other, "--out", back).strip(), peer)
            same(back.read_bytes(), first.read_bytes(), f"{kind} by way of {form}")
            made = bed.path / f"{kind}.{form}.made"
            fresh = key(bed, "new", "--type", kind, "--format", form, "--out", made).strip()
            want(fresh != peer and fresh in key(bed, "show", made), f"a new key as {form}")


@test
def what_kubo_keeps_is_the_base64_of_the_protobuf(bed):
    key(bed, "new", "--out", bed.path / "a")
    key(bed, "export", bed.path / "a", "--format", "kubo", "--out", bed.path / "b")
    text = (bed.path / "b").read_text()
    same(base64.b64decode(text), (bed.path / "a").read_bytes())
    (bed.path / "c").write_text(f"  {text.strip()[:30]}\r\n{text.strip()[30:]}\n\n")
    same(key(bed, "show", bed.path / "c"), key(bed, "show", bed.path / "a"), "spaces and line ends around it")


@test
def openssl_reads_our_pem_and_we_read_its(bed):
    for kind, private in (("ed25519", ("genpkey", "-algorithm", "ed25519")),
                          ("secp256k1", ("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:secp256k1"))):
        theirs, ours, exported = (bed.path / f"{kind}.{x}" for x in ("theirs", "ours", "exported"))
        openssl(bed, *private, "-out", theirs)
        peer = key(bed, "import", theirs, "--out", ours).strip()
        key(bed, "export", ours, "--format", "pem", "--out", exported)
        same(openssl(bed, "pkey", "-in", exported, "-outform", "DER", "-pubout"),
             openssl(bed, "pkey", "-in", theirs, "-outform", "DER", "-pubout"), f"{kind}: the public key")
        want(b"BEGIN PRIVATE KEY" in exported.read_bytes(), "not PKCS#8")
        want(peer.startswith(TYPES[kind][0]), peer)
    openssl(bed, "ecparam", "-name", "secp256k1", "-genkey", "-out", "old.pem")  # parameters first, then SEC 1
    want("secp256k1" in key(bed, "show", bed.path / "old.pem"), "the older form")


@test
def keys_that_cannot_be_ours_are_refused_with_the_reason(bed):
    cases = (("rsa", ("genpkey", "-algorithm", "RSA"), "another type"),
             ("p256", ("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"), "another type"),
             ("x25519", ("genpkey", "-algorithm", "x25519"), "another type"),
             ("locked", ("genpkey", "-algorithm", "ed25519", "-aes256", "-pass", "pass:x"), "encrypted"))
    for name, words, reason in cases:
        openssl(bed, *words, "-out", name)
        for command in (("show", name), ("import", name, "--out", "new"), ("export", name, "--format", "kubo", "--out", "new")):
            refused(bed, *command, says=reason)
    for name, content, reason in (("empty", b"", "empty"), ("noise", b"{}!?" * 40, "neither libp2p protobuf nor base64 of it nor PEM: name one that is"), ("short", b"\x08\x01\x12\x40abc", "not a libp2p"),
                                  ("ecdsa", bytes.fromhex("08031203") + b"abc", "RSA or ECDSA"), ("text", b"aGVsbG8=\n", "not a libp2p"),
                                  ("pem", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "not a private key in PEM"),
                                  ("ssh", b"-----BEGIN OPENSSH PRIVATE KEY-----\n", "OpenSSH"), ("big", b"A" * 9000, "too long")):
        (bed.path / name).write_bytes(content)
        (bed.path / name).chmod(0o600)
        refused(bed, "import", name, "--out", "new", says=reason)
    refused(bed, "show", "nowhere", says='there is no key file "nowhere"')
    want(not (bed.path / "new").exists(), "something was made")


@test
def no_key_file_is_ever_written_over(bed):
    path, other = bed.path / "a", bed.path / "b"
    key(bed, "new", "--out", path)
    key(bed, "new", "--out", other)
    before = path.read_bytes()
    refused(bed, "new", "--out", path, says="there already")
    refused(bed, "import", other, "--out", path, says="there already")
    refused(bed, "export", other, "--format", "pem", "--out", path, says="there already")
    (bed.path / "link").symlink_to(bed.path / "nothing")
    refused(bed, "new", "--out", bed.path / "link", says="there already")
    same(path.read_bytes(), before)
    same(sorted(p.name for p in bed.path.iterdir()), ["a", "b", "link"], "files left behind")


@test
def what_is_missing_or_too_much_is_told(bed):
    refused(bed, "new", says="--out is missing; write punchgate key new --out FILE", status=2)
    refused(bed, "show", says="FILE is missing; write punchgate key show FILE", status=2)
    refused(bed, "show", "a", "b", says="one word too many", status=2)
    refused(bed, "turn", says='"key" "turn" is no command; there are key new, key show, key import, key export', status=2)
    refused(bed, says='"key" is no command; there are key new', status=2)
    refused(bed, "new", "--type", "rsa", "--out", "x", says="--type", status=2)
    refused(bed, "show", "a", "--out", "x", says="--out is no option of key show", status=2)
    same(bed.run("key", "new", "--json")[1].count('"code":"usage"'), 1)


@test
def help_is_there_for_the_group_and_for_each_command(bed):
    group = key(bed, "--help")
    for word in ("new", "show FILE", "import FILE", "export FILE"):
        want(f"punchgate key {word}" in group, group)
    want("--type ed25519|secp256k1" in key(bed, "new", "--help"), "options of key new")
    want("key import FILE" in bed.run("--help")[1], "the list of commands")


@test
def a_broken_configuration_does_not_keep_anybody_from_their_keys(bed):
    (bed.path / "punchgate").mkdir()
    (bed.path / "punchgate" / "punchgate.conf").write_text("nonsense\n")
    status, _, error = bed.run("key", "new", "--out", "a", XDG_CONFIG_HOME=bed.path)
    same((status, error), (0, ""))


@test
def run_makes_the_type_asked_for_and_writes_it_where_asked(bed):
    listen = ("--listen", "/ip4/127.0.0.1/tcp/0", "--ready-json")
    first = bed.bare("first", "--identity", "a", "--identity-type", "secp256k1", "--identity-out", "deep/b", *listen)
    first.wait_ready()
    want(first.id.startswith("16Uiu2HA"), first.id)
    same((bed.path / "deep/b").read_bytes(), (bed.path / "a").read_bytes())
    same(mode(bed.path / "deep/b"), 0o600)
    first.stop()
    again = bed.bare("again", "--identity", "deep/b", "--identity-out", "a", *listen)  # the same key is there: fine
    again.wait_ready()
    same(again.id, first.id)
    again.stop()
    key(bed, "new", "--out", "c")
    before = (bed.path / "c").read_bytes()
    status, _, error = bed.run("--identity", "a", "--identity-out", "c", "--listen", "/ip4/127.0.0.1/tcp/0")
    same(status, 78)
    want('"c" holds another key' in error, error)
    same((bed.path / "c").read_bytes(), before)
    other = bed.bare("other", "--identity", "a", "--identity-type", "ed25519", *listen)
    other.wait_ready()
    same(other.id, first.id)
    want("--identity-type is for new keys" in other.text(), "no word about the type")


@test
def peers_of_both_types_reach_each_other(bed):
    one = bed.peer("one", "--identity-type", "secp256k1")
    two = bed.peer("two", "--bootstrap", one.addr)
    two.connected(one)
    three = bed.peer("three", "--identity-type", "secp256k1", "--bootstrap", two.addr)
    three.connected(two)
    four = bed.peer("four", "--identity-type", "secp256k1", "--bootstrap", one.addr)
    four.connected(one)


if __name__ == "__main__":
    main()
