"""The arguments in `lm-eval:BACKEND,key=value`: what they mean, which may be shown, which identify a model."""

import importlib.util
import inspect
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from xlingual.data import hash_once
from xlingual.errors import EnvironmentFault, UsageError
from xlingual.identity import Json, content_hash
from xlingual.plugin import ModelOptions
from xlingual.records import ModelSpec
from xlingual.text import did_you_mean
from xlingual.thinking import KNOWN_MARKERS, ThinkingMarkers, markers_ending

VERSION = 1
"""Of how requests are put and answers are read; goes up when an answer may change."""
MAX_REQUESTS = 64
"""Of one call where the batch size is known: what a crash may lose."""
NEUTRAL = frozenset(
    {"batch_size", "max_batch_size", "device", "num_concurrent", "max_retries", "timeout", "verify_certificate",
     "offload_folder", "parallelize", "max_memory_per_gpu", "max_cpu_memory", "gpus"}
)  # fmt: skip
"""Arguments that change no answer."""
OPTIONS = {
    "device": "device",
    "dtype": "dtype",
    "batch_size": "batch_size",
    "max_model_len": "max_length",
    "timeout": "timeout",
    "concurrency": "num_concurrent",
}
"""Options of ours that are arguments of lm-eval's, where a backend takes them: our name and its."""
ALWAYS_FINE = frozenset({"batch_size"})
"""Changes no answer: a backend without batches has nothing to do."""
UNUSED = (
    "engine", "deterministic", "shard", "allow_pickle", "server_python", "server_args", "chat_template", "extra_body",
    "headers", "key_env",
)  # fmt: skip
"""Options of ours that no backend of lm-eval has a use for."""
MASK = "***"
_SECRET = re.compile(r"(^|_)(api_?key|key|secret|password|credentials?|authorization|header|token)$", re.IGNORECASE)
_NO_SECRET = re.compile(r"(^|_)(bos|eos|pad|end|eot|unk)_token$", re.IGNORECASE)
_USER = re.compile(r"(://)[^/\s@]*@")
_FILES = ("*.safetensors", "*.bin", "*.gguf", "*.json", "*.model", "*.txt", "*.jinja", "*.py")

Value = str | int | float | bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Arguments:
    """A backend of lm-eval and its arguments."""

    backend: str
    named: Mapping[str, Value]
    """As given, secrets included: never to be stored or shown."""
    thinking: ThinkingMarkers | None = None
    """Where the user says what ends the thinking."""

    @property
    def max_requests(self) -> int | None:
        """How many requests a call may have; None: all, for the backend searches its batch size in every call."""
        return None if str(self.named.get("batch_size", "")).startswith("auto") else MAX_REQUESTS

    @property
    def shown(self) -> dict[str, Value]:
        """The arguments without their secrets."""
        return {name: _hide(name, value) for name, value in sorted(self.named.items())}


def read_arguments(name: str, options: ModelOptions) -> Arguments:
    """Return the arguments in `name`, which comes after `lm-eval:`, with those of the command line.

    EnvironmentFault where lm-eval is not installed, UsageError for an unknown backend or a word that is no
    key=value.
    """
    if importlib.util.find_spec("lm_eval") is None:
        raise EnvironmentFault("lm-eval is not installed", where="lm-eval", hint="pip install 'xlingual[lm-eval]'")
    from lm_eval.models import MODEL_MAPPING  # noqa: PLC0415 - optional, and heavy
    from lm_eval.utils import simple_parse_args_string  # noqa: PLC0415 - optional, and heavy

    revision = options.revision
    if revision is not None and not _is_revision(name, revision):
        name, revision = f"{name}@{revision}", None
    backend, _, rest = name.partition(",")
    if backend not in MODEL_MAPPING:
        hint = did_you_mean(backend, MODEL_MAPPING) if backend else "lm-eval:hf,pretrained=org/name"
        raise UsageError(f"lm-eval has no backend {backend!r}", where="lm-eval", hint=hint)
    parts = [part for part in rest.split(",") if part]
    if wrong := [part for part in parts if "=" not in part]:
        raise UsageError(f"{wrong[0]!r} is no key=value", where=f"lm-eval:{backend}", hint="lm-eval:hf,pretrained=NAME")
    named: dict[str, Value] = dict(simple_parse_args_string(",".join(parts)))
    for key, value in _taken_options(backend, options).items():
        named.setdefault(key, value)
    if revision is not None:
        named.setdefault("revision", revision)
    if options.trust_remote_code:
        named.setdefault("trust_remote_code", True)
    thinking = None if options.thinking_end is None else markers_ending(options.thinking_end)
    return Arguments(backend=backend, named=named, thinking=thinking)


def _is_revision(name: str, revision: str) -> bool:
    """Whether what came as a revision is one: what stands behind the last "@" of any argument arrives as one, too."""
    if re.search("[,=]", revision) or Path(f"{name.rpartition('=')[2]}@{revision}").exists():
        return False
    return ",pretrained=" in name and "revision" in _parameters(name.partition(",")[0])


def _parameters(backend: str) -> frozenset[str]:
    """Return the arguments of a backend; none where it is unknown, or its own package is missing."""
    from lm_eval.api.registry import get_model  # noqa: PLC0415 - optional, and heavy

    try:
        return parameters_of(get_model(backend))
    except (ImportError, ValueError, KeyError):
        return frozenset()


def parameters_of(made: object) -> frozenset[str]:
    """Return the parameters that the class of a backend names, its bases included; `**kwargs` would swallow others."""
    bases = made.__mro__ if isinstance(made, type) else ()
    makers = [vars(each)["__init__"] for each in bases if "__init__" in vars(each) and each is not object]
    return frozenset(name for maker in makers for name in inspect.signature(maker).parameters)


def _taken_options(backend: str, options: ModelOptions) -> dict[str, Value]:
    """Return the options of the command line as arguments of `backend`; UsageError for one that it does not take.

    Where the backend's own package is missing, nothing is known of it, and loading will say so.
    """
    where = f"lm-eval:{backend}"
    for name in UNUSED:
        if getattr(options, name):
            raise UsageError(f"lm-eval's backends have no use for {_option(name)}", where=where, hint="leave it out")
    given = {name: getattr(options, name) for name in OPTIONS if getattr(options, name) is not None}
    device = given.get("device")
    if isinstance(device, str) and ("," in device or device.endswith(":all")):
        hint = f"--device cuda, or {where},parallelize=True,... for a model on all GPUs"
        raise UsageError(f"lm-eval's backends take one device, not {device!r}", where=where, hint=hint)
    if not given:
        return {}
    known = _parameters(backend)
    if not known:
        return {OPTIONS[name]: value for name, value in given.items()}
    for name in given:
        if OPTIONS[name] not in known and name not in ALWAYS_FINE:
            raise UsageError(f"lm-eval's {backend!r} takes no {_option(name)}", where=where, hint="leave it out")
    return {OPTIONS[name]: value for name, value in given.items() if OPTIONS[name] in known}


def _option(name: str) -> str:
    """Return an option as it is typed."""
    return "--" + {"server_args": "server-arg", "headers": "header"}.get(name, name.replace("_", "-"))


def _own_end(arguments: Arguments) -> list[Json]:
    """Return the end of thinking that the user has named, where scoring would not know it without."""
    thinking = arguments.thinking
    return [] if thinking is None or thinking in KNOWN_MARKERS else [thinking.end]


def describe(arguments: Arguments) -> ModelSpec:
    """Return the spec of a model, which holds none of its secrets."""
    shown = arguments.shown
    label = next((str(shown[key]) for key in ("pretrained", "model", "engine") if shown.get(key)), "default")
    words = "".join(f",{name}={value}" for name, value in shown.items())
    context = shown.get("max_length")
    return ModelSpec(
        word=f"lm-eval:{arguments.backend}{words}",
        backend="lm-eval",
        name=f"{Path(label).name if Path(label).exists() else label} (lm-eval {arguments.backend})",
        revision=str(shown["revision"]) if "revision" in shown else None,
        fingerprint=content_hash(["lm-eval", VERSION, arguments.backend, _identity(shown), *_own_end(arguments)]),
        dtype=str(shown["dtype"]) if "dtype" in shown else None,
        template="chat" if "chat" in arguments.backend else "raw",
        context_length=context if isinstance(context, int) and not isinstance(context, bool) else None,
        parent=None,
        thinking=arguments.thinking,
    )


def _identity(shown: Mapping[str, Value]) -> list[Json]:
    """Return all that can change an answer: of a folder, its content and not its path."""
    found: list[Json] = []
    for name, value in shown.items():
        if name in NEUTRAL or value == MASK:
            continue
        path = Path(value).expanduser() if isinstance(value, str) and value else None
        if path is not None and path.is_dir():
            files = sorted({each for pattern in _FILES for each in path.glob(pattern)})
            found.append([name, [[each.name, hash_once(each)] for each in files]])
        elif path is not None and path.is_file():
            found.append([name, hash_once(path)])
        else:
            found.append([name, value])
    return found


def _hide(name: str, value: Value) -> Value:
    if _SECRET.search(name) and not _NO_SECRET.search(name):
        return MASK
    return _USER.sub(rf"\1{MASK}@", value) if isinstance(value, str) else value
