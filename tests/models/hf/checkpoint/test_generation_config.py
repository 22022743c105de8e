"""What of a generation_config is followed: end tokens and barred tokens always, sampling only when asked for."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

from xlingual.errors import ModelError, UsageError
from xlingual.plugin import ModelOptions
from xlingual.records import Request
from xlingual.registry import MODELS
from xlingual.sampling import Sampling
from xlingual.thinking import ThinkingMarkers

MakeRequest = Callable[..., Request]
PROMPTS = [f"The fox number {number} runs through Warszawa" for number in range(12)]


@pytest.fixture
def copy(tiny_llama: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_llama, tmp_path / "copy"))


def open_with(folder: Path, fields: dict[str, object] | None, **options: Any) -> Any:  # noqa: ANN401 - of the plugin
    path = folder / "generation_config.json"
    path.unlink(missing_ok=True)
    if fields is not None:
        path.write_text(json.dumps(fields))
    return MODELS.get("hf")(str(folder), ModelOptions(device="cpu", **options))


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"do_sample": True, "temperature": 0.6, "top_p": 0.95, "top_k": 20}, (0.6, 20, 0.95, None)),
        ({"do_sample": True, "temperature": 0.6, "top_p": 0.9}, (0.6, None, 0.9, None)),
        ({"do_sample": True, "temperature": 1, "min_p": 0.05, "top_k": 0, "top_p": 1.0}, (1.0, None, None, 0.05)),
        ({"do_sample": True}, (1.0, None, None, None)),
        ({"do_sample": True, "temperature": None, "top_k": None}, (1.0, None, None, None)),
        ({"do_sample": True, "temperature": 0.0}, None),
        ({"do_sample": False, "temperature": 0.6}, None),
        ({"temperature": 0.6}, None),
        ({"do_sample": True, "top_k": 1e300, "min_p": 3}, (1.0, None, None, 1.0)),
        ({"do_sample": True, "top_k": 10**23, "top_p": 1.5}, (1.0, None, None, None)),
        ({"do_sample": None, "temperature": 0.6}, None),
        ({}, None),
        (None, None),
    ],
)
def test_the_sampling_that_a_model_recommends(
    copy: Path, fields: dict[str, object] | None, expected: tuple[Any, ...] | None
) -> None:
    found = open_with(copy, fields).spec.sampling
    if expected is None:
        assert found is None
    else:
        temperature, top_k, top_p, min_p = expected
        assert found == Sampling(temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p)


@pytest.mark.parametrize(
    ("template", "end", "expected"),
    [
        ("<think>\n</think>", None, ("<think>", "</think>")),
        ("[THINK][/THINK]", None, ("[THINK]", "[/THINK]")),
        ("no thinking", None, None),
        ("no thinking", "</think>", ("<think>", "</think>")),
        ("<think></think>", "</plan>", ("<plan>", "</plan>")),
        ("no thinking", "<|END_PLAN|>", ("<|START_PLAN|>", "<|END_PLAN|>")),
    ],
)
def test_what_ends_thinking(copy: Path, template: str, end: str | None, expected: tuple[str, str] | None) -> None:
    (copy / "chat_template.jinja").write_text("{{ messages[0]['content'] }}{# " + template + " #}")
    spec = open_with(copy, {"eos_token_id": 2}, thinking_end=end).spec
    assert spec.thinking == (ThinkingMarkers(start=expected[0], end=expected[1]) if expected else None)
    plain = open_with(copy, {"eos_token_id": 2}).spec
    assert (spec.fingerprint == plain.fingerprint) == (spec.thinking == plain.thinking)


MALFORMED: list[tuple[str, object]] = [
    ("temperature", float("nan")), ("temperature", float("inf")), ("temperature", "0.7"), ("temperature", True),
    ("top_p", [0.9]), ("top_k", "all"), ("min_p", float("nan")), ("do_sample", "yes"), ("do_sample", 1),
    ("suppress_tokens", "abc"), ("suppress_tokens", [[5]]), ("begin_suppress_tokens", [5.5]), ("bad_words_ids", [5]),
    ("bad_words_ids", [[]]), ("bad_words_ids", [[10**6]]), ("sequence_bias", {"x": 1}),
    ("sequence_bias", [[[5], "low"]]), ("sequence_bias", [[[-1], 1.0]]), ("eos_token_id", True),
]  # fmt: skip


@pytest.mark.parametrize(("name", "wrong"), MALFORMED)
def test_a_field_that_is_malformed_is_named_before_the_first_answer(copy: Path, name: str, wrong: object) -> None:
    fields = {"eos_token_id": 2, "do_sample": True, name: wrong}
    with pytest.raises(ModelError, match="must be") as caught:
        open_with(copy, fields)
    assert caught.value.where == f"generation_config.json: {name}"


def test_an_end_token_of_minus_one_is_none(copy: Path) -> None:
    assert open_with(copy, {"eos_token_id": [-1, 9]}).description.end_ids == (2, 9)


def test_a_blank_end_of_thinking_is_refused(copy: Path) -> None:
    with pytest.raises(UsageError, match="blank"):
        open_with(copy, {"eos_token_id": 2}, thinking_end=" ")


def test_end_tokens_are_those_of_every_file(copy: Path) -> None:
    files: list[tuple[dict[str, object] | None, set[int]]] = [
        ({"eos_token_id": [7, 9]}, {2, 7, 9}), ({"eos_token_id": 9}, {2, 9}), ({}, {2}), (None, {2}),
    ]  # fmt: skip
    for fields, ends in files:
        model = open_with(copy, fields)
        assert set(model.description.end_ids) == ends
        names = model.description.tokenizer.convert_ids_to_tokens(sorted(ends))
        assert model.spec.details["end tokens"] == ", ".join(names)


@pytest.mark.parametrize("wrong", ["</s>", [[2]], [2, "</s>"], 2.5, {"a": 2}])
def test_end_tokens_that_are_none(copy: Path, wrong: object) -> None:
    with pytest.raises(ModelError, match="token id") as caught:
        open_with(copy, {"eos_token_id": wrong})
    assert caught.value.where.startswith("generation_config.json")


def plain_answers(folder: Path, model: Any) -> list[list[int]]:  # noqa: ANN401 - of the plugin
    """Return what `generate` of transformers says one by one, greedily, under the constraints of the folder."""
    fields = json.loads((folder / "generation_config.json").read_text())
    reference = AutoModelForCausalLM.from_pretrained(folder)
    reference.generation_config = GenerationConfig(**fields)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    found = []
    for text in PROMPTS:
        ids = tokenizer(text, return_tensors="pt").input_ids
        whole = reference.generate(ids, do_sample=False, max_new_tokens=12, pad_token_id=0)
        new = whole[0, ids.shape[1] :].tolist()
        found.append([each for each in new if each not in model.description.end_ids])
    return found


@pytest.mark.parametrize("engine", [None, "packed", "static", "paged"])
@pytest.mark.parametrize("name", ["suppress_tokens", "bad_words_ids", "begin_suppress_tokens", "sequence_bias"])
def test_tokens_that_the_configuration_bars_are_never_said(
    copy: Path, text_request: MakeRequest, engine: str | None, name: str
) -> None:
    requests = [text_request(text) for text in PROMPTS]
    free = open_with(copy, {"eos_token_id": 2}, engine=engine)
    tokenizer = AutoTokenizer.from_pretrained(copy)
    texts = {each.key: each.text for each in free.answer(requests)}
    said = sorted({token for text in texts.values() for token in tokenizer.encode(text)[:3]})[::2]
    value: dict[str, list[Any]] = {
        "suppress_tokens": said,
        "begin_suppress_tokens": said,
        "bad_words_ids": [[each] for each in said],
        "sequence_bias": [[[each], -50.0] for each in said],
    }
    fields: dict[str, object] = {"eos_token_id": 2, name: value[name]}
    barred = open_with(copy, fields, engine=engine)
    notes: list[str] = []
    barred.on_note(notes.append)
    found = {each.key: each.text for each in barred.answer(requests)}
    expected = [tokenizer.decode(ids, skip_special_tokens=True) for ids in plain_answers(copy, barred)]
    assert [found[text] for text in PROMPTS] == expected
    assert found != texts
    assert barred.spec.fingerprint != free.spec.fingerprint
    assert any(name in each for each in notes) == (engine != "static")


def test_penalties_are_dropped_and_said(copy: Path, text_request: MakeRequest) -> None:
    """Greedy means the likeliest token: penalties, beams and the like belong to the search."""
    plain = open_with(copy, {"eos_token_id": 2})
    steered = open_with(copy, {"eos_token_id": 2, "repetition_penalty": 1.9, "num_beams": 4, "top_k": 3})
    assert list(plain.answer([text_request("fox")])) == list(steered.answer([text_request("fox")]))
    assert steered.spec.details["generation_config not followed"] == "repetition_penalty 1.9, num_beams 4"
    assert "generation_config not followed" not in plain.spec.details
