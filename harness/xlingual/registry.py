"""Plugins by name: task families, metrics, model backends, readers of training text: a look-up imports one file."""

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any, Generic, TypeVar

from . import plugins
from .errors import UsageError
from .plugin import Asker, DataSource, Metric, Model, ModelOptions, Source, Task, TextSource
from .plugin_code import PluginCode, code_of
from .plugin_files import PluginOffer, find_plugins, plugin_stem
from .records import Corpus, Examples
from .text import did_you_mean

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """A family of tasks: one file, one task a language or direction."""

    name: str
    tasks: Callable[[], Iterator[Task]]
    default: tuple[str, ...]
    """Variants that the bare family name stands for, globs allowed."""
    scope: tuple[str, ...]
    """Variants that the bare family name stands for when languages are chosen, before they filter it."""
    find: Callable[[str], list[Task]] | None = None
    """Makes the tasks of a variant where a family is too large to list; UsageError where there are none."""


Opener = Callable[[str, ModelOptions], Model]
"""Opens the model that the words after `BACKEND:` name; weights are loaded at the first answer."""


@dataclass(frozen=True, slots=True)
class Registered(Generic[Item]):
    """An item, the module that registered it, and the name as it was given."""

    item: Item
    module: str
    name: str
    given_code: PluginCode | None = None
    """Where it is no Python module that registered it, but a file that is read."""

    @property
    def code(self) -> PluginCode:
        """The code that it is of."""
        return self.given_code or code_of(self.module)


class Registry(Generic[Item]):
    """Items of one kind by name; a name is taken once, a miss says what is near.

    A plugin that cannot be imported, or a name that two have, is an error of the look-up of that name and of no other.
    """

    def __init__(self, kind: str, noun: str) -> None:
        """`kind` is the plugin folder ("tasks", "tasks/sources"), `noun` what one item is called in messages."""
        self.kind = kind
        self.noun = noun
        self._items: dict[str, Registered[Item]] = {}
        self._reserved: dict[str, str] = {}
        self._package = f"{plugins.__name__}.{kind.replace('/', '.')}"
        _REGISTRIES.append(self)

    def add(self, name: str, item: Item, module: str, code: PluginCode | None = None) -> None:
        """Take `name` for `item`; UsageError if another module has it, or if it is not the name of the module's file.

        A file of another kind may bring an item along: a task file its metric. `code` is for what is no Python module,
        with the name that its module would have.
        """
        if name in self._reserved:
            raise self.is_taken(name, owner=self._reserved[name], by=code_of(module).place)
        given, name = name, plugin_stem(name)
        stem = plugin_stem(module.removeprefix(f"{self._package}.").partition(".")[0])
        if module.startswith(f"{self._package}.") and stem != name:
            raise self._misnamed(stem, where=code_of(module).place)
        present = self._items.get(name)
        if present is not None and present.module != module:
            raise UsageError(f"{self.noun} {name!r} is registered by {present.module} and by {module}")
        if _LOADING and (self.kind, name) in _LOADING[-1]:
            raise UsageError(f"the {self.noun} {name!r} is registered twice", where=code_of(module).place)
        if _LOADING:
            _LOADING[-1].add((self.kind, name))
        self._items[name] = Registered(item, module, given, code)

    def reserve(self, names: Sequence[str], *, owner: str) -> None:
        """Keep `names` for what `owner` has of its own."""
        self._reserved |= dict.fromkeys(names, owner)

    def is_taken(self, name: str, *, owner: str, by: str) -> UsageError:
        """Return the error that a plugin takes a name of `owner`'s."""
        return UsageError(
            f"the {self.noun} {name!r} is {owner}'s own and is registered again", where=by, hint="give it another name"
        )

    def names(self) -> list[str]:
        """Return every name that a plugin file or entry point offers, sorted, without importing any."""
        return sorted({*find_plugins(self.kind), *self._items})

    def get(self, name: str) -> Item:
        """Import the plugin `name` and return what it registered; UsageError with close names if there is none.

        Raises PluginError where the plugin cannot be imported.
        """
        return self.find(name).item

    def find(self, name: str) -> Registered[Item]:
        """Return what `get` returns, with the module that it is from.

        UsageError for a name that nothing has, or that two plugins have.
        """
        name = plugin_stem(name)
        offers = find_plugins(self.kind).get(name, [])
        places = [offer.place for offer in offers]
        if name in self._items and places and self._is_foreign(name, offers[0]):
            places.append(self._items[name].code.place)
        if len(places) > 1:
            raise UsageError(
                f"the plugin {name!r} is in {' and in '.join(places)}",
                where=self.kind,
                hint="rename one of them, or take its folder out of $XLINGUAL_PLUGINS",
            )
        if name not in self._items:
            if not offers:
                raise UsageError(f"no such {self.noun}: {name!r}", hint=did_you_mean(name, self.names()))
            self._load(offers[0])
        if name not in self._items:
            raise self._misnamed(name, where=offers[0].place if offers else "")
        return self._items[name]

    def _is_foreign(self, name: str, offer: PluginOffer) -> bool:
        """Whether another module than the file of that name has registered it."""
        stem = plugin_stem(self._items[name].module.removeprefix(f"{self._package}.").partition(".")[0])
        return offer.is_file and stem != name

    def origin(self, name: str) -> str:
        """Return the module that registered `name`, which must have been looked up before."""
        return self._items[plugin_stem(name)].module

    def of_module(self, module: str) -> list[str]:
        """Return the names that a module has registered."""
        return sorted(each.name for each in self._items.values() if each.module == module)

    def forget(self, name: str) -> None:
        """Drop what was registered by a name, with all that its module brought to any registry."""
        present = self._items.get(plugin_stem(name))
        for registry in _REGISTRIES if present is not None else ():
            registry._items = {
                each: registered
                for each, registered in registry._items.items()
                if present is None or registered.module != present.module
            }

    def _load(self, offer: PluginOffer) -> None:
        """Import a plugin; what a broken one has registered by then is forgotten, in every registry."""
        _LOADING.append(set())
        try:
            with offer.code.calling():
                offer.load()
        except BaseException:
            for registry in _REGISTRIES:
                registry._items = {
                    name: each
                    for name, each in registry._items.items()
                    if each.module in sys.modules or each.given_code is not None
                }
            raise
        finally:
            _LOADING.pop()

    def _misnamed(self, name: str, where: str) -> UsageError:
        return UsageError(
            f"the plugin file {name!r} registers no {self.noun} of that name",
            where=where,
            hint="the name given to the decorator must be the file's stem",
        )


_REGISTRIES: list[Registry[Any]] = []
"""All of them, so that a broken file leaves nothing behind."""
_LOADING: list[set[tuple[str, str]]] = []
"""What each plugin that is being imported has registered so far: one file may not take a name twice."""


TASKS: Registry[Family] = Registry("tasks", "task family")


MODELS: Registry[Opener] = Registry("models", "model backend")


SOURCES: Registry[Source] = Registry("tasks/sources", "reader of training text")


METRICS: Registry[Metric | Callable[[], Metric]] = Registry("metrics", "metric")


def register_task(
    name: str,
    *,
    default: tuple[str, ...] = ("*",),
    scope: tuple[str, ...] = ("*",),
    find: Callable[[str], list[Task]] | None = None,
) -> Callable[[Callable[[], Iterator[Task]]], Callable[[], Iterator[Task]]]:
    """Register the decorated function, which yields one task per language, as the family `name` (the file's stem).

    `find` makes the tasks of a variant where a family is too large to be listed; see `Family`.
    """

    def decorate(tasks: Callable[[], Iterator[Task]]) -> Callable[[], Iterator[Task]]:
        TASKS.add(name, Family(name=name, tasks=tasks, default=default, scope=scope, find=find), tasks.__module__)
        return tasks

    return decorate


SAMPLING, THINKING = REQUEST_FEATURES = ("sampling", "thinking")
"""Fields of a request that a backend may be unable to follow, besides its options: `register_model(uses=...)`."""
_USES: dict[str, frozenset[str]] = {}


def register_model(name: str, *, uses: Iterable[str] | None = None) -> Callable[[Opener], Opener]:
    """Register the decorated function as the opener of models named `name` or `name:...` (the file's stem).

    `uses` names the fields of ModelOptions that the backend can use, and "sampling" and "thinking" where answers can be
    drawn, and the thinking switched on, off and limited; a user who sets another one is told so. None: the opener sees
    to it itself. Raises UsageError for a name that is none of these.
    """
    known = {each.name for each in fields(ModelOptions)} | set(REQUEST_FEATURES)
    if wrong := sorted(set(uses or ()) - known):
        raise UsageError(
            f"{wrong[0]!r} is no option of models", where=f"models/{name}", hint=did_you_mean(wrong[0], known)
        )

    def decorate(opener: Opener) -> Opener:
        MODELS.add(name, opener, opener.__module__)
        if uses is not None:
            _USES[name] = frozenset(uses)
        return opener

    return decorate


def used_options(name: str) -> frozenset[str] | None:
    """Return the fields of ModelOptions that the backend `name` uses; None where it has not said, or was not asked for.

    The backend must have been looked up before.
    """
    return _USES.get(name.replace("-", "_"))


Reader = Callable[[Corpus, DataSource], Examples]


def register_source(name: str, *, ask: Asker) -> Callable[[Reader], Reader]:
    """Register the decorated function, which reads a corpus, as the source `name` (the file's stem).

    `ask` says what to ask for each of its examples.
    """

    def decorate(read: Reader) -> Reader:
        SOURCES.add(name, TextSource(read=read, ask=ask), read.__module__)
        return read

    return decorate


MetricMaker = TypeVar("MetricMaker", bound=Metric | Callable[[], Metric])


def register_metric(name: str) -> Callable[[MetricMaker], MetricMaker]:
    """Register the decorated function or class, which makes a metric when it is called, or a metric, as `name`.

    In a file of its own, `metrics/NAME.py`, the name is the file's stem; a task's file may bring metrics of any name.
    """

    def decorate(made: MetricMaker) -> MetricMaker:
        METRICS.add(name, made, str(sys._getframe(1).f_globals.get("__name__")))  # an object does not know its module
        return made

    return decorate
