"""What channel lines of .sys say of the C: an action that sends a message calls, itself or through what it calls and steps, something
that writes to the other side; one that ends a direction is heard as that, too; one that is `last` ends the stream or the connection, and
no other does; what is heard is made somewhere; and no action of these machines writes by itself without a line, unless it is named here with its reason.
Called by verify.py. Serves docs/SPEC-LANGUAGE.md, "Two ends"."""
import re

WRITES = {"pg_stream_write", "pg_stream_end", "pg_yamux_frame", "pg_conn_send"}
ENDS = {"pg_stream_reset", "PG_COMMAND_CLOSE", "PG_COMMAND_RESET", "PG_YAMUX_RST"}
ENDED = (".stream.ended", ".hop.odd")  # how the end of a direction is heard; the second: an end in place of an answer
LINKS = {"PG_COMMAND_CLOSE", "PG_COMMAND_RESET"}  # which may be those of a local client
INDIRECT = re.compile(r"->(?:n\.)?send\(")       # a negotiation does not know what carries it
STEP = re.compile(r"\bpg_(?:step|post)\([^;]*?\bPG_([A-Z0-9_]+)_ON_([A-Z0-9_]+)\)")
FUNCTION = re.compile(r"^(?:static )?[a-z][\w *]*?\b\*?(\w+)\([^;{]*\)\n\{\n(.*?)^\}", re.M | re.S)
CALL = re.compile(r"\b([a-z_]\w*)\(")
# machine: {action: why there is no line}
ALONE = {
    "tunnel_consumer": {"pipe.begin": "bytes of clients and services are not counted"},
    "tunnel_provider": {"pipe.begin": "bytes of clients and services are not counted"},
    "hop_serve": {"circuit.begin": "bytes of a circuit are not counted", "target.drop": "the target's stream is stop_connect's, in stop_ends"},
    "hop_reserve": {"stream.leave": "ends a stream on which the answer has come"},
    "autonat2_ask": {"stream.leave": "ends a stream on which the answer has come"},
    "yamux_session": {"ping.send": "asks for a sign of life, which decides nothing at the other side", "pong.send": "answers that",
                      "stream.accept": "streams have systems of their own", "stream.refuse": "streams have systems of their own"},
}
# machine: {actions: why the other side need not hear that they end their stream}
BESIDE = {
    "autonat2_ask": {("nonce.confirm", "nonce.refuse"): "the nonce has a stream of its own", ("stream.drop",): "and this one has another"},
    "autonat2_serve": {("nonce.send",): "the nonce has a stream of its own", ("stream.drop",): "and the question another",
                       ("success.answer", "failure.answer", "undelivered.answer", "refusal.answer", "rejection.answer"): "nothing follows an answer"},
}


def beside(machine, action):
    return any(action in actions for actions in BESIDE.get(machine, {}))


class Sources:
    """The functions of some C files, and what can be reached from them."""
    def __init__(self, files, machines):
        self.bodies = {}     # (file, name) -> text
        self.public = {}     # name -> file, of those that others can call
        for file, text in files.items():
            for match in FUNCTION.finditer(text):
                self.bodies[file, match[1]] = match[2]
                if not text[match.start():].startswith("static"):
                    self.public[match[1]] = file
        self.by_word = {m.name.upper(): m for m in machines}

    def words(self, file, name, steps, seen):
        """Primitives that a function comes to. steps: through machines that it steps, too."""
        key = (file, name) if (file, name) in self.bodies else (self.public.get(name), name)
        if key in seen or key not in self.bodies:
            return set()
        seen.add(key)
        body = self.bodies[key]
        found = {word for word in WRITES | ENDS if re.search(rf"\b{word}\b", body)}
        if INDIRECT.search(body):
            found.add("send")
        for called in set(CALL.findall(body)) - WRITES - ENDS:
            found |= self.words(key[0], called, steps, seen)
        for machine, event in STEP.findall(body) if steps else ():
            for action in self.actions(machine, event):
                found |= self.words(*action, steps, seen)
        return found

    def actions(self, word, event):
        machine = self.by_word.get(word)
        for row in machine.rows if machine else ():
            if event in (e.replace(".", "_").upper() for e in row.events):
                for act in (act for act in row.acts if act.kind == "CALL"):
                    name = f"pg_{machine.name}_do_{act.name.replace('.', '_')}"
                    yield self.public.get(name), name

    def of_action(self, machine, action, steps):
        name = f"pg_{machine}_do_{action.replace('.', '_')}"
        return self.words(self.public.get(name), name, steps, set()) if name in self.public else None


def lines_of(systems):
    """Each channel line once for each of its actions: system, channel, sending."""
    return [(s, c, x) for s in systems for c in s.channels for x in c.sendings]


def problems(machines, systems, files):
    """files: name -> text of all C of src/."""
    out = []
    sources = Sources(files, machines)
    every = "".join(files.values())
    said = {}  # machine -> actions that have a line
    for s in systems:
        if s.opening:
            said.setdefault(s.opening.machine.partition(".")[2], set()).add(s.opening.action)
    for s, channel, sending in lines_of(systems):
        machine = sending.machine.partition(".")[2]
        where = f"{s.name}, channel {channel.name}: {machine} {sending.action}"
        said.setdefault(machine, set()).add(sending.action)
        words = sources.of_action(machine, sending.action, True)
        if words is None:
            out.append(f"{where}: src/ has no function of it")
        elif not words:
            out.append(f"{where}: nothing that it calls writes to the other side")
        elif not beside(machine, sending.action) and "pg_stream_end" in words and not any(event.endswith(ENDED) for way in sending.messages for event in way):
            out.append(f"{where}: its C ends its direction of the stream, and nobody hears of it")
        elif sending.last and not words & ENDS:
            out.append(f"{where}: is `last`, and its C ends nothing")
        elif not beside(machine, sending.action) and not sending.last and sources.of_action(machine, sending.action, False) & ENDS:
            out.append(f"{where}: is not `last`, and its C ends the stream or the link")
        for event in dict.fromkeys(event for way in sending.messages for event in way):
            hearers = [m.name.partition(".")[2] for m in s.factors if m.name.startswith(channel.target + ".") and event in m.events]
            made = event.partition(".")[2].replace(".", "_").upper()
            if not any(f"PG_{hearer.upper()}_ON_{made}" in every for hearer in hearers):
                out.append(f"{where}: is heard as {event}, which src/ never makes")
    for machine in machines:
        for action in machine.actions if machine.name in said else ():
            words = sources.of_action(machine.name, action, False)
            if words and words - LINKS and action not in said[machine.name] and action not in ALONE.get(machine.name, {}):
                out.append(f"machine {machine.name}, action {action}: it writes to the other side, and no channel line says so")
    return out


def summary(systems):
    """The line that `make verify` prints."""
    lines = lines_of(systems)
    alone = ", ".join(f"{machine} {action}" for machine, actions in ALONE.items() for action in actions)
    return f"channels: {len(lines)} sendings of {len({s.name for s, _, _ in lines})} systems write what they say; in none: {alone or 'nothing'}"
