"""Control machines: spec/machine/*.sm and spec/system/*.sys in, C tables and golden dumps out.

reader.py reads, cells.py and check.py judge, write_c.py and golden.py write; system.py and write_system.py are for .sys files."""
import functools

from gen.smc import golden as golden_writer
from gen.smc import system, write_c, write_system
from gen.smc.check import check_machine, check_together
from gen.smc.reader import read_machine


def load(spec_dir):
    """Every machine of a spec, read and checked, by name in alphabetical order."""
    files = sorted((spec_dir / "machine").glob("*.sm"))
    return load_cached(spec_dir, tuple((f, f.read_text(encoding="utf-8")) for f in files))


@functools.lru_cache(maxsize=4)
def load_cached(spec_dir, files):
    checked = [check_machine(read_machine(f, f"{spec_dir.name}/machine/{f.name}")) for f, _ in files]
    check_together(checked)
    return checked


def generate(spec_dir):
    """File name -> text of everything that the build compiles."""
    checked = load(spec_dir)
    machines = {c.machine.name: c.machine for c in checked}
    files = write_c.index(checked)
    for c in checked:
        name = c.machine.name
        files[f"{name}.gen.h"] = write_c.header(c)
        files[f"{name}.gen.c"] = write_c.tables(c, machines)
        files[f"{name}.bind.gen.c"] = write_c.binding(c)
    for s in system.load(spec_dir, machines):
        files.update(write_system.generate(s))
    return files


def golden(spec_dir):
    """File name -> sorted dump, committed under gen/golden."""
    checked = load(spec_dir)
    files = {f"{c.machine.name}.machine.txt": golden_writer.dump(c) for c in checked}
    for s in system.load(spec_dir, {c.machine.name: c.machine for c in checked}):
        files[f"{s.name}.system.txt"] = write_system.golden(s)
    return files
