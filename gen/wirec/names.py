"""Names: how those of a .proto become those of C."""
import re

C_WORDS = set("""auto bool break case char const continue default do double else enum extern float for goto if inline int
long register restrict return short signed sizeof static struct switch typedef union unsigned void volatile while""".split())


def snake(name):
    """publicKey, PublicKey and Message.Peer become public_key, public_key and message_peer."""
    name = re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", name.replace(".", "_"))
    return re.sub(r"([A-Z]+)([A-Z][a-z])", r"\1_\2", name).lower()


def c_field(name):
    name = snake(name)
    return name + "_" if name in C_WORDS else name


def place(spec_dir, path):
    """How a file is called in messages to people: from the folder that holds spec/ on."""
    return path.relative_to(spec_dir.parent).as_posix()
