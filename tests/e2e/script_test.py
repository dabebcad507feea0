"""The script tests/e2e/tunnel: exit status and the three logs."""
import os
import subprocess

from peers import PUNCHGATE, ROOT, main, same, test, want


@test
def the_tunnel_script_passes_and_leaves_its_logs(bed):
    logs = bed.path / "logs"
    done = subprocess.run([ROOT / "tests/e2e/tunnel"], env=bed.environment(PUNCHGATE=PUNCHGATE, LOGS=logs, RUST_LOG="info"),
                          capture_output=True, text=True, timeout=120)
    same(done.returncode, 0, done.stdout + done.stderr)
    want(done.stdout.endswith("passed\n"), done.stdout)
    same(sorted(os.listdir(logs)), ["echo.log", "peer-a.log", "peer-b.log"])
    want("15 bytes" in (logs / "echo.log").read_text(), "the echo server has not counted the payload")


@test
def the_tunnel_script_fails_when_the_program_does(bed):
    done = subprocess.run([ROOT / "tests/e2e/tunnel"], env=bed.environment(PUNCHGATE="/bin/false", LOGS=bed.path / "logs"),
                          capture_output=True, text=True, timeout=120)
    want(done.returncode != 0 and "failed" in done.stdout, done.stdout)


if __name__ == "__main__":
    main()
