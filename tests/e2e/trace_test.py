"""A real run recorded by --trace and played again by build/replay: equal commands, or the first difference."""
import os
import pathlib
import stat
import subprocess

from peers import PUNCHGATE, echo, exchange, main, pattern, same, speaks, test, until, want

REPLAY = str(pathlib.Path(PUNCHGATE).parent / "replay")


def replay(path, patience=60):
    done = subprocess.run([REPLAY, path], capture_output=True, text=True, timeout=patience, check=False)
    return done.returncode, (done.stdout + done.stderr).strip()


class Scene:
    """Two peers that record, and a tunnel between them."""

    def __init__(self, bed):
        self.folder = pathlib.Path(bed.folder.name)
        self.traces = [str(self.folder / f"{name}.trace") for name in ("provider", "consumer")]
        service = bed.service(echo)
        self.provider = bed.peer("provider", "--expose", f"echo=127.0.0.1:{service.port}", "--trace", self.traces[0])
        self.consumer = bed.peer("consumer", "--tunnel", f"{self.provider.addr}:echo@127.0.0.1:0", "--trace", self.traces[1])
        self.client = lambda: bed.connect(self.consumer.tunnel_port("echo"))

    def transfer(self, size):
        data = pattern(size)
        want(exchange(self.client(), data) == data, "the echo differs")


@test
def a_recorded_transfer_is_played_again_with_equal_commands(bed):
    scene = Scene(bed)
    for size in (0, 1, 70_000, 3_000_000):
        scene.transfer(size)
    scene.consumer.stop()
    scene.provider.stop()
    for path in scene.traces:
        status, text = replay(path)
        same(status, 0, text)
        want(text.startswith("equal: ") and "no end" not in text, text)


@test
def a_trace_of_a_killed_process_is_played_up_to_its_death(bed):
    scene = Scene(bed)
    scene.transfer(100_000)
    want(speaks(scene.client()))
    scene.provider.kill()
    status, text = replay(scene.traces[0])
    same(status, 0, text)
    want("the process was killed" in text, text)


@test
def a_trace_that_was_changed_reports_the_first_difference(bed):
    scene = Scene(bed)
    scene.transfer(500_000)
    scene.consumer.stop()
    whole = bytearray(pathlib.Path(scene.traces[1]).read_bytes())
    changed = str(scene.folder / "changed.trace")
    for place in (len(whole) // 3, len(whole) // 2):
        bent = bytearray(whole)
        bent[place] ^= 1
        pathlib.Path(changed).write_bytes(bent)
        status, text = replay(changed)
        same(status, 1, text)
        want(text.startswith("differs: at byte ") and "after the start" in text, text)
    cut = whole[:len(whole) // 2]
    pathlib.Path(changed).write_bytes(cut)
    status, text = replay(changed)
    want(status == 1 and "the file" in text, text)


@test
def what_is_no_recording_is_refused(bed):
    path = pathlib.Path(bed.folder.name) / "nothing.trace"
    for text in (b"", b"punchgate", b"punchgate trace 1\n", b"punchgate trace 1\nF\xff\xff"):
        path.write_bytes(text)
        status, said = replay(str(path))
        want(status == 2 and said.startswith("replay: "), said)
    same(replay(str(path) + "x"), (2, f"replay: {path}x: No such file or directory"))
    same(replay(bed.folder.name)[0], 2, "status of a folder")


@test
def a_trace_is_for_its_owner_only_and_holds_no_key_of_the_identity(bed):
    scene = Scene(bed)
    scene.transfer(1000)
    for peer, path in ((scene.provider, scene.traces[0]), (scene.consumer, scene.traces[1])):
        same(stat.S_IMODE(os.stat(path).st_mode), 0o600, "mode")
        keys = [p.read_bytes() for p in scene.folder.glob("*.key") if p.is_file()]
        want(len(keys) >= 2, "the identity files are where they are looked for")
        peer.stop()
        whole = pathlib.Path(path).read_bytes()
        for key in keys:
            want(key[-64:-32] not in whole, "the secret half is in the trace")
        want(any(key[-32:] in whole for key in keys), "the public half is")


@test
def a_trace_does_not_take_the_place_of_another_file(bed):
    path = pathlib.Path(bed.folder.name) / "taken"
    path.write_text("precious")
    peer = bed.bare("peer", "--trace", str(path))
    same(peer.wait(), 78, "exit status")
    until(lambda: "name a file that does not exist yet" in peer.text(), "the reason is told")
    same(path.read_text(), "precious")


if __name__ == "__main__":
    main()
