"""Classes found by name: one file each in a folder of the package, then what installed packages registered."""

import functools
import importlib
import importlib.metadata
import pkgutil
from dataclasses import dataclass
from types import ModuleType
from typing import Generic, TypeVar

from decathlon.errors import UsageError, unknown

T = TypeVar("T")


@dataclass(frozen=True)
class Plugins(Generic[T]):
    """The files of a package, each with one subclass of `base`; a file's name is its name, `_` written as `-`.

    Installed packages add modules through the entry-point group called like the package. `kind` names them in
    errors, as in "unknown method 'x'".
    """

    kind: str
    package: str
    base: type[T]

    def names(self) -> dict[str, str]:
        """Map each name to the module that defines it: the package's own files win over entry points."""
        folders = importlib.import_module(self.package).__path__
        files = [entry.name for entry in pkgutil.iter_modules(folders) if not entry.name.startswith("_")]
        own = {name.replace("_", "-"): f"{self.package}.{name}" for name in files}
        return _installed(self.package) | own

    def find(self, name: str) -> type[T]:
        """Return the class called `name`; raises UsageError with the nearest name there is."""
        if name not in self.names():
            raise unknown(self.kind, name, self.names())
        module = self.load(name)
        classes = [thing for thing in vars(module).values() if isinstance(thing, type)]
        own = [one for one in classes if issubclass(one, self.base) and one.__module__ == module.__name__]
        if len(own) != 1:
            raise UsageError(
                f"{self.kind} '{name}' needs exactly one {self.base.__name__} in {module.__name__}, "
                f"but it defines {len(own)}."
            )
        return own[0]

    def load(self, name: str) -> ModuleType:
        """Import the module of a name that exists; raises UsageError where it cannot be imported."""
        module = self.names()[name]
        try:
            return importlib.import_module(module)
        except Exception as error:  # a file from outside may do anything
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            raise UsageError(f"{self.kind} '{name}' cannot be imported ({reason}). Fix {module}.") from error


@functools.cache  # it reads a file of every installed package: 25 ms, and each network asks for several names
def _installed(group: str) -> dict[str, str]:
    """Map the names of an entry-point group to the modules that define them."""
    return {point.name: point.value for point in importlib.metadata.entry_points(group=group)}
