"""The name of a model to its description: configuration, tokenizer and fingerprint, without loading its weights."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol, cast

from xlingual.data import hash_once
from xlingual.decoder.loading import loading_errors
from xlingual.errors import EnvironmentFault, ModelError, UsageError
from xlingual.identity import Json, content_hash
from xlingual.plugin import ModelOptions
from xlingual.records import ModelSpec
from xlingual.text import did_you_mean
from xlingual.thinking import ThinkingMode

from ..encoder_decoder.description import EncoderDecoder
from ..packed.support import longest_packed_text, packed_problem
from ..tokens.choices import TokenizerContext
from ..tokens.rendering import Tokenizer
from .adapters import Adapter, find_adapter, split_adapter
from .asking import read_asking
from .files import Checkpoint, check_file_sizes, check_weights, locate, may_run_code, read_config, safe_files
from .gguf import CONVERTER
from .named_faults import check_tokenizer_config, named_faults
from .provenance import parent_of, suitable_template, tuned_template, tuned_thinking
from .quantization import check_quantization, quantization_method
from .sizes import check_config
from .tokenizer_files import extended_tokenizer, load_tokenizer, tokenizer_difference

DTYPES = ("float32", "bfloat16", "float16", "auto")
ENGINES = ("packed", "static", "paged")
ENGINE_VERSION = 3
"""Goes up when an engine adds up in another order: in half precision that can change answers."""
ANSWER_FILES = (
    "config.json", "generation_config.json", "tokenizer*.json", "special_tokens_map.json", "added_tokens.json",
    "vocab.json", "vocab.txt", "merges.txt", "*.model", "*.tiktoken", "*.jinja", "*.py",
)  # fmt: skip
"""The files of a folder that can change an answer, besides the weights."""


class Configuration(Protocol):
    """What is used of a transformers configuration."""

    @property
    def vocab_size(self) -> int:
        """The number of embeddings."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """All that is known of a model without its weights."""

    spec: ModelSpec
    checkpoint: Checkpoint
    tokenizer: Tokenizer
    vocabulary: int
    end_ids: tuple[int, ...]
    pad_id: int
    device: str
    trusted: bool
    """Whether the model's own Python code may run."""
    adapter: Adapter | None = None
    """What is merged into the weights."""
    learnt_end: int | None = None
    """The token that ends a turn, where the model is asked by its chat template; None: the tokenizer's end token."""
    constraints: Mapping[str, Json] = field(default_factory=dict)
    """Tokens that the model's own configuration bars, as `GenerationConfig` takes them."""
    encoder_decoder: EncoderDecoder | None = None
    """What an encoder-decoder says an answer after; None for a decoder."""
    config: object = None
    """transformers' configuration."""
    packed_problem: str | None = None
    """Why the packed engine takes no text of the model, as far as its configuration tells."""
    longest_packed: int | None = None
    """Most tokens of a text that it takes, as far as the configuration tells; None: any number."""
    shards: tuple[str, ...] = ()
    """The devices that its layers are to stand on; empty: all on `device`."""
    quantized: bool = False
    """Whether the weights are quantized; then they are placed while they are loaded, and not moved."""
    notes: tuple[str, ...] = ()
    """What a user should be told with the first answers."""

    @property
    def tokenizer_context(self) -> TokenizerContext:
        """What decides the tokens of a request."""
        return TokenizerContext(
            tokenizer=self.tokenizer,
            vocabulary=self.vocabulary,
            window=self.spec.context_length,
            encoder_decoder=self.encoder_decoder,
        )


def describe(name: str, options: ModelOptions) -> Description:
    """Find the model `name` and read everything but its weights.

    Raises UsageError for a name that is none, ModelError for a model that will not load, AuthError and
    EnvironmentFault as the hub answers.
    """
    if (parts := split_adapter(name, options)) is not None:
        return _describe_adapted(name, *parts)
    device = _device(options.device)
    if options.dtype is not None and options.dtype not in DTYPES:
        raise UsageError(f"no such dtype: {options.dtype!r}", where="--dtype", hint=did_you_mean(options.dtype, DTYPES))
    checkpoint = locate(name, options)
    config_file = _checked_config(checkpoint.folder)
    trusted = may_run_code(checkpoint, options)
    check_weights(checkpoint, options)
    quantized = quantization_method(read_config(config_file))
    if quantized is not None:
        check_quantization(quantized, checkpoint.label)
    with named_faults(checkpoint.folder, checkpoint.label):
        config, tokenizer = _read_description(checkpoint.folder, trusted=trusted)
        difference = tokenizer_difference(checkpoint.folder, tokenizer)
    templates, vocabulary = tokenizer.chat_template, _vocabulary(config, checkpoint.label)
    asking = read_asking(checkpoint.folder, config, tokenizer, vocabulary, options)
    dtype = _dtype(options.dtype, device, config)
    engine = options.engine or default_engine(device)
    thinking = tuned_thinking(checkpoint.folder)
    answers = {**_arithmetic(dtype, replace(options, engine=engine), config), **asking.identity}
    spec = ModelSpec(
        word=f"hf:{name}",
        backend="hf",
        name=checkpoint.label,
        revision=checkpoint.snapshot.commit if checkpoint.snapshot else None,
        fingerprint=_fingerprint(checkpoint, templates, asking.end_ids, answers | _mode(thinking)),
        dtype=dtype,
        template="translation" if asking.translates else suitable_template(checkpoint, chat=bool(asking.chat.text)),
        context_length=asking.window.tokens,
        parent=parent_of(checkpoint.folder),
        thinking=asking.thinking,
        sampling=asking.sampling,
        details=asking.details(tokenizer) | ({"tokenizer": difference} if difference else {}),
        tuned_thinking=thinking,
    )
    return Description(
        spec=spec,
        checkpoint=checkpoint,
        tokenizer=tokenizer,
        vocabulary=vocabulary,
        end_ids=asking.end_ids,
        pad_id=_pad_id(tokenizer, vocabulary),
        device=device,
        trusted=trusted,
        learnt_end=asking.learnt_end if spec.template == "chat" else None,
        constraints=asking.constraints,
        config=config,
        packed_problem=packed_problem(config),
        longest_packed=longest_packed_text(config),
        encoder_decoder=asking.encoder_decoder,
        quantized=quantized is not None,
        notes=() if difference is None else (difference,),
    )


def _pad_id(tokenizer: Tokenizer, vocabulary: int) -> int:
    pads = (tokenizer.pad_token_id, tokenizer.eos_token_id, 0)
    return next(each for each in pads if each is not None and each < vocabulary)


def _mode(thinking: ThinkingMode | None) -> dict[str, Json]:
    return {} if thinking is None else {"tuned_thinking": thinking.value}


def _checked_config(folder: Path) -> Path:
    """Return the path of the configuration; ModelError for what of the files beside the weights is nonsense."""
    check_file_sizes(folder)
    path = folder / "config.json"
    check_config(read_config(path), path)
    check_tokenizer_config(folder)
    return path


def _describe_adapted(name: str, base_name: str, adapter_name: str, options: ModelOptions) -> Description:
    base = describe(base_name, options)
    adapter = find_adapter(adapter_name, base.spec.fingerprint, options)
    check_file_sizes(adapter.folder)
    with named_faults(adapter.folder, adapter.label):
        tokenizer, added = extended_tokenizer(adapter.folder, base.tokenizer)
    ours = tuned_template(adapter.folder) is not None
    thinking = tuned_thinking(adapter.folder) if ours else base.spec.tuned_thinking
    identity: list[Json] = ["adapter", base.spec.fingerprint, adapter.identity, *([dict(added)] if added else [])]
    identity += [] if thinking is base.spec.tuned_thinking else [f"thinking {thinking}"]
    spec = replace(
        base.spec,
        word=f"hf:{name}",
        name=f"{base.spec.name}+{adapter.label}",
        revision=adapter.commit,
        fingerprint=content_hash(identity),
        template=tuned_template(adapter.folder) or base.spec.template,
        parent=parent_of(adapter.folder) or base.spec.name,
        tuned_thinking=thinking,
    )
    return replace(
        base,
        spec=spec,
        adapter=adapter,
        tokenizer=tokenizer,
        vocabulary=max(base.vocabulary, adapter.embeddings.rows or 0),
        learnt_end=base.learnt_end if spec.template == "chat" else None,
    )


def _read_description(folder: Path, *, trusted: bool) -> tuple[Configuration, Tokenizer]:
    from transformers import AutoConfig  # noqa: PLC0415 - heavy

    with loading_errors(str(folder / "config.json")):
        config = AutoConfig.from_pretrained(folder, trust_remote_code=trusted, local_files_only=True)
    return config, load_tokenizer(folder, trusted=trusted)


def _device(word: str | None) -> str:
    import torch  # noqa: PLC0415 - heavy

    if word is None:
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        kind = torch.device(word).type
    except RuntimeError as error:
        raise UsageError(f"no such device: {word!r}", where="--device", hint="cpu, cuda, cuda:1, mps") from error
    present = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not present.get(kind, True):
        raise EnvironmentFault(f"this machine has no {kind} device", where="--device", hint="leave --device out")
    return word


def _dtype(word: str | None, device: str, config: Configuration) -> str:
    if word == "auto":
        return str(getattr(config, "dtype", None) or "float32").removeprefix("torch.")
    return word or ("bfloat16" if device.startswith("cuda") else "float32")


def default_engine(device: str) -> str:
    """Return the engine that answers on a device where the user names none."""
    return "paged" if device.startswith("cuda") else "packed"


def _vocabulary(config: Configuration, label: str) -> int:
    """Return the number of embeddings; ModelError for a model of anything but text."""
    found = getattr(_text_config(config), "vocab_size", None)
    if not isinstance(found, int):
        kind = getattr(config, "model_type", None)
        raise ModelError(f"a model of the type {kind!r} has no vocabulary", where=label, hint="is it a language model?")
    return found


def _text_config(config: Configuration) -> Configuration:
    """Return the part of a configuration that describes the language model: all of it, but for multimodal models."""
    return cast(Configuration, config.get_text_config()) if hasattr(config, "get_text_config") else config


def _arithmetic(dtype: str, options: ModelOptions, config: Configuration) -> dict[str, Json]:
    """Return what decides the rounding of a forward pass. No answer in float32 depends on more than the dtype.

    In half precision it may depend on the engine. Which engine answers a prompt follows from the configuration and the
    prompt's own length, never from the other prompts, so one fingerprint always means the same engine for it:

    - packed or paged, and static batches for texts beyond the longest that the configuration allows there (longrope),
      whose length is then part of the fingerprint;
    - static, also by default, where these do not compute what the configuration says.

    What shows only once the model is loaded is noted while it answers, and recorded: its layers compute attention by
    themselves (BLOOM), or the engine's scores are not the model's. Another engine then always answers under a
    fingerprint that names the first.
    """
    if dtype == "float32":
        return {"dtype": dtype}
    if options.deterministic:
        return {"dtype": dtype, "deterministic": True}
    engine, limit = options.engine or "packed", longest_packed_text(config)
    if limit == 0:
        engine = "static"
    found: dict[str, Json] = {"dtype": dtype, "engine": engine, "engine_version": ENGINE_VERSION}
    return found if limit is None or engine == "static" else {**found, "static_beyond": limit}


def _fingerprint(
    checkpoint: Checkpoint,
    template: str | Mapping[str, str] | None,
    end_ids: Sequence[int],
    answers: Mapping[str, Json],
) -> str:
    if checkpoint.snapshot is not None:
        weights: Json = [checkpoint.label, checkpoint.snapshot.commit]
    elif checkpoint.gguf_sha256 is not None:
        weights = ["gguf", checkpoint.gguf_sha256, CONVERTER]
    else:
        paths = safe_files(checkpoint.folder) or sorted(checkpoint.folder.glob("*.bin"))
        weights = [[path.name, hash_once(path)] for path in paths]
    files = sorted({path for pattern in ANSWER_FILES for path in checkpoint.folder.glob(pattern)})
    hub = checkpoint.snapshot is not None
    return content_hash(
        {
            "backend": "hf",
            "weights": weights,
            "files": [] if hub or checkpoint.gguf else [[path.name, hash_once(path)] for path in files],
            "chat_template": template if template is None or isinstance(template, str) else dict(template),
            "end_ids": list(end_ids),
            **answers,
        }
    )
