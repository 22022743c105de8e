"""Whatever goes wrong inside a task of lm-eval's, its file, its data or its functions, as one line that says where.

error: mine/arc.yaml:7: lm-eval cannot make the task: ScannerError: mapping values are not allowed here
error: mine/functions.py:3: lm-eval/arc, document 17: the answer cannot be scored: KeyError: 'gold'
"""

import contextlib
import logging
import re
import sysconfig
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path

import xlingual
from xlingual.errors import DataError, EnvironmentFault, XlingualError
from xlingual.redaction import redact_message

_LENGTH = 200
_NOT_THEIRS = (
    *(sysconfig.get_paths()[name] for name in ("stdlib", "purelib", "platlib")),
    str(Path(xlingual.__file__).parent),
    str(Path(__file__).parent),
    "<",
)
"""Beginnings of the names of files that are no task's: of packages, and of code that is in no file."""
_HUB = "lm-eval's data come from the hub: check the network, or HF_HUB_OFFLINE"


@contextlib.contextmanager
def faults_of(what: str, doing: str) -> Iterator[None]:
    """Turn any error inside into one of ours, with the file and line of the task's own code where there is such.

    `what` is the task, and the document where it is one document's; `doing` says what failed. Code of tasks may raise
    anything, so anything is caught; where lm-eval logs an error before it raises, that says more. Raises
    EnvironmentFault where the hub cannot be reached, else DataError.
    """
    from huggingface_hub import errors  # noqa: PLC0415 - heavy

    transport: type[Exception] = getattr(errors, "HTTPError", ConnectionError)  # of the client that the hub's uses
    log = _ErrorLog()
    logger = logging.getLogger("lm_eval")
    logger.addHandler(log)
    try:
        yield
    except XlingualError:
        raise
    except (ConnectionError, transport) as error:
        raise EnvironmentFault(f"the data cannot be had: {first_line(error)}", where=what, hint=_HUB) from error
    except ImportError as error:
        hint = "the task needs a package, or a version of one, that is not here"
        raise _fault(error, what, f"the task cannot be imported: {first_line(error)}", hint) from error
    except (Exception, SystemExit) as error:
        said = log.last or f"{type(error).__name__}: {first_line(error)}"
        raise _fault(error, what, f"{doing}: {said}", "does `lm-eval --tasks` take it?") from error
    finally:
        logger.removeHandler(log)


class _ErrorLog(logging.Handler):
    """Keeps the last error that is logged."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.last: str | None = None

    def emit(self, record: logging.LogRecord) -> None:
        self.last = record.getMessage().strip().partition("\n")[0][:_LENGTH]


def require_readable(name: str, folders: Sequence[str]) -> None:
    """Raise DataError where the file of the task `name` in `folders` cannot be read: lm-eval passes such files over."""
    import yaml  # noqa: PLC0415 - comes with lm-eval

    from lm_eval.tasks._yaml_loader import load_yaml  # noqa: PLC0415 - optional, and heavy

    pattern = re.compile(rf"^(task|group):\s*[\"']?{re.escape(name)}[\"']?\s*$", re.MULTILINE)
    for path in sorted(each for folder in folders for each in Path(folder).rglob("*.yaml")):
        text = path.read_text(encoding="utf-8", errors="replace")
        if path.stem != name and not pattern.search(text):
            continue
        try:
            load_yaml(path, resolve_func=False)
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            where = str(path) if mark is None else f"{path}:{mark.line + 1}"
            what = getattr(error, "problem", None) or first_line(error)
            raise DataError(f"not YAML: {what}", where=where, hint="mend the file of the task") from error
        except (OSError, ValueError, TypeError) as error:  # a file that it includes, or no table at all
            what = f"{type(error).__name__}: {first_line(error)}"
            raise DataError(what, where=str(path), hint="mend the file of the task") from error


def first_line(error: BaseException) -> str:
    """Return the first line of what an error says."""
    return redact_message((str(error).strip().splitlines() or [""])[0])[:_LENGTH]


def _fault(error: BaseException, what: str, message: str, hint: str) -> DataError:
    place = _place(error)
    if place is None:
        return DataError(message, where=what, hint=hint)
    return DataError(f"{what}: {message}", where=place, hint=hint)


def _place(error: BaseException) -> str | None:
    """Return FILE:LINE of the last frame of code that is neither ours nor of an installed package."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}:{error.lineno}"
    frames = [
        frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith(_NOT_THEIRS)
    ]
    return f"{frames[-1].filename}:{frames[-1].lineno}" if frames else None
