"""The simulator holds over hundreds of scenarios, repeats to the byte, and finds faults that are planted.
`make test` runs it under the sanitizers and a thousand scenarios of the release build, `make sim` ten thousand of these."""
import os
import re
import subprocess
import sys

SIM = os.path.join(os.environ["PG_BUILD"], "sim")
SCENARIOS, PATIENCE_S = 250, 1500
ENOUGH = 200  # seeds within which a planted fault has to show; the DHT makes connections of its own, and hides a lost one for a while


def run(*arguments):
    done = subprocess.run([SIM, *map(str, arguments)], capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    return done.returncode, done.stdout + done.stderr


def traces(*arguments):
    return dict(re.findall(r"seed (\d+) trace (\w+)", run("--traces", *arguments)[1]))


def hundreds_of_scenarios_hold():
    status, text = run("--count", SCENARIOS, "--jobs", 2)
    print(text[-2000:])
    sums = re.search(rf"^{SCENARIOS} scenarios, 0 failed; (\d+) clients, (\d+) complete, (\d+) of them had to be, (\d+) faults, (\d+) reloads, "
                     r"(\d+) over circuits, (\d+) of them while", text, re.M)
    assert status == 0 and sums, "a scenario failed"
    clients, complete, strict, faults, reloads, relayed, switched = map(int, sums.groups())
    assert relayed > SCENARIOS / 4 and switched > 0, "circuits have become too rare to say anything"
    assert complete > clients / 3 and strict > clients / 8 and faults > SCENARIOS and reloads > SCENARIOS, "the scenarios have become too poor to say anything"


def a_seed_repeats_to_the_byte():
    alone = [traces("--seed", seed, "--count", 1)[str(seed)] for seed in range(1, 9)]
    among = traces("--seed", 1, "--count", 8)
    apart = traces("--seed", 1, "--count", 8, "--jobs", 2)
    assert alone == [among[str(seed)] for seed in range(1, 9)] == [apart[str(seed)] for seed in range(1, 9)], (alone, among, apart)
    assert len(set(alone)) == 8, "different seeds have the same trace"


def planted():
    status, text = run("--plant", "?")
    names = re.findall(r"^    ([\w-]+): ", text, re.M)
    assert status == 2 and len(names) > 10, text
    return names


def every_planted_fault_is_found():
    late = []
    for name in planted():
        seed, found = 1, None
        while seed <= ENOUGH and not found:
            status, text = run("--seed", seed, "--count", 4, "--plant", name)
            found = re.search(r"FAILED seed (\d+): (.*)", text) if status != 0 else None  # some end in an assert later on
            seed += 4
        print(f"{name}: {found[0] if found else 'not found'}")
        if not found:
            late.append(name)
    assert not late, f"not found within {ENOUGH} seeds: {late}"


def a_failing_seed_replays_by_the_command_that_is_printed():
    _, text = run("--seed", 1, "--count", 4, "--plant", "drop-byte")
    failure = re.search(r"FAILED seed \d+: .*", text)[0]
    command = re.search(r"again: build/sim (.*)", text)[1].split()
    again, same = run(*command), run(*command)
    assert failure in again[1] and again == same, (failure, again, same)


def main():
    for test in (a_seed_repeats_to_the_byte, a_failing_seed_replays_by_the_command_that_is_printed, every_planted_fault_is_found,
                 hundreds_of_scenarios_hold):
        print(f"-- {test.__name__.replace('_', ' ')}", flush=True)
        test()
    print("4 passed, 0 failed")


if __name__ == "__main__":
    sys.exit(main())
