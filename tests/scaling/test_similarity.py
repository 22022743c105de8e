"""Token fertility through a model's own count of tokens."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from xlingual.data.parallel import read_lines
from xlingual.errors import DataError, ModelError
from xlingual.plugin import ModelOptions
from xlingual.records import DataFile, ModelSpec, Origin, Request, Response
from xlingual.scaling.similarity import token_fertility
from xlingual.selection import open_model

DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "parallel" / "flores-dev-510"


@dataclass(frozen=True)
class ByteModel:
    """A model whose tokens are bytes, with one more before each text; or one that cannot count."""

    counts: bool = True

    @property
    def spec(self) -> ModelSpec:
        return open_model("echo", ModelOptions()).spec

    def count_tokens(self, requests: Sequence[Request]) -> list[int] | None:
        return [1 + len(each.messages[0].text.encode()) for each in requests] if self.counts else None

    def answer(self, requests: Sequence[Request]) -> Iterator[Response]:
        raise NotImplementedError

    def close(self) -> None:
        return None


def test_bytes_by_hand() -> None:
    sentences = {"en": ["abcd"] * 25, "hi": ["कख"] * 25}
    english, hindi = token_fertility(ByteModel(), sentences)
    # 25 sentences are three texts of 10, 10 and 5: a byte before each, and a line feed between sentences.
    assert english.tokens == 25 * 4 + 22 + 3
    assert hindi.tokens == 25 * 6 + 22 + 3
    assert (english.similarity, hindi.similarity) == (1.0, 125 / 175)
    assert (hindi.characters, hindi.sentences, hindi.characters_per_token) == (50, 25, 50 / 175)


def test_similarity_is_never_above_one() -> None:
    assert token_fertility(ByteModel(), {"en": ["long words"], "zh": ["a"]})[1].similarity == 1.0


def test_what_cannot_be_measured() -> None:
    with pytest.raises(ModelError, match="cannot count tokens"):
        token_fertility(ByteModel(counts=False), {"en": ["a"], "zh": ["b"]})
    with pytest.raises(DataError, match="zh: 2 sentences, but 1 in en"):
        token_fertility(ByteModel(), {"en": ["a"], "zh": ["b", "c"]})
    with pytest.raises(DataError, match="no sentences in 'en'"):
        token_fertility(ByteModel(), {"zh": ["b"]})


@pytest.mark.slow
@pytest.mark.skipif(not DATA.is_dir(), reason="the Flores dev sentences are not beside the project")
def test_smollm2_on_flores_dev() -> None:
    """A tokenizer made for English cuts other scripts into bytes; languages order as anyone would expect."""
    model = open_model("smollm2", ModelOptions())
    sentences = {code: _lines(name) for code, name in (("en", "eng"), ("es", "spa"), ("tr", "tur"), ("hi", "hin"))}
    try:
        found = {each.language: each for each in token_fertility(model, sentences)}
    finally:
        model.close()
    assert found["en"].similarity == 1.0
    assert found["en"].characters_per_token == pytest.approx(4.5, abs=0.4)
    assert 1.0 > found["es"].similarity > found["tr"].similarity > found["hi"].similarity > 0.1


def _lines(name: str) -> tuple[str, ...]:
    path = DATA / f"{name}.txt"
    return read_lines(DataFile(name=name, origin=Origin.LOCAL, path=str(path), revision=None, sha256=""))
