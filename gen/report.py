"""How the generator refuses: always with the file and line that a person has to look at."""


class SpecError(Exception):
    def __init__(self, path, line, message):
        super().__init__(f"{path}:{line}: {message}")
