"""The tokenizer of a folder: loaded as transformers does, and compared with its bare `tokenizer.json`.

The class that `tokenizer_config.json` names may bring a pre-tokenizer of its own and overrule the file's. transformers'
tokenizer is the one that is used, for it is the one that others evaluate with; where its tokens are others than the
file's, which the servers in Rust read, a note says so.
"""

from pathlib import Path
from typing import cast

from xlingual.records import Failure

from ..limits import attempt
from ..tokens.rendering import Tokenizer, tokenize

FILE = "tokenizer.json"
PROBES = (
    "The quick brown fox didn't jump over 1,234.5 lazy dogs (at 10:30)!",
    "  two spaces,\ttab\n\nand lines\r\n",
    "Straße, naïve café, İstanbul, Đà Nẵng",
    "Быстрая лиса. Η γρήγορη αλεπού. Ապրիլ",
    "القاهرة عاصمة مصر، ١٢٣. שלום עולם",
    "नमस्ते दुनिया। স্বাগতম। வணக்கம் తెలుగు",
    "中国的首都是北京。日本語のテスト、한국어 문장입니다.",
    "สวัสดีชาวโลก မြန်မာ ភាសាខ្មែរ አማርኛ ქართული",
    "e\u0301 vs \u00e9, \ufb01ne \u2460 \u00a0\u200b\U0001f600",
)
"""Texts that tell tokenizers apart: spaces, numbers, contractions, scripts, forms of Unicode."""


def load_tokenizer(folder: Path, *, trusted: bool) -> Tokenizer:
    """Return the tokenizer as transformers loads it; `trusted`: the model's own code may run."""
    from transformers import AutoTokenizer  # noqa: PLC0415 - heavy

    loaded = AutoTokenizer.from_pretrained(folder, trust_remote_code=trusted, local_files_only=True)
    return cast(Tokenizer, loaded)


def extended_tokenizer(folder: Path, tokenizer: Tokenizer) -> tuple[Tokenizer, dict[str, int]]:
    """Return the tokenizer of an adapter where it has tokens that its base's lacks, and those; else its base's."""
    if not (folder / FILE).is_file():
        return tokenizer, {}
    own = load_tokenizer(folder, trusted=False)
    known = _vocabulary(tokenizer)
    added = {token: number for token, number in _vocabulary(own).items() if token not in known}
    return (own, added) if added else (tokenizer, {})


def _vocabulary(tokenizer: Tokenizer) -> dict[str, int]:
    return cast(dict[str, int], getattr(tokenizer, "get_vocab")())  # noqa: B009 - not in the protocol


def tokenizer_difference(folder: Path, tokenizer: Tokenizer) -> str | None:
    """Return which text the tokenizer makes other tokens of than the folder's `tokenizer.json`, or None."""
    from tokenizers import Tokenizer as BareTokenizer  # noqa: PLC0415 - comes with transformers

    path = folder / FILE
    if not path.is_file():
        return None
    bare = BareTokenizer.from_file(str(path))
    bare.no_truncation()
    bare.no_padding()
    expected = attempt(lambda: [each.ids for each in bare.encode_batch(list(PROBES), add_special_tokens=False)])
    if isinstance(expected, Failure):
        return None
    found = [list(each) for each in tokenize(tokenizer, list(PROBES), special=False)]
    unlike = [text for text, ours, file in zip(PROBES, found, expected, strict=True) if ours != file]
    if not unlike:
        return None
    name = type(tokenizer).__name__
    return f"{name} makes other tokens than {FILE} of {len(unlike)} of {len(PROBES)} texts, {unlike[0].strip()!r}"
