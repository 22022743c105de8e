"""Adapters on a base, `hf:BASE+ADAPTER`: merged into the weights of the base, and unmerged to the last bit.

The engines see plain weights, whatever kind of adapter it was. The base stays in memory for the next adapter of the
process: a merge copies the weights that it changes, and they are restored from the copies, for to subtract an adapter
again would leave rounding errors.
"""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, cast

from xlingual.data import hash_once
from xlingual.decoder.loading import is_failure, loading_errors
from xlingual.errors import EnvironmentFault, ModelError, UsageError, XlingualError
from xlingual.identity import Json, content_hash
from xlingual.plugin import ModelOptions

from ..limits import release_memory
from .adapter_config import CONFIG, check_adapter_config
from .adapter_embeddings import EmbeddingChange, embedding_change, prepare_embeddings
from .files import read_config
from .hub import fetch_adapter, resolve
from .weight_headers import summarize

if TYPE_CHECKING:
    import torch

WEIGHTS = "adapter_model.safetensors"
PICKLE = "adapter_model.bin"
ORIGIN_FIELDS = ("base_model_name_or_path", "revision", "inference_mode")
"""Fields of the configuration that say where an adapter comes from, not what it does."""
Loaded = TypeVar("Loaded")


@dataclass(frozen=True, slots=True, kw_only=True)
class Adapter:
    """An adapter, found and checked; its weights are read when it is merged."""

    label: str
    folder: Path
    commit: str | None
    """Of the hub; None for a local folder."""
    identity: str
    """Content hash of all that it does to a base."""
    base: str
    """Fingerprint of the base that it goes on."""
    embeddings: EmbeddingChange
    """What it holds of embedding and head."""


def split_adapter(name: str, options: ModelOptions) -> tuple[str, str, ModelOptions] | None:
    """Split `BASE[@REVISION]+ADAPTER[@REVISION]`; None for the name of a model without an adapter.

    The options returned are those of the base; a revision after the whole name is the adapter's. UsageError where one
    of the two is missing.
    """
    if options.revision is not None and ("+" in name or "+" in options.revision):
        name, options = f"{name}@{options.revision}", replace(options, revision=None)
    if "+" not in name or _exists(name):
        return None
    signs = [index for index, letter in enumerate(name) if letter == "+"]
    # A path may hold a "+" too.
    sign = next((index for index in signs if _exists(name[index + 1 :])), signs[-1])
    base, adapter = name[:sign], name[sign + 1 :]
    if not base or not adapter:
        raise UsageError(f"not a base and an adapter: {name!r}", where="hf", hint="hf:BASE+ADAPTER")
    return base, adapter, options


def _exists(name: str) -> bool:
    try:
        return Path(name).expanduser().exists()
    except (OSError, ValueError, RuntimeError):
        return False


def find_adapter(name: str, base: str, options: ModelOptions) -> Adapter:
    """Find the adapter `name`, a folder or `org/name[@revision]`; `base` is the fingerprint of its base.

    Raises UsageError where there is none, ModelError for pickled or damaged weights, which are never loaded.
    """
    if _exists(name) or name.startswith(("/", ".", "~")):
        folder, commit, label = Path(name).expanduser(), None, Path(name).expanduser().resolve().name
        if not (folder / CONFIG).is_file():
            hint = "an adapter is a folder, or org/name[@revision] on the hub"
            raise UsageError(f"no such adapter: {name!r} has no {CONFIG}", hint=hint)
    else:
        repository, _, revision = name.partition("@")
        snapshot = resolve(repository, revision or None, offline=options.offline, code=False, marker=CONFIG)
        folder, commit, label = fetch_adapter(snapshot, offline=options.offline), snapshot.commit, repository
    _check_files(folder, label)
    with loading_errors(label):
        embeddings = embedding_change(folder / WEIGHTS)
    config: dict[str, Json] = {
        key: value for key, value in read_config(folder / CONFIG).items() if key not in ORIGIN_FIELDS
    }
    weights: Json = [label, commit] if commit else hash_once(folder / WEIGHTS)
    return Adapter(
        label=label,
        folder=folder,
        commit=commit,
        identity=content_hash([config, weights]),
        base=base,
        embeddings=embeddings,
    )


def _check_files(folder: Path, label: str) -> None:
    if not (folder / WEIGHTS).is_file():
        if (folder / PICKLE).is_file():
            hint = "convert it in a sandbox: PeftModel.save_pretrained(FOLDER) writes safetensors"
            raise ModelError("the adapter is a pickle file, which can run any code when it is loaded", where=label,
                             hint=hint)  # fmt: skip
        raise ModelError(f"the adapter has no {WEIGHTS}", where=label, hint="is the download complete?")
    check_adapter_config(folder, summarize([folder / WEIGHTS]))


@dataclass(slots=True)
class SharedBase:
    """The base in memory that the adapters of this process are merged into, one after the other."""

    key: tuple[str, str] | None = None
    """Fingerprint of the base, and device."""
    model: object = None
    in_use: bool = False
    undo: "list[Callable[[], None]]" = field(default_factory=list)
    """What unmerges the adapter that is in it, last step first."""

    def free(self) -> None:
        """Free the base, unless it is in use."""
        if not self.in_use and self.model is not None:
            self.key = self.model = None
            release_memory()


SHARED = SharedBase()


def acquire_model(fingerprint: str, device: str, adapter: Adapter | None, load: Callable[[], Loaded]) -> Loaded:
    """Return a model with the adapter merged in; its base is loaded only where the last one was another.

    `fingerprint` is the base's. `release_model` takes the model back.
    """
    key = (fingerprint, device)
    if SHARED.in_use or (adapter is None and SHARED.key != key):
        SHARED.free()
        model = load()
        if adapter is not None:
            merge(model, adapter)
        return model
    if SHARED.key != key:
        SHARED.free()
        SHARED.model, SHARED.key = load(), key
    SHARED.in_use = True
    model = cast(Loaded, SHARED.model)
    if adapter is not None:
        try:
            SHARED.undo = merge(model, adapter)
        except BaseException:  # a base with half an adapter in it is of no use
            SHARED.in_use = False
            SHARED.free()
            raise
    return model


def is_shared(model: object) -> bool:
    """Return whether other adapters may still be merged into `model`, so that its modules must stay as they are."""
    return model is SHARED.model


def release_model(model: object) -> None:
    """Unmerge the adapter of a model that `acquire_model` returned; a model that is not shared is left alone."""
    if model is SHARED.model and SHARED.in_use:
        for step in reversed(SHARED.undo):
            step()
        SHARED.undo = []
        SHARED.in_use = False


def merge(model: object, adapter: Adapter) -> list[Callable[[], None]]:
    """Merge the adapter into the weights of `model`, in place, and return what unmerges it, last step first.

    Raises ModelError where the adapter does not fit, EnvironmentFault where peft is not installed.
    """
    try:
        from peft import PeftModel  # noqa: PLC0415 - optional and heavy
        from peft.tuners.tuners_utils import BaseTunerLayer  # noqa: PLC0415
    except ImportError as error:
        raise EnvironmentFault("the package peft is not installed", where="hf", hint="pip install peft") from error
    torch_model = cast("torch.nn.Module", model)
    before = dict(torch_model.named_modules())
    first = list(prepare_embeddings(torch_model, adapter.embeddings))
    with warnings.catch_warnings():
        # peft only warns where weights of the adapter fit nowhere: the answers would be those of the base.
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        warnings.filterwarnings("ignore", category=FutureWarning)
        # The head has weights of its own by now, so the two cannot be mixed up in the merge.
        warnings.filterwarnings("ignore", message=r"Model (has|with) `?tie_word_embeddings", category=UserWarning)
        warnings.filterwarnings("ignore", message="Input and output embeddings are no longer tied")
        with _merge_errors(adapter):
            wrapped = PeftModel.from_pretrained(torch_model, str(adapter.folder), autocast_adapter_dtype=False)
            if not hasattr(wrapped.base_model, "merge_and_unload"):
                raise ModelError("adapters of this kind cannot be merged", where=adapter.label)
            undo = [*first, *_copy_weights(wrapped, BaseTunerLayer)]
            merged = wrapped.base_model.merge_and_unload(safe_merge=True)
    if merged is not torch_model:
        raise ModelError("the adapter replaces the whole model", where=adapter.label)
    after = dict(torch_model.named_modules())
    for path, module in before.items():
        if after.get(path) is not module and path:
            parent, _, name = path.rpartition(".")
            undo.append(_restore_module(before[parent], name, module))
    return undo


@contextmanager
def _merge_errors(adapter: Adapter) -> Iterator[None]:
    """Turn what peft raises about an adapter into a ModelError."""
    try:
        yield
    except BaseException as error:  # peft raises whatever its reading of a file comes to
        if isinstance(error, XlingualError) or not is_failure(error):
            raise
        what = f"the adapter does not fit the base: {type(error).__name__}: {str(error)[:300]}"
        raise ModelError(what, where=adapter.label, hint="name the base that it was trained on") from error


def _copy_weights(wrapped: "torch.nn.Module", layer: type) -> "Iterator[Callable[[], None]]":
    """Copy every weight below the layers of an adapter, and yield what restores it."""
    for module in wrapped.modules():
        if isinstance(module, layer):
            base = cast("Callable[[], torch.nn.Module]", module.get_base_layer)()
            for name, weight in base.named_parameters():
                yield _restore_weight(base, name, weight.detach().clone())


def _restore_weight(module: "torch.nn.Module", name: str, copy: "torch.Tensor") -> Callable[[], None]:
    def step() -> None:
        # By name: an engine may have moved the weights to other memory in the meantime.
        module.get_parameter(name).data.copy_(copy)

    return step


def _restore_module(parent: "torch.nn.Module", name: str, module: "torch.nn.Module") -> Callable[[], None]:
    return lambda: setattr(parent, name, module)
