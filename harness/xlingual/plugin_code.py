"""Where the code of a plugin lies, and what becomes of what it raises: one line that names file, line and cause.

    with code.calling("task capitals/en, example 17"):
        prompt = task.prompt(example)

    error: mine/tasks/capitals.py:31: task capitals/en, example 17: KeyError: 'question'

The line is the innermost one in the plugin's own folder: where its author has to look, however deep in a library the
exception was raised. What xlingual itself ships is no plugin in this sense: what that raises is a bug of ours.
"""

import dis
import functools
import inspect
import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from . import plugins
from .errors import Interrupted, PluginError, XlingualError
from .redaction import redact_message

LONGEST_MESSAGE = 400
"""Characters of an exception's own words that are shown."""
_EXIT_CODES = (2, 3, 4, 5)
"""Of the errors that a plugin may raise as they are."""
_STREAMS = {"stdout": 1, "stderr": 2}
"""Attributes of sys, and their descriptors."""
_PACKAGE = Path(__file__).resolve().parent


@dataclass(frozen=True, slots=True)
class PluginCode:
    """The code of one plugin."""

    place: str
    """Its file for messages, or the entry point that names it."""
    folder: Path | None
    """Frames of files in here are its own; None: xlingual's own code, or no file."""
    shipped: bool
    """Whether it is xlingual's own."""

    @contextmanager
    def calling(self, doing: str = "", function: object = None) -> Iterator[None]:
        """Turn what the plugin's code raises meanwhile into a PluginError; `doing` says for what it was called.

        Our own errors pass, with the place where they name none. `function` is what is called: its first line is the
        place where no line of the plugin's raised anything.
        """
        if not self.shipped:
            _called.add(self)
        try:
            yield
            self._require_streams(doing, function)
        except XlingualError as error:
            self._adopt(error, doing, function)
            raise
        except Interrupted:
            raise
        except (KeyboardInterrupt, GeneratorExit) as error:
            if self.shipped or not self._raises_itself(error):
                raise
            raise self._failed(error, doing, function) from error
        except BaseException as error:  # SystemExit, too: no plugin ends the program
            if self.shipped:
                raise
            raise self._failed(error, doing, function) from error
        finally:
            _reopen_streams()

    def _require_streams(self, doing: str, function: object) -> None:
        """Raise PluginError where the plugin has closed standard output or error: what follows could not be said."""
        if not self.shipped and (closed := _closed_streams()):
            hint = "print to it, or leave it alone: it is not the plugin's to close"
            raise self.fault(f"closes sys.{closed[0]}", doing=doing, function=function, hint=hint)

    def fault(self, what: str, *, doing: str = "", function: object = None, hint: str = "") -> PluginError:
        """Return the error that the plugin breaks its protocol; `function` is what returned the wrong thing."""
        place = "" if self.shipped else self._definition(function) or self.place
        return PluginError(": ".join(filter(None, (doing, what))), where=place, hint=hint)

    def _adopt(self, error: XlingualError, doing: str, function: object) -> None:
        """Name the place of an error of ours that names none; refuse one that would pass for a bug of xlingual's."""
        if self.shipped:
            return
        if error.exit_code not in _EXIT_CODES:
            raise self._failed(error, doing, function) from error
        error.what = " ".join(error.what.split())
        if not error.where:
            error.where = ": ".join(filter(None, (self.line_of(error) or self._definition(function), doing)))

    def _failed(self, error: BaseException, doing: str, function: object) -> PluginError:
        place = self.line_of(error) or self._definition(function) or self.place
        return PluginError(": ".join(filter(None, (doing, describe_error(error)))), where=place, hint=_hint(error))

    def line_of(self, error: BaseException) -> str | None:
        """Return FILE:LINE of the innermost line of the plugin's own that `error` went through."""
        if isinstance(error, SyntaxError) and error.filename and self._owns(error.filename):
            return f"{shown_path(Path(error.filename))}:{error.lineno or 1}"
        lines = [
            f"{shown_path(Path(frame.f_code.co_filename))}:{line}"
            for frame, line in traceback.walk_tb(error.__traceback__)
            if self._owns(frame.f_code.co_filename)
        ]
        return lines[-1] if lines else None

    def _definition(self, function: object) -> str | None:
        """Return FILE:LINE of the definition of a function of the plugin's."""
        while isinstance(function, functools.partial):
            function = function.func
        code = getattr(inspect.unwrap(function), "__code__", None) if callable(function) else None
        if code is None or not self._owns(code.co_filename):
            return None
        return f"{shown_path(Path(code.co_filename))}:{code.co_firstlineno}"

    def _owns(self, file: str) -> bool:
        return self.folder is not None and Path(file).is_relative_to(self.folder)

    def _raises_itself(self, error: BaseException) -> bool:
        """Whether a `raise` in the plugin's code made it: no key, and no generator of ours that is being closed."""
        last: TracebackType | None = error.__traceback__
        while last is not None and last.tb_next is not None:
            last = last.tb_next
        if last is None or not self._owns(last.tb_frame.f_code.co_filename):
            return False
        return last.tb_frame.f_code.co_code[last.tb_lasti] == dis.opmap["RAISE_VARARGS"]


_called: set[PluginCode] = set()
"""The plugins of others whose code was called by this process."""


def plugin_fault(error: BaseException) -> PluginError | None:
    """Return the error of the plugin whose code raised `error` outside of any call of it; None where none did.

    What a plugin returns may have methods of its own: the `__hash__` of an id is called wherever ids are looked up.
    """
    for code in _called:
        if (line := code.line_of(error)) is not None:
            return PluginError(describe_error(error), where=line, hint=_hint(error))
    return None


def _closed_streams() -> list[str]:
    return [name for name in _STREAMS if getattr(getattr(sys, name), "closed", False)]


def _reopen_streams() -> None:
    """Open standard output and error where a plugin has closed them, so that its error can be reported."""
    for name in _closed_streams():
        try:
            stream = open(_STREAMS[name], "w", encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115
        except OSError:  # the descriptor is closed, too
            stream = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115
        setattr(sys, name, stream)


def describe_error(error: BaseException) -> str:
    """Return the class and the words of an exception in one line."""
    try:
        words = " ".join((error.msg if isinstance(error, SyntaxError) else str(error)).split())
    except BaseException:  # noqa: BLE001 (the words are the plugin's code, too)
        words = "(its words cannot be shown)"
    words = redact_message(words)  # before it is cut: half of a password has no mark behind it
    words = words if len(words) <= LONGEST_MESSAGE else f"{words[:LONGEST_MESSAGE]}..."
    return f"{type(error).__name__}: {words}" if words else type(error).__name__


def _hint(error: BaseException) -> str:
    if isinstance(error, ModuleNotFoundError) and error.name:
        package = error.name.partition(".")[0]
        return f"xlingual has no module {error.name}" if package == "xlingual" else f"pip install {package}"
    if isinstance(error, SystemExit | KeyboardInterrupt):
        return "a plugin may not end the program: raise DataError of xlingual.errors"
    return "xlingual --debug, before the command, shows the traceback"


def code_of(module: str) -> PluginCode:
    """Return the code of the plugin whose module has that name; it must have been imported, at least in part.

    A plugin in a plugin folder owns what lies beside it, one of a package the whole package, a lone file itself.
    """
    file = getattr(sys.modules.get(module), "__file__", None)
    if file is None:
        return PluginCode(place=module, folder=None, shipped=False)
    path, top = Path(file), getattr(sys.modules.get(module.partition(".")[0]), "__file__", None)
    if module.startswith(f"{plugins.__name__}."):
        return code_in(path)
    return code_in(path, Path(top).parent if top and "." in module else path)


def code_in(file: Path, folder: Path | None = None) -> PluginCode:
    """Return the code of the plugin in `file`; `folder` holds what else is its own, as a plugin folder does."""
    shipped = _is_shipped(file)
    beside = file.name == "__init__.py" or {*file.parent.parts[-2:]} & {*plugins.KINDS}
    own = folder or (file.parent if beside else file)
    return PluginCode(place=shown_path(file), folder=None if shipped else own, shipped=shipped)


def _is_shipped(file: Path) -> bool:
    roots = [_PACKAGE, *(Path(root) / kind for root in plugins.SHIPPED for kind in plugins.KINDS)]
    return any(file.is_relative_to(root) for root in roots)


def shown_path(path: Path) -> str:
    """Return `path` for messages: from the working folder where it is below it."""
    try:
        return str(path.relative_to(Path.cwd()))
    except (ValueError, OSError):
        return str(path)
