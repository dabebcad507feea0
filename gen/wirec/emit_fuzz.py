"""Writer of fuzz_X.gen.c: one libFuzzer target for each message, header and JSON (decode, encode, decode, equal)."""
from gen.wirec.names import snake


def target(place, include, call):
    return f"""/* Made by gen/wirec from {place}; edit that, not this. */
#include "{include}"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{{
    {call}
    return 0;
}}
"""


def of_messages(file):
    """Every message that has a limit of its own; the others are inside these."""
    return {f"fuzz_{snake(m.name)}.gen.c": target(file.place, f"{file.stem}.pb.gen.h",
                                                  f"fuzz_pb(&pg_pb_{snake(m.name)}_table, pg_bytes(data, size));")
            for m in file.messages.values() if m.limit}


def header_call(h):
    return f"""struct pg_{h.name}_header first, second;
    uint8_t out[{h.size}];
    if (size < {h.size} || pg_{h.name}_header_read(&first, data) != PG_OK)
        return 0;
    pg_{h.name}_header_write(&first, out);
    FUZZ_WANT(pg_{h.name}_header_read(&second, out) == PG_OK);
    FUZZ_WANT(memcmp(out, data, sizeof out) == 0);
    FUZZ_WANT(""" + " && ".join(f"first.{f.name} == second.{f.name}" for f in h.fields) + ");"


def of_wire(file):
    include = f"{file.stem}.wire.gen.h"
    made = {f"fuzz_{h.name}_header.gen.c": target(file.place, include, header_call(h)) for h in file.headers}
    for j in file.jsons:
        call = f"fuzz_json(&pg_json_{j.name}_table, pg_bytes(data, size));"
        made[f"fuzz_json_{j.name}.gen.c"] = target(file.place, include, call)
    return made
