"""A base with new tokens: its tokenizer knows them, and their embeddings are the means of the pieces they were before.

It is a model of its own, in the cache: `tune plan` makes it, as it must know how many tokens the rows have. Embeddings
and head are trained with it, under an adapter as well.
"""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from torch import nn

from ..decoder.loading import auto_class, loading_errors, quiet_loading
from ..errors import DataError, ModelError
from ..files import disk_fault
from ..files.folders import cache_folder
from ..identity import content_hash, slug
from ..plugin import DataSource, Model
from ..tune.card import CARD
from ..tune.encoding import TrainableModel
from ..tune.prepare import Prepared, trainable
from ..tune.records import EncodedRows, MixPlan
from ..tune.vocabulary import FertilityChange, Vocabulary, VocabularyReport, cache_name, read_token_list
from .checkpoints import sync
from .structure import head_of, is_tied

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

FRAME = ("x", "x")
"""Around a token whose text must come back."""
COPIED = ("generation_config.json", "*.jinja", "LICENSE*", "NOTICE*", CARD)
"""The card, too: it says the licence of the base."""


def extend_base(vocabulary: Vocabulary, model: Model, prepared: Prepared, data_source: DataSource) -> Path:
    """Return the folder of `model` with the new tokens, made where the cache does not have it.

    `prepared` is the mix with the base as it is: tokens are trained on its answers. Raises DataError where the list
    or the mix does not give the tokens, ModelError where the base has no tokenizer that takes them.
    """
    base = trainable(model)
    tokenizer = _open_tokenizer(base.tokenizer_files(), model.spec.name)
    if vocabulary.tokens is not None:
        tokens = list(read_token_list(vocabulary.tokens, data_source))
        _refuse_unusable(tokenizer, tokens, vocabulary.tokens)
    else:
        tokens = _train_tokens(tokenizer, answers_of(prepared, base), vocabulary.train or 0)
    name = cache_name(model.spec.name, len(tokens))
    identity = content_hash([model.spec.fingerprint, tokens])
    folder = cache_folder() / "vocabulary" / slug(name, identity)
    if not (folder / "config.json").is_file():
        _write(folder, base, tokenizer, tokens)
    return folder


def report_vocabulary(before: Prepared, base: Model, after: Prepared, model: Model) -> VocabularyReport:
    """Return how many tokens the answers of both plans have for each character, by language."""
    old, new = _fertility(before, trainable(base)), _fertility(after, trainable(model))
    added = len(_open_tokenizer(trainable(model).tokenizer_files(), model.spec.name)) - len(
        _open_tokenizer(trainable(base).tokenizer_files(), base.spec.name)
    )
    return VocabularyReport(
        base=base.spec.name,
        revision=base.spec.revision,
        added=added,
        fertility={code: FertilityChange(before=old[code], after=new[code]) for code in old if code in new},
    )


def answers_of(prepared: Prepared, base: TrainableModel) -> list[str]:
    """Return the answers of the distinct rows of a plan, of a conversation each, without their end tokens."""
    rows = prepared.rows
    return [base.text_of(answer) for row in range(len(rows)) for answer in _answers(rows, row)]


def _answers(rows: EncodedRows, row: int) -> list[list[int]]:
    """Return the tokens of each learnt answer of a row: what stands between two of them is asked, not answered."""
    start, end = int(rows.offsets[row]), int(rows.offsets[row + 1])
    if rows.learnt is None:
        return [rows.tokens[start + int(rows.answer_starts[row]) : end - 1].tolist()]
    learnt = [start + int(each) for each in np.flatnonzero(rows.learnt[start:end])]
    starts = [each for each in learnt if each == start or not rows.learnt[each - 1]]
    ends = [each for each in learnt if each + 1 == end or not rows.learnt[each + 1]]
    return [rows.tokens[first:last].tolist() for first, last in zip(starts, ends, strict=True)]


def _fertility(prepared: Prepared, base: TrainableModel) -> dict[str, float]:
    rows, plan = prepared.rows, prepared.plan
    tokens: dict[str, int] = {}
    characters: dict[str, int] = {}
    for row in range(len(rows)):
        code = _language(plan, rows, row)
        for answer in _answers(rows, row):
            tokens[code] = tokens.get(code, 0) + len(answer)
            characters[code] = characters.get(code, 0) + len(base.text_of(answer))
    return {code: tokens[code] / characters[code] for code in tokens if characters[code]}


def _language(plan: MixPlan, rows: EncodedRows, row: int) -> str:
    return plan.sources[int(rows.sources[row])].language


def _open_tokenizer(folder: Path, where: str) -> "PreTrainedTokenizerFast":
    from transformers import AutoTokenizer, PreTrainedTokenizerFast  # noqa: PLC0415 - slow to import

    with loading_errors(where), quiet_loading():
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        raise ModelError("its tokenizer is none of the tokenizers library, which new tokens need", where=where)
    return tokenizer


def _pieces(tokenizer: "PreTrainedTokenizerFast", text: str) -> list[int]:
    return list(tokenizer.encode(text, add_special_tokens=False))


def _with_tokens(tokenizer: "PreTrainedTokenizerFast", tokens: Sequence[str]) -> "Tokenizer":
    """Return a copy of the tokenizer's backend that knows `tokens`."""
    from tokenizers import AddedToken, Tokenizer  # noqa: PLC0415 - slow to import

    backend = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    backend.add_tokens([AddedToken(each, normalized=False, special=False) for each in tokens])
    return backend


def _unusable(tokenizer: "PreTrainedTokenizerFast", tokens: Sequence[str]) -> dict[str, str]:
    """Return why a token cannot be new, of those that cannot."""
    known = tokenizer.get_vocab()
    found = {}
    backend = _with_tokens(tokenizer, tokens)
    for token in tokens:
        framed = token.join(FRAME)
        if len(_pieces(tokenizer, token)) < 2:
            found[token] = "is one token already"
        elif token in known:
            found[token] = "is how this tokenizer writes another token"
        elif backend.decode(backend.encode(framed, add_special_tokens=False).ids) != framed:
            found[token] = "does not come back from its token"
    return found


def _refuse_unusable(tokenizer: "PreTrainedTokenizerFast", tokens: Sequence[str], where: str) -> None:
    wrong = _unusable(tokenizer, tokens)
    if wrong:
        token = next(iter(wrong))
        what = f"{token!r} {wrong[token]}" + (f", and {len(wrong) - 1:,} more" if len(wrong) > 1 else "")
        raise DataError(what, where=where, hint="take it out of the list")


def _train_tokens(tokenizer: "PreTrainedTokenizerFast", texts: Sequence[str], count: int) -> list[str]:
    """Return `count` new tokens, the most frequent merges of `texts` first; DataError where there are fewer."""
    size, seen = 2 * count + 1000, -1
    while True:
        candidates = _train(tokenizer, texts, size)
        wrong = _unusable(tokenizer, candidates)
        usable = [each for each in candidates if each not in wrong]
        if len(usable) >= count:
            return usable[:count]
        if len(candidates) == seen:
            what = f"the answers of the mix give {len(usable):,} new tokens, not {count:,}"
            raise DataError(what, where="vocabulary.train", hint="ask for fewer, or add text")
        size, seen = 2 * size, len(candidates)


def _train(tokenizer: "PreTrainedTokenizerFast", texts: Sequence[str], size: int) -> list[str]:
    """Return the texts of the tokens that a byte-pair encoding of `size` tokens has, in the order of its merges."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers  # noqa: PLC0415 - slow to import

    base = tokenizer.backend_tokenizer
    fresh = Tokenizer(models.BPE())
    if base.normalizer is not None:
        fresh.normalizer = base.normalizer
    fresh.pre_tokenizer = base.pre_tokenizer or pre_tokenizers.Metaspace()
    if base.decoder is not None:
        fresh.decoder = base.decoder
    alphabet = [*FRAME[:1], *pre_tokenizers.ByteLevel.alphabet()]
    trainer = trainers.BpeTrainer(vocab_size=size, min_frequency=2, show_progress=False, initial_alphabet=alphabet)
    fresh.train_from_iterator(texts, trainer)
    first = fresh.get_vocab()[FRAME[0]]
    lead = len(fresh.decode([first]))
    found = [fresh.decode([first, number])[lead:] for number in range(fresh.get_vocab_size())]
    return [each for each in dict.fromkeys(found) if len(each.strip()) and "\ufffd" not in each]


def _write(folder: Path, base: TrainableModel, tokenizer: "PreTrainedTokenizerFast", tokens: Sequence[str]) -> None:
    """Write the extended model, whole or not at all."""
    from tokenizers import AddedToken  # noqa: PLC0415 - slow to import
    from transformers import AutoConfig  # noqa: PLC0415 - slow to import

    weights, where = base.weights(), base.spec.name
    with loading_errors(where), quiet_loading():
        config = AutoConfig.from_pretrained(weights, local_files_only=True)
        lm = auto_class(config).from_pretrained(weights, config=config, dtype="auto", local_files_only=True)
    pieces = [_pieces(tokenizer, each) for each in tokens]
    tokenizer.add_tokens([AddedToken(each, normalized=False, special=False) for each in tokens])
    _add_embeddings(lm, pieces, tokenizer.convert_tokens_to_ids(list(tokens)), len(tokenizer))
    unfinished = folder.with_name(f".writing-{folder.name}-{os.getpid()}")
    try:
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        with quiet_loading():
            lm.save_pretrained(unfinished)
            tokenizer.save_pretrained(unfinished)
        for source in dict.fromkeys((weights, base.tokenizer_files())):
            for path in sorted({path for pattern in COPIED for path in source.glob(pattern)}):
                if path.is_file():
                    shutil.copyfile(path, unfinished / path.name)
        sync(unfinished)
        shutil.rmtree(folder, ignore_errors=True)
        unfinished.rename(folder)
    except OSError as error:
        raise disk_fault(error, folder) from error


def _add_embeddings(lm: nn.Module, pieces: Sequence[Sequence[int]], ids: Sequence[int], size: int) -> None:
    """Give each new token the mean of its pieces' rows, in the embeddings and in a head of its own."""
    parts = [cast(nn.Module, lm.get_input_embeddings())]  # type: ignore[operator]  # of transformers
    rows = cast(torch.Tensor, parts[0].weight).shape[0]
    if size > rows:
        lm.resize_token_embeddings(size, mean_resizing=False)  # type: ignore[operator]  # of transformers
        parts = [cast(nn.Module, lm.get_input_embeddings())]  # type: ignore[operator]  # of transformers
    head = head_of(lm)
    if head is not None and not is_tied(lm):
        parts.append(head)
    with torch.no_grad():
        for part in parts:
            for name in ("weight", "bias"):
                values = getattr(part, name, None)
                if isinstance(values, torch.Tensor):
                    means = [values[list(each)].float().mean(0) for each in pieces]
                    values[torch.as_tensor(np.asarray(ids))] = torch.stack(means).to(values.dtype)
