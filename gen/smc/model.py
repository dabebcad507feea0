"""What a .sm file says, as plain data. Filled by reader.py, judged by check.py, written out by the writers."""
import dataclasses

VERDICTS = ("on", "ignore", "reject", "never")
TIMER_ACTS = {"start": "TIMER_START", "stop": "TIMER_STOP"}
COUNT_ACTS = {"up": "COUNT_UP", "down": "COUNT_DOWN", "zero": "COUNT_ZERO"}


@dataclasses.dataclass
class Named:
    name: str
    line: int
    shown: str = ""  # the name after `as`: what users and logs see

    @property
    def c(self):
        return self.name.replace(".", "_")


@dataclasses.dataclass
class State(Named):
    initial: bool = False
    final: bool = False


@dataclasses.dataclass
class Count(Named):
    low: int = 0
    high: int = 0


@dataclasses.dataclass
class Timer(Named):
    ms: int = 0          # 0: the duration is computed
    duration: str = ""   # name of the C function that computes it
    text: str = ""       # as written


@dataclasses.dataclass
class Event(Named):
    source: str = ""     # wire, world, inside, or nothing said
    timer: str = ""      # the timer that fires it


@dataclasses.dataclass
class Export(Named):
    states: list = dataclasses.field(default_factory=list)


@dataclasses.dataclass(frozen=True)
class Act:
    kind: str            # CALL, TIMER_START, …
    name: str            # of the action, timer or count

    def __str__(self):
        suffix = {v: k for k, v in {**TIMER_ACTS, **COUNT_ACTS}.items()}.get(self.kind)
        return f"{self.name}.{suffix}" if suffix else self.name


@dataclasses.dataclass(frozen=True)
class Emit:
    event: str
    to: str              # owner, each or sister
    machine: str         # empty for owner

    def __str__(self):
        return f"{self.event} to " + {"owner": "owner", "each": f"each {self.machine}", "sister": self.machine}[self.to]


@dataclasses.dataclass
class Row:
    """One line of text; it may stand for several states and several events."""
    line: int
    verdict: str
    states: list
    events: list
    guard: dict          # condition name -> wanted truth; None for `else`
    to: str = ""         # empty: stay
    sets: list = dataclasses.field(default_factory=list)
    clears: list = dataclasses.field(default_factory=list)
    acts: list = dataclasses.field(default_factory=list)
    emits: list = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class Machine:
    name: str
    path: str
    line: int
    keys: list = dataclasses.field(default_factory=list)
    at_most: int = 1
    owners: list = dataclasses.field(default_factory=list)
    sources: list = dataclasses.field(default_factory=list)  # texts of `from` lines
    states: dict = dataclasses.field(default_factory=dict)
    flags: dict = dataclasses.field(default_factory=dict)
    facts: dict = dataclasses.field(default_factory=dict)
    counts: dict = dataclasses.field(default_factory=dict)
    timers: dict = dataclasses.field(default_factory=dict)
    events: dict = dataclasses.field(default_factory=dict)
    actions: dict = dataclasses.field(default_factory=dict)
    exports: dict = dataclasses.field(default_factory=dict)
    rows: list = dataclasses.field(default_factory=list)

    @property
    def conditions(self):
        """Names of the condition bits, from bit 0, as machine.h lays them out."""
        ends = [f"{c}.{end}" for c in self.counts for end in ("low", "high")]
        return [*self.flags, *self.facts, *ends]

    @property
    def initial(self):
        return next(s.name for s in self.states.values() if s.initial)
