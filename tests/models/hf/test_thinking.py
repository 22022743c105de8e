"""Local models that think: their switch, their markers, stop strings, and the budget; on a model that recites."""

import importlib
import json
import pickle
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from transformers import AutoTokenizer, GenerationConfig, LlamaConfig, LlamaForCausalLM

from xlingual.plugin import Model, ModelOptions
from xlingual.records import Finish, Form, Request, Response
from xlingual.registry import MODELS
from xlingual.sampling import Sampling
from xlingual.thinking import ThinkingMarkers, ThinkingMode, split_thinking

THOUGHT = ["one\n", "two\n", "three\n", "four\n"]
ANSWER = ["Kra", "kow", "!\n", "Question"]
WORDS = [*THOUGHT, *ANSWER, "\n\n"]
TEMPLATE = (
    "{{% for m in messages %}}<|{{{{ m['role'] }}}}|>{{{{ m['content'] }}}}</s>{{% endfor %}}"
    "{{% if add_generation_prompt %}}<|assistant|>"
    "{{% if enable_thinking is defined and not enable_thinking %}}{start}\n\n{end}\n\n{cue}{{% endif %}}{{% endif %}}"
)
"""With the empty thought of Qwen3 where thinking is off, and `cue` otherwise."""


def part(name: str) -> ModuleType:
    return importlib.import_module(f"xlingual.plugins.models.hf.{name}")


def recite(folder: Path, source: Path, markers: ThinkingMarkers, *, opens: bool, special: bool) -> Path:
    """Save a model that says a thought and an answer, each token from the one before it alone; return its folder.

    `opens`: its prompt opens the thinking, not the model; `special`: its markers are special tokens.
    """
    tokenizer = AutoTokenizer.from_pretrained(source)
    tokenizer.add_tokens([markers.start, markers.end], special_tokens=special)
    tokenizer.add_tokens(WORDS)
    cue = f"{{% else %}}{markers.start}\n" if opens else ""
    tokenizer.chat_template = TEMPLATE.format(start=markers.start, end=markers.end, cue=cue)
    tokenizer.save_pretrained(folder)
    [newline] = tokenizer.encode("\n", add_special_tokens=False)
    ids = {text: tokenizer.convert_tokens_to_ids(text) for text in [*WORDS, markers.start, markers.end]}
    told = [markers.end, "\n\n", *ANSWER]
    following = {ids[a]: ids[b] for a, b in zip([*THOUGHT, *told], [*THOUGHT[1:], *told], strict=False)}
    following |= {
        tokenizer.convert_tokens_to_ids("<|assistant|>"): ids[markers.start],
        ids[markers.start]: newline,
        newline: ids[THOUGHT[0]],
        ids["Question"]: tokenizer.eos_token_id,
    }
    size = -(-len(tokenizer) // 16) * 16
    config = LlamaConfig(
        vocab_size=size, hidden_size=size, intermediate_size=16, num_hidden_layers=1, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=256, eos_token_id=tokenizer.eos_token_id,
    )  # fmt: skip
    model = LlamaForCausalLM(config)
    with torch.no_grad():
        layer: Any = model.model.layers[0]
        for projection in (layer.self_attn.o_proj, layer.mlp.down_proj):
            projection.weight.zero_()
        model.model.embed_tokens.weight.copy_(torch.eye(size))
        head: Any = model.lm_head.weight
        head.zero_()
        for before, after in following.items():
            head[after, before] = 1.0
    model.save_pretrained(folder)
    GenerationConfig(eos_token_id=tokenizer.eos_token_id).save_pretrained(folder)
    return folder


THINK = ThinkingMarkers(start="<think>", end="</think>")
BRACKETS = ThinkingMarkers(start="[THINK]", end="[/THINK]")
KINDS = {
    "the prompt opens": (THINK, True, False),
    "the model opens": (THINK, False, False),
    "special tokens": (BRACKETS, False, True),
    "special tokens, the prompt opens": (BRACKETS, True, True),
}


@pytest.fixture(scope="module", params=list(KINDS))
def reciting(request: pytest.FixtureRequest, tiny_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:  # noqa: ANN401 - a folder and its markers
    markers, opens, special = KINDS[request.param]
    folder = tmp_path_factory.mktemp("reciting") / "model"
    return recite(folder, tiny_llama, markers, opens=opens, special=special), markers, opens


@pytest.fixture(scope="module")
def qwen(tiny_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return recite(tmp_path_factory.mktemp("qwen") / "model", tiny_llama, THINK, opens=False, special=False)


Ask = Callable[..., Response]


@pytest.fixture(scope="module", params=["packed", "static"])
def ask(request: pytest.FixtureRequest, text_request: Callable[..., Request]) -> Ask:
    """Ask one question, of an engine, with fields of the request."""
    models: dict[Path, Model] = {}

    def one(folder: Path, **fields: Any) -> Response:  # noqa: ANN401 - of a request
        if folder not in models:
            models[folder] = MODELS.get("hf")(str(folder), ModelOptions(device="cpu", engine=request.param))
        asked = replace(text_request("Where?", form=Form.CHAT, max_new_tokens=40), **fields)
        [response] = models[folder].answer([asked])
        return response

    return one


def test_thinking_is_told_from_the_answer(reciting: Any, ask: Ask) -> None:  # noqa: ANN401 - see the fixture
    folder, markers, opens = reciting
    response = ask(folder)
    thought = f"{markers.start}\n{''.join(THOUGHT)}{markers.end}"
    assert response.text == f"{thought}\n\n{''.join(ANSWER)}"
    assert response.finish is Finish.EOS
    # Start and line break stand in the prompt, or are two tokens of the model.
    assert response.thinking_tokens == 5 + 2 * (not opens)
    assert response.tokens == response.thinking_tokens + 5
    split = split_thinking(response.text or "")
    assert (split.thinking, split.text) == ("one\ntwo\nthree\nfour", "Krakow!\nQuestion")


def test_stop_strings_end_the_text_and_never_the_thinking(reciting: Any, ask: Ask) -> None:  # noqa: ANN401 - see the fixture
    folder, markers, opens = reciting
    response = ask(folder, stop=("\n", "three", markers.start[1:4]))
    assert response.text == f"{markers.start}\n{''.join(THOUGHT)}{markers.end}\n\nKrakow!"
    assert (response.finish, response.tokens) == (Finish.STOP, 9 + 2 * (not opens))
    off = ask(folder, stop=("\n",), thinking=ThinkingMode.OFF)
    assert (off.text, off.finish, off.tokens, off.thinking_tokens) == ("Krakow!", Finish.STOP, 3, None)


def test_a_long_thought_is_not_decoded_again_for_every_line(
    reciting: Any,  # noqa: ANN401 - see the fixture
    text_request: Callable[..., Request],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder, markers, opens = reciting
    model: Any = MODELS.get("hf")(str(folder), ModelOptions(device="cpu"))
    loaded = part("checkpoint.loading").load(model.description, model.options)
    [prompt] = part("tokens.rendering").render(
        loaded.tokenizer, [text_request("Where?", form=Form.CHAT, stop=("\n",))], 10**6
    )
    lengths: list[int] = []

    def watched(tokenizer: object, ids: Sequence[int], *rest: object) -> str:
        lengths.append(len(ids))
        return str(decode(tokenizer, ids, *rest))

    decode = part("tokens.detokenization").decode
    for module in ("tokens.stops", "tokens.thoughts"):
        monkeypatch.setattr(part(module), "decode", watched)
    new = [] if opens else loaded.tokenizer.encode(f"{markers.start}\n", add_special_tokens=False)
    one = loaded.tokenizer.convert_tokens_to_ids(THOUGHT[0])
    for _ in range(300):
        new.append(one)
        assert not part("tokens.stops").is_stopped(loaded, prompt, new)
    assert max(lengths) <= 32
    new += [loaded.tokenizer.convert_tokens_to_ids(each) for each in (markers.end, "\n\n", "Kra")]
    assert not part("tokens.stops").is_stopped(loaded, prompt, new)
    new.append(loaded.tokenizer.convert_tokens_to_ids("!\n"))
    assert part("tokens.stops").is_stopped(loaded, prompt, new)


def test_thinking_that_never_ends_is_told_as_such(reciting: Any, ask: Ask) -> None:  # noqa: ANN401 - see the fixture
    folder, markers, _opens = reciting
    response = ask(folder, max_new_tokens=4, stop=("\n",))
    assert (response.tokens, response.thinking_tokens, response.finish) == (4, 4, Finish.LENGTH)
    assert response.text is not None
    assert response.text.startswith(f"{markers.start}\n")
    assert not split_thinking(response.text).finished


@pytest.mark.parametrize("budget", [5, 7, 40])
def test_a_budget_that_is_kept_changes_nothing(reciting: Any, ask: Ask, budget: int) -> None:  # noqa: ANN401 - see the fixture
    folder, _markers, opens = reciting
    whole = ask(folder, stop=("!",))
    if not opens and budget == 5:
        return
    assert ask(folder, stop=("!",), max_new_tokens=4, max_thinking_tokens=budget) == whole


@pytest.mark.parametrize("budget", [0, 1, 4])
def test_a_budget_that_is_used_up_ends_the_thinking(reciting: Any, ask: Ask, budget: int) -> None:  # noqa: ANN401 - see the fixture
    folder, markers, opens = reciting
    response = ask(folder, stop=("!",), max_new_tokens=4, max_thinking_tokens=budget)
    # A model that opens the thinking itself says the start, which cannot be less than a token.
    said = THOUGHT[:budget] if opens else THOUGHT[: max(0, budget - 2)]
    start = f"{markers.start}\n" if opens or budget > 1 else markers.start
    end = f"{markers.end}\n\n"
    assert response.text is not None
    assert response.text.replace("\n", "") == f"{start}{''.join(said)}{end}Krakow".replace("\n", "")
    assert response.text.endswith(f"\n{end}Krakow")
    assert response.finish is Finish.STOP
    split = split_thinking(response.text)
    assert (split.text, split.finished) == ("Krakow", True)
    assert response.tokens == (response.thinking_tokens or 0) + 4
    # The question alone is the prompt.
    assert response.prompt_tokens == ask(folder).prompt_tokens


@pytest.mark.parametrize("engine", ["packed", "static", "paged"])
def test_a_model_that_does_not_think_has_its_usual_tokens(
    qwen: Path, text_request: Callable[..., Request], engine: str
) -> None:
    """Whether the budget is larger than its answer, or smaller."""
    asked = [
        replace(
            text_request("Where?", form=Form.CHAT, max_new_tokens=limit, stop=stop), key=f"{limit} {stop} {budget}",
            thinking=ThinkingMode.OFF, max_thinking_tokens=budget,
        )
        for limit in (1, 2, 4, 5, 9) for stop in ((), ("!",)) for budget in (None, 0, 1, 3, 4, 5, 100)
    ]  # fmt: skip
    model = MODELS.get("hf")(str(qwen), ModelOptions(device="cpu", engine=engine))
    found = {each.key: each for each in model.answer(asked)}
    for each in asked:
        plain = found[f"{each.max_new_tokens} {each.stop} None"]
        assert replace(found[each.key], key=plain.key) == plain


def test_tokens_barred_from_the_beginning_are_not_barred_after_the_thinking(
    qwen: Path, tmp_path: Path, ask: Ask
) -> None:
    folder = shutil.copytree(qwen, tmp_path / "barred")
    barred = AutoTokenizer.from_pretrained(qwen).convert_tokens_to_ids("\n\n")
    path = folder / "generation_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "begin_suppress_tokens": [barred]}))
    assert ask(folder, max_thinking_tokens=20) == ask(folder) == ask(qwen)


def test_the_answer_has_its_own_limit(qwen: Path, ask: Ask) -> None:
    response = ask(qwen, max_new_tokens=1, max_thinking_tokens=4)
    assert response.text == "<think>\none\ntwo\n</think>\n\nKra"
    assert response.finish is Finish.LENGTH


def test_a_window_without_room_for_the_answer_is_a_failure(qwen: Path, text_request: Callable[..., Request]) -> None:
    model: Any = MODELS.get("hf")(str(qwen), ModelOptions(device="cpu"))
    model.loaded = part("checkpoint.loading").load(model.description, model.options)
    asked = replace(text_request("Where?", form=Form.CHAT), max_thinking_tokens=4)
    [count] = model.count_tokens([asked])
    model.loaded = replace(model.loaded, context_length=count + 4)
    [response] = model.answer([asked])
    assert response.failure.kind == "context overflow"
    assert (
        response.failure.message == f"the prompt and its thinking have {count + 6} tokens, the model reads {count + 4}"
    )
    assert response.prompt_tokens == count


def test_a_prompt_counted_with_thinking_is_not_taken_for_one_without(
    qwen: Path, text_request: Callable[..., Request]
) -> None:
    model = MODELS.get("hf")(str(qwen), ModelOptions(device="cpu"))
    plain = text_request("Where?", form=Form.CHAT)
    asked = [
        plain,
        replace(plain, key="off", thinking=ThinkingMode.OFF),
        replace(plain, key="on", thinking=ThinkingMode.ON),
    ]
    counts = model.count_tokens(asked)
    assert counts is not None
    assert (counts[1] - counts[0], counts[2] - counts[0]) == (4, 0)
    found = {each.key: each for each in model.answer(asked)}
    assert [found[each.key].prompt_tokens for each in asked] == counts
    assert (found["off"].thinking_tokens, found["on"].thinking_tokens) == (None, 7)


@pytest.mark.slow
def test_other_processes_are_told_everything(qwen: Path, text_request: Callable[..., Request]) -> None:
    asked = [
        replace(
            text_request("Where?", form=Form.CHAT, max_new_tokens=3), key=str(budget), max_thinking_tokens=budget,
            sampling=Sampling(temperature=0.8, seed=budget), thinking=ThinkingMode.ON,
        )
        for budget in range(6)
    ]  # fmt: skip
    assert pickle.loads(pickle.dumps(asked)) == asked
    one, two = (MODELS.get("hf")(str(qwen), ModelOptions(device=device)) for device in ("cpu", "cpu,cpu"))
    expected = {each.key: each for each in one.answer(asked)}
    assert {each.key: each for each in two.answer(asked)} == expected
    two.close()
