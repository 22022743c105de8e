"""Which file of a model is at fault, and which field: transformers says neither.

    tokenizer_config.json: eos_token    must be a text, an object or null, got 7
    tokenizer.json: model.vocab         must be an object or a list, got null
    tokenizer.json:1:40                 not JSON (file ends inside a record: copied only in part?)

What is small is looked at before transformers gets it, for it takes much nonsense without a word. `tokenizer.json` has
tens of megabytes in some models, and is looked into only where loading has failed.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from xlingual.decoder.loading import loading_errors
from xlingual.errors import ModelError
from xlingual.identity import Json

from .files import read_config

KINDS: Mapping[str, type | tuple[type, ...]] = {
    "a text": str, "an object": dict, "a list": list, "true or false": bool, "null": type(None),
    "a number": (int, float), "a whole number": int,
}  # fmt: skip
TOKEN = ("a text", "an object", "null")
SWITCH = ("true or false", "null")
TOKENIZER_CONFIG: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(
        ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"), TOKEN
    ),
    **dict.fromkeys(
        ("add_bos_token", "add_eos_token", "add_prefix_space", "clean_up_tokenization_spaces", "do_lower_case",
         "legacy", "split_special_tokens"), SWITCH,
    ),
    "chat_template": ("a text", "a list", "an object", "null"),
    "model_max_length": ("a number", "null"),
    "tokenizer_class": ("a text", "null"),
    "padding_side": ("a text", "null"),
    "truncation_side": ("a text", "null"),
    "added_tokens_decoder": ("an object", "null"),
    "additional_special_tokens": ("a list", "an object", "null"),
    "extra_special_tokens": ("a list", "an object", "null"),
    "auto_map": ("an object", "a list", "null"),
}  # fmt: skip
"""What the fields may be; others are transformers' affair."""
TOKENIZER: Mapping[str, tuple[str, ...]] = {
    "version": ("a text", "null"),
    "truncation": ("an object", "null"),
    "padding": ("an object", "null"),
    "added_tokens": ("a list", "null"),
    "normalizer": ("an object", "null"),
    "pre_tokenizer": ("an object", "null"),
    "post_processor": ("an object", "null"),
    "decoder": ("an object", "null"),
    "model": ("an object",),
}
"""The same of `tokenizer.json`."""
MODEL: Mapping[str, tuple[str, ...]] = {
    "type": ("a text", "null"),
    "vocab": ("an object", "a list"),
    "merges": ("a list",),
    "unk_token": ("a text", "null"),
    "unk_id": ("a whole number", "null"),
}
"""The same of the "model" in it."""
CONFIG_FILE, TOKENIZER_FILE = "tokenizer_config.json", "tokenizer.json"
TOKEN_FILES = ("special_tokens_map.json", "added_tokens.json")


def check_tokenizer_config(folder: Path) -> None:
    """Raise ModelError naming the file and the first field of a tokenizer's configuration that is not what it can be.

    A chat template may be a text, an object of texts by name, or a list of objects with name and template.
    """
    path = folder / CONFIG_FILE
    config = read_config(path)
    check_kinds(config, TOKENIZER_CONFIG, str(path))
    template = config.get("chat_template")
    texts: Sequence[Json] = list(template.values()) if isinstance(template, dict) else []
    if isinstance(template, list):
        texts = [each.get("template") if isinstance(each, dict) else each for each in template]
        named = all(isinstance(each, dict) and isinstance(each.get("name"), str) for each in template)
        texts = texts if named and template else [None]
    if not all(isinstance(each, str) for each in texts):
        what = f"must be a text, or texts by name, got {template!r:.80}"
        raise ModelError(what, where=f"{path}: chat_template", hint='[{"name": "default", "template": "..."}]')
    _check_decoder(config.get("added_tokens_decoder"), f"{path}: added_tokens_decoder")
    for name in TOKEN_FILES:
        read_config(folder / name)


def _check_decoder(tokens: Json, where: str) -> None:
    for number, token in tokens.items() if isinstance(tokens, dict) else ():
        if not number.isdecimal() or not isinstance(token, dict) or not isinstance(token.get("content"), str):
            raise ModelError(f"must map numbers to tokens, got {number!r:.40}: {token!r:.80}", where=where)


def check_kinds(values: Mapping[str, Json], kinds: Mapping[str, tuple[str, ...]], where: str) -> None:
    """Raise ModelError for the first field that is there and not of one of its `kinds`."""
    for name, allowed in kinds.items():
        if name in values and not any(_is(values[name], each) for each in allowed):
            what = " or ".join(filter(None, (", ".join(allowed[:-1]), allowed[-1])))
            raise ModelError(f"must be {what}, got {values[name]!r:.80}", where=f"{where}: {name}")


def _is(value: Json, kind: str) -> bool:
    """Return whether a value is of a kind; true and false are no numbers."""
    return isinstance(value, KINDS[kind]) and (not isinstance(value, bool) or kind == "true or false")


@contextmanager
def named_faults(folder: Path, label: str) -> Iterator[None]:
    """Turn what transformers raises about the files of `folder` into a ModelError that names file and field.

    It names the model's `label` where no file shows what is wrong.
    """
    try:
        with loading_errors(label):
            yield
    except ModelError:
        check_tokenizer(folder / TOKENIZER_FILE)
        raise


def check_tokenizer(path: Path) -> None:
    """Raise ModelError naming line or field of a `tokenizer.json` that is none; nothing where there is no such file."""
    from tokenizers import Tokenizer  # noqa: PLC0415 - comes with transformers

    if not path.is_file():
        return
    found = read_config(path)
    check_kinds(found, TOKENIZER, str(path))
    model = found.get("model")
    if not isinstance(model, dict):
        raise ModelError("must be an object, got nothing", where=f"{path}: model")
    check_kinds(model, MODEL, f"{path}: model")
    if "vocab" not in model:
        raise ModelError("must be an object or a list, got nothing", where=f"{path}: model.vocab")
    with loading_errors(str(path)):
        Tokenizer.from_file(str(path))
