"""Encoder-decoders answer as transformers' own `generate` does one by one, and score as its loss."""

import importlib.util
import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

from xlingual.errors import ModelError
from xlingual.plugin import ModelOptions
from xlingual.records import Choice, Finish, Request, Translation
from xlingual.registry import MODELS
from xlingual.sampling import Sampling
from xlingual.text import find_stop

MakeRequest = Callable[..., Request]
PROMPTS = [f"The fox {'jumps over the lazy dog ' * (number % 4)}number {number}" for number in range(12)]
CHOICES = (" the dog", " Warszawa", " over the lazy dogs", " x")
FAMILIES = ("mt5", "madlad", "nllb", "m2m", "mbart50", "mbart")
SOURCE = {"nllb": "eng_Latn", "m2m": "en", "mbart50": "en_XX", "mbart": "en_XX"}
TARGET = {"madlad": "<2zh>", "nllb": "zho_Hans", "m2m": "__zh__", "mbart50": "zh_CN", "mbart": "zh_CN"}
TO_CHINESE = Translation(source="en", target="zh")


def _folders() -> ModuleType:
    spec = importlib.util.spec_from_file_location("folders", Path(__file__).with_name("folders.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


FOLDERS = _folders()


@pytest.fixture(scope="module", params=FAMILIES)
def family(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def folder(family: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("encoder-decoders") / family
    getattr(FOLDERS, family)(path)
    return path


def open_hf(folder: Path, **options: Any) -> Any:  # noqa: ANN401 - of the plugin
    return MODELS.get("hf")(str(folder), ModelOptions(device="cpu", **options))


def ask(family: str, text: str, text_request: MakeRequest, **fields: Any) -> Request:  # noqa: ANN401 - of a request
    request = text_request(text, max_new_tokens=10)
    return replace(request, translation=None if family == "mt5" else TO_CHINESE, **fields)


def inputs(family: str, folder: Path, text: str) -> tuple[Any, torch.Tensor, list[int]]:
    """Return the tokenizer, what the encoder reads, and what the decoder is given, as transformers' pages say."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    if family in SOURCE:
        tokenizer.src_lang = SOURCE[family]
    ids = tokenizer(f"{TARGET[family]} {text}" if family == "madlad" else text, return_tensors="pt").input_ids
    start = 0 if family in ("mt5", "madlad") else 2
    target = tokenizer.convert_tokens_to_ids(TARGET.get(family, "</s>"))
    given = {"mt5": [start], "madlad": [start], "mbart": [target]}.get(family, [start, target])
    return tokenizer, ids, given


def plain_answer(family: str, folder: Path, model: Any, text: str) -> str:  # noqa: ANN401 - of transformers
    tokenizer, ids, given = inputs(family, folder, text)
    named: dict[str, int] = {}
    if len(given) == 2:
        named["forced_bos_token_id"] = given[1]
    whole = model.generate(
        ids, num_beams=1, do_sample=False, max_length=None, max_new_tokens=10 + len(given) - 1,
        decoder_start_token_id=given[0], **named,
    )  # fmt: skip
    new = whole[0, len(given) :].tolist()
    end = model.config.eos_token_id
    new = new[: new.index(end)] if end in new else new
    return str(tokenizer.decode(new, skip_special_tokens=True, clean_up_tokenization_spaces=False))


@pytest.mark.parametrize("rows", [1, 5, None])
def test_answers_are_those_of_generate(family: str, folder: Path, text_request: MakeRequest, rows: int | None) -> None:
    model = open_hf(folder, batch_size=rows)
    assert model.spec.template == ("raw" if family == "mt5" else "translation")
    requests = [ask(family, text, text_request) for text in PROMPTS]
    counts = model.count_tokens(requests)
    found = {each.key: each for each in model.answer(requests)}
    reference = AutoModelForSeq2SeqLM.from_pretrained(folder)
    expected = [plain_answer(family, folder, reference, text) for text in PROMPTS]
    assert [found[text].text for text in PROMPTS] == expected
    assert len(set(expected)) > 1, "the model reads its prompt"
    assert [found[text].prompt_tokens for text in PROMPTS] == counts
    assert counts == [inputs(family, folder, text)[1].shape[1] for text in PROMPTS]


def test_choices_are_scored_as_by_the_loss(family: str, folder: Path, text_request: MakeRequest) -> None:
    choices = tuple(Choice(text=text) for text in CHOICES)
    requests = [ask(family, text + ":", text_request, choices=choices) for text in PROMPTS]
    model = AutoModelForSeq2SeqLM.from_pretrained(folder)
    for options in ({}, {"batch_size": 3}, {"engine": "packed"}, {"deterministic": True}):
        found = {each.key: each for each in open_hf(folder, **options).answer(requests)}
        for request in requests[:: 1 if options == {} else 5]:
            tokenizer, ids, given = inputs(family, folder, request.key)
            for likelihood, text in zip(found[request.key].likelihoods or (), CHOICES, strict=True):
                target = tokenizer(text, add_special_tokens=False).input_ids
                logits = model(input_ids=ids, decoder_input_ids=torch.tensor([[*given, *target[:-1]]])).logits[0]
                scores = logits[len(given) - 1 :].detach().log_softmax(-1)
                expected = float(scores[range(len(target)), target].sum())
                assert likelihood.logarithm == pytest.approx(expected, abs=1e-4, rel=1e-5)
                assert likelihood.is_greedy == (scores.argmax(-1).tolist() == target)
                assert likelihood.tokens == len(target)
                if len(given) == 1 and family != "mbart":
                    loss = model(input_ids=ids, labels=torch.tensor([target])).loss
                    assert likelihood.logarithm == pytest.approx(
                        -float(loss.detach()) * len(target), abs=1e-4, rel=1e-5
                    )


def test_stop_strings_end_answers(family: str, folder: Path, text_request: MakeRequest) -> None:
    model = open_hf(folder)
    plain = {each.key: each for each in model.answer([ask(family, text, text_request) for text in PROMPTS])}
    checked = 0
    for text, whole in ((text, plain[text].text or "") for text in PROMPTS):
        stop = whole.strip()[3:5]
        if len(stop) == 2 and stop.strip() == stop:
            [found] = model.answer([ask(family, text, text_request, stop=(stop,))])
            assert found.finish is Finish.STOP
            assert found.text == whole[: find_stop(whole, (stop,))]
            checked += 1
    assert checked


@pytest.mark.slow
@pytest.mark.parametrize("device", ["cpu,cpu"])
def test_workers_answer_the_same(family: str, folder: Path, text_request: MakeRequest, device: str) -> None:
    if family not in ("mt5", "nllb"):
        pytest.skip("two families show it")
    choices = tuple(Choice(text=text) for text in CHOICES)
    requests = [ask(family, text, text_request) for text in PROMPTS]
    requests += [
        replace(ask(family, text, text_request, choices=choices), key=f"choices of {text}") for text in PROMPTS
    ]
    one = {each.key: each for each in open_hf(folder).answer(requests)}
    workers: Any = MODELS.get("hf")(str(folder), ModelOptions(device=device))
    two = {each.key: each for each in workers.answer(requests)}
    workers.close()
    assert {key: each.text for key, each in one.items()} == {key: each.text for key, each in two.items()}
    for key, each in one.items():
        for left, right in zip(each.likelihoods or (), two[key].likelihoods or (), strict=True):
            assert math.isclose(left.logarithm, right.logarithm, abs_tol=1e-4, rel_tol=1e-5)


@pytest.mark.parametrize(
    ("language", "codes"),
    [
        ("zh", {"madlad": "<2zh>", "nllb": "zho_Hans", "m2m": "__zh__", "mbart50": "zh_CN", "mbart": "zh_CN"}),
        ("zho_trad", {"nllb": "zho_Hant"}),
        ("de", {"madlad": "<2de>", "nllb": "deu_Latn", "m2m": "__de__", "mbart50": "de_DE", "mbart": "de_DE"}),
        ("fa", {"nllb": "pes_Arab", "m2m": "__fa__", "mbart50": "fa_IR"}),
        ("ko", {"nllb": "kor_Hang", "m2m": "__ko__", "mbart50": "ko_KR", "mbart": "ko_KR"}),
        ("he", {"madlad": "<2iw>", "m2m": "__he__", "mbart50": "he_IL"}),
        ("tl", {"madlad": "<2fil>", "m2m": "__tl__", "mbart50": "tl_XX"}),
        ("nso", {"m2m": "__ns__"}),
        ("nb", {"m2m": "__no__"}),
        ("kea", {}),
    ],
)
def test_languages_by_our_table(
    family: str, folder: Path, text_request: MakeRequest, language: str, codes: dict[str, str]
) -> None:
    if family == "mt5":
        pytest.skip("it does not only translate")
    model = open_hf(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    request = replace(text_request("The fox"), translation=Translation(source="en", target=language))
    if family not in codes:
        with pytest.raises(ModelError, match=f"does not translate {language}") as caught:
            model.count_tokens([request])
        assert caught.value.hint
        return
    token = tokenizer.convert_tokens_to_ids(codes[family])
    [rendered] = model.tokens.take([request])
    given = model.description.encoder_decoder.decoder_prompt(language)
    assert token == (rendered.ids[0] if family == "madlad" else given[-1])
    if family != "madlad":
        back = replace(request, translation=Translation(source=language, target="en"))
        [rendered] = model.tokens.take([back])
        assert token == rendered.ids[-1 if family == "mbart" else 0]


def test_encoder_decoders_are_not_tuned(family: str, folder: Path, text_request: MakeRequest) -> None:
    with pytest.raises(ModelError, match="cannot be tuned"):
        open_hf(folder).prompt_ids([ask(family, "The fox", text_request)])


def test_a_translator_is_asked_for_translations_only(family: str, folder: Path, text_request: MakeRequest) -> None:
    request = text_request("The fox")
    if family == "mt5":
        assert open_hf(folder).count_tokens([request])
        return
    with pytest.raises(ModelError, match="only translates") as caught:
        open_hf(folder).count_tokens([request])
    assert caught.value.hint


def test_samples_are_drawn_by_their_seeds(folder: Path, family: str, text_request: MakeRequest) -> None:
    """The same in any company; another seed draws another answer."""

    def answers(rows: int, seed: int) -> dict[str, str | None]:
        sampling = Sampling(temperature=2.0, seed=seed)
        requests = [ask(family, text, text_request, sampling=sampling) for text in PROMPTS[:6]]
        return {each.key: each.text for each in open_hf(folder, batch_size=rows).answer(requests)}

    assert answers(1, 5) == answers(4, 5) != answers(4, 6)


def test_weights_that_do_not_fit_never_answer(
    family: str, folder: Path, tmp_path: Path, text_request: MakeRequest
) -> None:
    """A tensor too many, one too few, or a decoder alone: each would answer garbage."""
    request = ask(family, "The fox", text_request)
    weights = load_file(folder / "model.safetensors")
    name = next(each for each in sorted(weights) if each.startswith(("encoder", "model.encoder")) and "norm" in each)
    extra = {**weights, name.replace("encoder", "adapter"): weights[name].clone()}
    fewer = {key: value for key, value in weights.items() if key != name}
    decoder = {key: value for key, value in weights.items() if "encoder." not in key or "encoder_attn" in key}
    for number, tensors in enumerate((extra, fewer, decoder)):
        copy = tmp_path / str(number)
        copy.mkdir()
        for path in folder.iterdir():
            (copy / path.name).write_bytes(path.read_bytes())
        save_file(tensors, copy / "model.safetensors", metadata={"format": "pt"})
        with pytest.raises(ModelError, match="tensors"):
            list(open_hf(copy).answer([request]))


def test_tied_embeddings_answer(tmp_path: Path, text_request: MakeRequest) -> None:
    """As saved, without the tensors that are tied, and saved twice by other tools."""
    folder = tmp_path / "tied"
    FOLDERS.mbart50(folder)
    config = json.loads((folder / "config.json").read_text())
    assert config.get("tie_word_embeddings", True)
    request = ask("mbart50", "The fox", text_request)
    [expected] = open_hf(folder).answer([request])
    weights = load_file(folder / "model.safetensors")
    shared = next(each for name, each in weights.items() if name.endswith("shared.weight"))
    for name in ("model.encoder.embed_tokens.weight", "model.decoder.embed_tokens.weight", "lm_head.weight"):
        weights[name] = shared.clone()
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    [found] = open_hf(folder).answer([request])
    assert found == expected
