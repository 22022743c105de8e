"""Engines on tiny random models, the answers that `generate` gives, and a device that is late."""

import importlib
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from types import ModuleType
from typing import Any

import torch
import transformers
from transformers import GenerationConfig

from xlingual.records import Form, Message, Request, Response, Role
from xlingual.text import find_stop

VOCABULARY = 120


def part(name: str) -> ModuleType:
    """Return a module of the plugin, which is none of the public names."""
    return importlib.import_module(f"xlingual.plugins.models.hf.{name}")


class Letters:
    """A tokenizer whose token 7 is one letter, and whose answers are what stop strings are looked for in."""

    chat_template = None
    all_special_ids: tuple[int, ...] = ()
    added_tokens_decoder: dict[int, object] = {}  # noqa: RUF012 - never written to

    def decode(self, ids: Sequence[int], **_settings: object) -> str:
        return "".join(chr(ord("0") + each) for each in ids)


SIZES = {
    "vocab_size": VOCABULARY, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8, "max_position_embeddings": 512,
    "initializer_range": 0.5, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip
WINDOWED = {"sliding_window": 9, "layer_types": ["sliding_attention", "full_attention"]}
ARCHITECTURES: dict[str, dict[str, object]] = {
    "Llama": {},
    "Qwen2": {},
    "Qwen3": {},
    "Mistral": {"sliding_window": 7},
    "Gemma": {},
    "Gemma2": {**WINDOWED, "attn_logit_softcapping": 5.0, "final_logit_softcapping": 8.0, "query_pre_attn_scalar": 8},
    "Gemma3Text": {**WINDOWED, "query_pre_attn_scalar": 8},
    "GptOss": {**WINDOWED, "num_local_experts": 4, "num_experts_per_tok": 2},
    "Cohere2": WINDOWED,
    "Olmo2": {},
    "Phi3": {"sliding_window": None},
    "Granite": {},
    "Starcoder2": {"sliding_window": None},
    "StableLm": {},
    "Nemotron": {},
    "Mixtral": {"num_local_experts": 4, "num_experts_per_tok": 2},
}
"""By the name of the class: what its configuration has besides SIZES."""


def make_model(architecture: str, seed: int = 0, **more: object) -> Any:  # noqa: ANN401 - of transformers
    """Return a random model of two layers in float32."""
    named = SIZES | ARCHITECTURES[architecture] | more
    config = getattr(transformers, f"{architecture}Config")(**named)
    stem = architecture.removesuffix("Text")
    torch.manual_seed(seed)
    model = getattr(transformers, f"{stem}ForCausalLM")(config).eval()
    for name, tensor in model.named_parameters():
        if "sinks" in name:
            torch.nn.init.normal_(tensor)
    model.generation_config = GenerationConfig()
    return model


def make_loaded(model: Any, end_ids: tuple[int, ...] = (2, 5)) -> Any:  # noqa: ANN401 - of the plugin
    """Return a model as the engines take it."""
    return part("loaded_model").LoadedModel(
        model=model, tokenizer=Letters(), device="cpu", end_ids=end_ids, pad_id=0, context_length=512, markers=()
    )


def with_engine(loaded: Any, **options: Any) -> Any:  # noqa: ANN401 - of the plugin
    """Return the model with a paged engine whose pages hold NaN."""
    module = part("paged.engine")
    engine = module.open_engine(loaded.model, "cpu", module.PagedOptions(**options))
    engine.notes.clear()
    for group in engine.pool.groups:
        for side in group:
            side.fill_(float("nan"))
            side[:, -1].zero_()
    return replace(loaded, paged=engine)


def prompt_of(ids: Sequence[int], key: str, *, stop: tuple[str, ...] = (), limit: int = 8) -> Any:  # noqa: ANN401 - of the plugin
    """Return a prompt of tokens."""
    message = Message(role=Role.USER, text=key)
    request = Request(key=key, form=Form.TEXT, messages=(message,), stop=stop, max_new_tokens=limit)
    return part("tokens.rendering").Rendered(request=request, ids=tuple(ids))


def random_prompts(seed: int, count: int, *, longest: int = 90, limits: Sequence[int] = (1, 2, 7, 19)) -> list[Any]:
    """Prompts whose prefixes are shared in a random tree, some of them twice, some the start of others."""
    generator = random.Random(seed)
    texts: list[list[int]] = [[]]
    for _ in range(count):
        start = generator.choice(texts)
        start = start[: generator.choice([len(start), generator.randint(0, len(start))])]
        more = [generator.randrange(6, VOCABULARY) for _ in range(generator.choice([0, 1, 3, 17, 40]))]
        texts.append([*start, *more][:longest] or [7])
    stops: tuple[tuple[str, ...], ...] = ((), (), ("A",), ("z", "0"))
    prompts = [
        prompt_of(ids, str(number), stop=generator.choice(stops), limit=generator.choice(limits))
        for number, ids in enumerate(texts[1:])
    ]
    generator.shuffle(prompts)
    return prompts


@dataclass
class Reference:
    """The answers of `generate`, one prompt at a time; each is computed once."""

    loaded: Any
    known: dict[tuple[tuple[int, ...], int, tuple[str, ...]], Response] = field(default_factory=dict)
    tokens: dict[tuple[int, ...], list[int]] = field(default_factory=dict)
    longest: int = 19

    def answer(self, prompt: Any) -> tuple[str | None, int | None, object]:  # noqa: ANN401 - of the plugin
        """Return text, tokens and finish."""
        request = prompt.request
        new = self.new_tokens(prompt.ids)[: request.max_new_tokens]
        stop = next(
            (
                count
                for count in range(1, len(new) + 1)
                if not set(new[:count]) & set(self.loaded.end_ids)
                and find_stop(self.loaded.tokenizer.decode(new[:count]), request.stop) is not None
            ),
            None,
        )
        found = part("responses").respond(self.loaded, prompt, new, stop, None)
        return found.text, found.tokens, found.finish

    def new_tokens(self, ids: tuple[int, ...]) -> list[int]:
        """Return what follows a prompt, up to the end token."""
        if ids not in self.tokens:
            limit = GenerationConfig(
                do_sample=False, max_new_tokens=self.longest, pad_token_id=0,
                eos_token_id=list(self.loaded.end_ids) or None,
            )  # fmt: skip
            given = torch.tensor([ids])
            with torch.no_grad():
                out = self.loaded.model.generate(given, attention_mask=torch.ones_like(given), generation_config=limit)
            self.tokens[ids] = out[0, len(ids) :].tolist()
        return self.tokens[ids]


def answer(loaded: Any, prompts: Sequence[Any], rows: int, *, speculate: bool = True) -> dict[str, Response]:  # noqa: ANN401 - of the plugin
    """Return the responses of the paged engine by key."""
    limit = part("limits").RowLimit(rows=rows)
    responses = list(part("paged.generation").generate_paged(loaded, prompts, limit, speculate=speculate))
    found = {response.key: response for response in responses}
    assert len(found) == len(responses) == len(prompts)
    return found


def check(reference: Reference, prompts: Sequence[Any], found: dict[str, Response]) -> None:
    """Hold the responses against those of `generate`."""
    for prompt in prompts:
        response = found[prompt.request.key]
        assert response.failure is None, response.failure
        assert (response.text, response.tokens, response.finish) == reference.answer(prompt)
        assert response.prompt_tokens == len(prompt.ids)


@dataclass
class LateQueue:
    """A device that does a step only when the next one is submitted, or when it is waited for."""

    waiting: list[Callable[[], None]] = field(default_factory=list)
    most: int = 0

    def submit(self, work: Callable[[], None]) -> None:
        """Do what is waiting, then let this wait."""
        self.drain()
        self.waiting.append(work)

    def drain(self) -> None:
        """Do what is waiting."""
        self.most = max(self.most, len(self.waiting))
        while self.waiting:
            self.waiting.pop(0)()

    def mark(self) -> Any:  # noqa: ANN401 - a mark
        """Return a mark that does the work when it is waited for."""
        mine = list(self.waiting)
        queue = self

        class Late:
            def wait(self) -> None:
                if any(each in queue.waiting for each in mine):
                    queue.drain()

        return Late()

    def capture(self, work: Callable[[], tuple[torch.Tensor, ...]]) -> Any:  # noqa: ANN401 - a graph
        """Record with the double of the CPU."""
        self.drain()
        return part("paged.step_queue").HostQueue().capture(work)
