"""Registries: all components of one kind that a study can name, built in or from plugins.

A component (an objective, a benchmark, a figure ...) registers itself when its module is imported.
The modules of heirloom's package for that kind are imported when the registry is first used, and so
are the study's plugins, which may hold components of any kind.
"""

import difflib
import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, Generic, TypeVar

from pydantic import AfterValidator, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from heirloom.support.errors import HeirloomError
from heirloom.support.plugins import load_plugins

Component = TypeVar("Component")


class Registry(Generic[Component]):
    """Components of one kind, by name.

    Args:
        kind: Name of the kind in messages, such as "benchmark".
        package: The package of heirloom whose modules register components of this kind.
    """

    def __init__(self, kind: str, package: str) -> None:
        self.kind, self.package = kind, package
        self._components: dict[str, Component] = {}
        self._sources: dict[str, Path] = {}
        self._discovered = False

    def register(
        self, name: str, component: Component, *, source: Callable[..., Any] | type
    ) -> None:
        """Add a component.

        Args:
            name: Its name in a study file.
            component: The component.
            source: A function or class of the module that defines it.

        Raises:
            HeirloomError: Another file has registered this name.
        """
        # unwrap: a decorated function is defined where it is written, not where its decorator is.
        file = inspect.getsourcefile(inspect.unwrap(source))
        if file is None:
            raise HeirloomError(f"{self.kind} {name!r} has no source file to depend on.")
        path = Path(file).resolve()
        earlier = self._sources.get(name)
        if earlier is not None and earlier != path:
            raise HeirloomError(
                f"The {self.kind} {name!r} is defined twice, in {earlier} and in {path}: rename "
                "one of them."
            )
        self._components[name], self._sources[name] = component, path

    def get(self, name: str) -> Component:
        """Return the component called `name`.

        Raises:
            HeirloomError: There is none. The message names the most similar one and lists all.
        """
        known = self.names()
        if name not in known:
            nearest = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
            hint = f" Did you mean {nearest[0]!r}?" if nearest else ""
            raise HeirloomError(
                f"There is no {self.kind} {name!r}.{hint} Known: {', '.join(known) or 'none'}."
            )
        return self._components[name]

    def names(self) -> list[str]:
        """Names of all components, sorted."""
        self._discover()
        return sorted(self._components)

    def source(self, name: str) -> Path:
        """File that defines the component called `name`."""
        self.get(name)
        return self._sources[name]

    def __iter__(self) -> Iterator[Component]:
        """All components, in the order of their names."""
        return iter([self._components[name] for name in self.names()])

    def __contains__(self, name: object) -> bool:
        return name in self.names()

    def _discover(self) -> None:
        """Import every module that may register a component of this kind, once."""
        if self._discovered:
            return
        # Set first: a module may use the registry while it is being imported.
        self._discovered = True
        package = importlib.import_module(self.package)
        for module in pkgutil.iter_modules(package.__path__, prefix=f"{self.package}."):
            try:
                importlib.import_module(module.name)
            except HeirloomError:
                raise
            except Exception as error:
                raise HeirloomError(
                    f"{module.name.replace('.', '/')}.py could not be imported: "
                    f"{type(error).__name__}: {error}. Packages that only one {self.kind} needs "
                    "must be imported inside its function."
                ) from error
        load_plugins()


class _Names:
    """Writes the names of a registry into the JSON schema of a setting."""

    def __init__(self, names: Callable[[], list[str]]) -> None:
        self.names = names

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {"type": "string", "enum": self.names()}


def name_in(
    registry: Registry[Component], *, only: Callable[[Component], bool] | None = None
) -> Any:
    """Type of a setting that names a component: a string, checked against the registry.

    Args:
        registry: The registry.
        only: Predicate that a component must satisfy to be allowed.

    Example:
        >>> backend: name_in(BACKENDS) = Field("auto", description="What generates.")
    """

    def allowed() -> list[str]:
        names = registry.names()
        return [name for name in names if only is None or only(registry.get(name))]

    def check(name: str) -> str:
        try:
            registry.get(name)
        except HeirloomError as error:
            raise ValueError(str(error)) from None
        if name not in allowed():
            raise ValueError(
                f"the {registry.kind} {name!r} cannot be used here; use {' or '.join(allowed())}"
            )
        return name

    return Annotated[str, AfterValidator(check), _Names(allowed)]
