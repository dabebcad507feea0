"""The lists: options, errors, limits, logs, metrics, protocol ids. One row of text in, C tables and documents out."""
from gen.listc import errors, limits, logs, metrics, options, protocols

LISTS = (errors, logs, metrics, protocols, options, limits)


def generate(spec_dir):
    """File name -> text of everything that the build makes from spec/*.list."""
    return merged("generate", spec_dir)


def golden(spec_dir):
    """File name -> sorted dump of each list, committed under gen/golden."""
    return merged("golden", spec_dir)


def merged(which, spec_dir):
    files = {}
    for part in LISTS:
        files.update(getattr(part, which)(spec_dir))
    return files
