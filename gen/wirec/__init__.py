"""The wire languages: .proto with .bounds, and .wire. In: spec/proto and spec/wire. Out: C tables and their golden dumps."""
from gen.wirec import bounds, emit_fuzz, emit_pb, emit_wire, proto, wire


def read(spec_dir):
    """All messages and all wire specifications, checked, in the order of file names."""
    errors = wire.error_names(spec_dir)
    messages = [bounds.read(spec_dir, proto.read(spec_dir, path)) for path in sorted((spec_dir / "proto").glob("*.proto"))]
    wires = [wire.read(spec_dir, path, errors) for path in sorted((spec_dir / "wire").glob("*.wire"))]
    return messages, wires


def generate(spec_dir):
    """File name -> text of everything that the build makes from these languages."""
    messages, wires = read(spec_dir)
    files = {}
    for file in messages:
        files.update(emit_pb.files(file))
        files.update(emit_fuzz.of_messages(file))
    for file in wires:
        files.update(emit_wire.files(file))
        files.update(emit_fuzz.of_wire(file))
    return files


def golden(spec_dir):
    """File name -> sorted dump of each language's tables, committed under gen/golden."""
    messages, wires = read(spec_dir)
    return {"proto.txt": joined(emit_pb.golden, messages), "wire.txt": joined(emit_wire.golden, wires)}


def joined(dump, files):
    return "".join(line + "\n" for line in sorted(line for file in files for line in dump(file)))
