"""Pages for people out of the same tables that ship: one for each machine, an index, the wire, errors, logs, metrics.

machines.py and mermaid.py write the pages of machines, index.py the list of them, lists.py and wire.py the rest; notes.py
finds the comments that the readers leave out. Pure text to text, like the other parts; nothing here is reviewed as golden."""
from gen import smc
from gen.docs import index, lists, machines, wire
from gen.smc import system


def generate(spec_dir):
    """File name -> text of every page, below the build's folder for generated files."""
    checked = smc.load(spec_dir)
    systems = system.load(spec_dir, {c.machine.name: c.machine for c in checked})
    makers = machines.Makers(spec_dir, checked, systems)
    files = {f"machines/{c.machine.name}.md": machines.page(spec_dir, c.machine, makers) for c in checked}
    files["machines/README.md"] = index.page(spec_dir, checked, systems)
    files["wire.md"] = wire.page(spec_dir)
    files.update(lists.pages(spec_dir))
    return files


def golden(spec_dir):
    """Nothing: the pages say no more than the dumps of the tables do, and those are the ones to review."""
    return {}
