"""Where the files of a model are, and whether they may be used: no pickles, truncated shards or unwanted code."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from xlingual.data import hash_once
from xlingual.decoder.loading import quiet_loading
from xlingual.errors import EnvironmentFault, ModelError, UsageError
from xlingual.files import read_json_object
from xlingual.identity import Json
from xlingual.plugin import ModelOptions
from xlingual.text import did_you_mean

from .gguf import convert_tokenizer, convert_weights
from .hub import COMMIT, Snapshot, fetch_weights, resolve
from .sizes import check_gguf, check_layers
from .weight_headers import WeightSummary, read_gguf_header, regular_size, summarize

GENERIC_TOKENIZERS = ("PreTrainedTokenizer", "PreTrainedTokenizerFast", "PythonBackend", "TokenizersBackend")
"""Classes that a folder's own code may extend in any way."""
MOST_BYTES: Mapping[str, int] = {
    "model.safetensors.index.json": 2**27, "tokenizer.json": 2**28, "vocab.json": 2**28, "merges.txt": 2**28,
    "vocab.txt": 2**28, "*.model": 2**28, "*.tiktoken": 2**28, "*.jinja": 2**20, "*.json": 2**24,
}  # fmt: skip
"""The largest files beside the weights that are read, by name or pattern, the first that fits: ten times and more the
largest there are. All but those of tokens and of the names of tensors have at most 16 MiB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """Where a model was found; `folder` has its configuration and tokenizer."""

    label: str
    """Its name without any path."""
    folder: Path
    snapshot: Snapshot | None
    """Set for models of the hub."""
    gguf: Path | None
    gguf_sha256: str | None


def locate(name: str, options: ModelOptions) -> Checkpoint:
    """Find the model `name`: a folder, a .gguf file, or `org/name[@revision]` on the hub; UsageError where it is none.

    A name that looks like a path is never looked up on the hub.
    """
    try:
        path = Path(name).expanduser()
        exists = path.exists()
    except (OSError, RuntimeError, ValueError) as error:  # too long, no such user, a character that no file name has
        raise UsageError(f"no such model: {name[:80]!r}", hint=str(error)[:80]) from error
    looks_like_path = name.startswith(("/", "./", "../", "~", ".\\")) or name.count("/") > 1 or name.endswith(".gguf")
    if looks_like_path or exists:
        return _locate_local(name, path, options)
    repository, _, suffix = name.partition("@")
    if suffix and options.revision and suffix != options.revision:
        raise UsageError(f"two revisions are named: {suffix!r} and {options.revision!r}", where=name)
    revision = suffix or options.revision
    if options.trust_remote_code and not COMMIT.fullmatch(revision or ""):
        raise UsageError(
            "a model's own code runs only at a revision of 40 hex digits",
            where="--trust-remote-code",
            hint=f"read the code, then name the commit: {repository}@COMMIT",
        )
    snapshot = resolve(repository, revision, offline=options.offline, code=options.trust_remote_code)
    if not (snapshot.folder / "config.json").is_file():
        hint = "it must be in the transformers layout"
        raise ModelError("the repository has no config.json", where=repository, hint=hint)
    return Checkpoint(label=repository, folder=snapshot.folder, snapshot=snapshot, gguf=None, gguf_sha256=None)


def _locate_local(name: str, path: Path, options: ModelOptions) -> Checkpoint:
    if options.revision is not None:
        raise UsageError("a local model has no revision", where="--revision")
    if not path.exists():
        near = [str(each) for each in path.parent.iterdir()] if path.parent.is_dir() else []
        hint = did_you_mean(str(path), near) if near else "a model is a folder, a .gguf file, or org/name[@revision]"
        raise UsageError(f"no such model: {name!r}", hint=hint)
    path = path.resolve()
    if path.is_file():
        if path.suffix != ".gguf":
            hint = "name the folder that the file lies in"
            raise UsageError(f"not a folder and not a .gguf file: {name!r}", hint=hint)
        check_gguf(read_gguf_header(path), path.name)
        sha256 = hash_once(path)
        with quiet_loading():
            folder = convert_tokenizer(path, sha256)
        return Checkpoint(label=path.stem, folder=folder, snapshot=None, gguf=path, gguf_sha256=sha256)
    if not (path / "config.json").is_file():
        ggufs = sorted(path.glob("*.gguf"))
        hint = f"name the file: {ggufs[0]}" if ggufs else "it must be in the transformers layout"
        raise ModelError("the folder has no config.json", where=name, hint=hint)
    return Checkpoint(label=path.name, folder=path, snapshot=None, gguf=None, gguf_sha256=None)


def may_run_code(checkpoint: Checkpoint, options: ModelOptions) -> bool:
    """Return whether the model's own Python code may run; ModelError where it must and may not. Nobody is asked.

    It need not where transformers has the architecture: models from before it had keep their code beside them.
    """
    if options.trust_remote_code or not _needs_code(checkpoint.folder):
        return options.trust_remote_code
    for each in ("config.json", "tokenizer_config.json"):
        if read_config(checkpoint.folder / each).get("auto_map"):
            raise ModelError(
                f"{each} asks to run the model's own Python code (auto_map)",
                where=checkpoint.label,
                hint="read that code; then pass --trust-remote-code together with a 40-hex revision or a local folder",
            )
    return False


def _needs_code(folder: Path) -> bool:
    """Return whether a folder brings code for what transformers does not have: its architecture or its tokenizer."""
    config, tokens = read_config(folder / "config.json"), read_config(folder / "tokenizer_config.json")
    if not config.get("auto_map") and not tokens.get("auto_map"):
        return False
    from transformers import CONFIG_MAPPING  # noqa: PLC0415 - heavy
    from transformers.models.auto.tokenization_auto import tokenizer_class_from_name  # noqa: PLC0415 - heavy

    if config.get("auto_map") and str(config.get("model_type")) not in CONFIG_MAPPING:
        return True
    if not tokens.get("auto_map"):
        return False
    name = tokens.get("tokenizer_class")
    return not isinstance(name, str) or name in GENERIC_TOKENIZERS or tokenizer_class_from_name(name) is None


def check_weights(checkpoint: Checkpoint, options: ModelOptions) -> None:
    """Raise ModelError for weights that are absent, pickled or truncated, before any work is done."""
    if checkpoint.gguf is not None:
        return
    if checkpoint.snapshot is not None:
        names: Sequence[str] = [each for each in checkpoint.snapshot.files if "/" not in each]
    else:
        names = [path.name for path in checkpoint.folder.iterdir()]
    if not any(name.endswith(".safetensors") for name in names):
        if not any(name.endswith((".bin", ".pt", ".pth", ".ckpt")) for name in names):
            if checkpoint.snapshot is not None and not checkpoint.snapshot.listed:
                what = "the cache holds the model's description, but no weights"
                raise EnvironmentFault(what, where=checkpoint.label, hint="connect to the network to download them")
            raise ModelError("there are no weights", where=checkpoint.label, hint="*.safetensors files are needed")
        if not options.allow_pickle:
            raise ModelError(
                "the weights are pickle files, which can run any code when they are loaded",
                where=checkpoint.label,
                hint="convert them in a sandbox: AutoModelForCausalLM.from_pretrained(MODEL).save_pretrained(FOLDER) "
                "writes safetensors; or pass --allow-pickle if you trust their author",
            )
    if checkpoint.snapshot is None:
        _check_headers(checkpoint.folder)


def _check_headers(folder: Path) -> None:
    """Raise ModelError for damaged safetensors, and for a configuration with more layers than they have."""
    weights = summarize(safe_files(folder))
    config = read_config(folder / "config.json")
    if not config.get("auto_map"):
        check_layers(config, weights, folder / "config.json")


def check_file_sizes(folder: Path) -> None:
    """Raise ModelError naming the first file beside the weights that is no regular file, or over its limit."""
    for path in sorted(folder.iterdir()):
        limit = next((most for pattern, most in MOST_BYTES.items() if path.match(pattern)), None)
        if limit is not None and (size := regular_size(path)) > limit:
            raise ModelError(f"{size:,} bytes are over the limit of {limit:,} bytes", where=str(path))


def weight_summary(folder: Path) -> WeightSummary:
    """Return what the weight files of a folder hold; of pickles, which are not looked into, as many bytes elements."""
    if paths := safe_files(folder):
        return summarize(paths)
    size = sum(path.stat().st_size for path in folder.glob("*.bin"))
    return WeightSummary(elements=size, size=size, layers=None, largest=size)


def safe_files(folder: Path) -> list[Path]:
    """Return the safetensors files of a folder; ModelError naming a shard that the index lists and the folder lacks."""
    index = folder / "model.safetensors.index.json"
    shards = read_config(index).get("weight_map") if index.is_file() else None
    if not isinstance(shards, dict):
        return sorted(folder.glob("*.safetensors"))
    paths = [folder / str(name) for name in sorted({str(shard) for shard in shards.values()})]
    for path in paths:
        if not path.is_file():
            raise ModelError("the weight file is missing", where=str(path), hint="download it again")
    return paths


def weights_folder(checkpoint: Checkpoint, options: ModelOptions) -> Path:
    """Return the folder with the weights, converted or downloaded first where need be."""
    if checkpoint.gguf is not None and checkpoint.gguf_sha256 is not None:
        with quiet_loading():
            return convert_weights(checkpoint.gguf, checkpoint.gguf_sha256)
    if checkpoint.snapshot is None:
        return checkpoint.folder
    pickled = not any(name.endswith(".safetensors") for name in checkpoint.snapshot.files)
    folder = fetch_weights(checkpoint.snapshot, offline=options.offline, pickled=pickled)
    _check_headers(folder)
    return folder


def read_config(path: Path) -> Mapping[str, Json]:
    """Return the object in a JSON file of a model, empty where there is no file; ModelError for anything else in it."""
    if not path.is_file():
        return {}
    limit = next(most for pattern, most in MOST_BYTES.items() if path.match(pattern))
    return read_json_object(path, limit=limit, strict=False, fault=ModelError)
