"""The ways of answering that are compared on a GPU: a loaded model, prompts and rows in, texts by key out."""

import importlib
import importlib.util
from collections.abc import Callable, Sequence
from typing import Any

from xlingual.records import Form, Message, Request, Role

from ..continuous_batching import answer_continuously
from .models import part
from .traces import Trace

NO_HFLM = "lm_eval is not installed"
Texts = dict[str, str]
Way = Callable[[Any, Sequence[Any], int], Texts]


class WayError(Exception):
    """A way that cannot answer here, and why."""


def rendered(ids: Sequence[Sequence[int]], trace: Trace, stop: str) -> list[Any]:
    """Return prompts of tokens as the engines take them."""
    make = part("tokens.rendering").Rendered
    requests = [
        Request(
            key=f"{trace.name}/{number}",
            form=Form.TEXT,
            messages=(Message(role=Role.USER, text=str(number)),),
            stop=(stop,),
            max_new_tokens=trace.max_new_tokens,
        )
        for number in range(len(ids))
    ]
    return [make(request=request, ids=tuple(each)) for request, each in zip(requests, ids, strict=True)]


def open_paged(loaded: Any) -> Any:  # noqa: ANN401 - of the backend
    """Return the model with its paged engine, which was verified against the model's own forward pass."""
    found = part("paged.verification").try_paged(loaded)
    if found.paged is None:
        raise WayError(str(found.paged_refusal))
    return found


def answer_paged(loaded: Any, prompts: Sequence[Any], rows: int) -> Texts:  # noqa: ANN401 - of the backend
    """The paged engine, as `xlingual eval` runs it; it knows no prefix of an earlier run."""
    loaded.paged.reset()
    return _texts(part("paged.generation").generate_paged(loaded, prompts, part("limits").RowLimit(rows=rows)))


def answer_packed(loaded: Any, prompts: Sequence[Any], rows: int) -> Texts:  # noqa: ANN401 - of the backend
    """The packed engine, made for CPUs; it may lay the weights out anew."""
    loaded = part("packed.verification").try_packed(loaded)
    if loaded.refusal is not None:
        raise WayError(loaded.refusal)
    return _texts(part("packed.scheduler").generate_packed(loaded, prompts, part("limits").RowLimit(rows=rows)))


def answer_static(loaded: Any, prompts: Sequence[Any], rows: int) -> Texts:  # noqa: ANN401 - of the backend
    """`generate` of transformers in batches sorted by length, each row ended by itself."""
    return _texts(part("static.generation").generate(loaded, prompts, part("limits").RowLimit(rows=rows)))


def answer_alone(loaded: Any, prompts: Sequence[Any], rows: int) -> Texts:  # noqa: ANN401 - of the backend
    """`generate` of transformers, prompt by prompt, by its own loop and nothing of ours but the cut at the stop."""
    import torch
    from transformers import GenerationConfig

    del rows
    texts: Texts = {}
    for prompt in prompts:
        ids = torch.tensor([prompt.ids], device=loaded.device)
        limit = GenerationConfig(
            do_sample=False,
            max_new_tokens=prompt.max_new_tokens,
            pad_token_id=loaded.pad_id,
            eos_token_id=list(loaded.end_ids),
        )
        with torch.no_grad():
            out = loaded.model.generate(ids, attention_mask=torch.ones_like(ids), generation_config=limit)
        text = loaded.tokenizer.decode(out[0, ids.shape[1] :].tolist(), skip_special_tokens=True)
        for stop in prompt.request.stop:
            text = text.partition(stop)[0]
        texts[prompt.request.key] = text
    return texts


def answer_hflm(loaded: Any, prompts: Sequence[Any], rows: int) -> Texts:  # noqa: ANN401 - of the backend
    """lm-eval's HFLM: its own sorting, batching and stopping, on the same tokens."""
    if importlib.util.find_spec("lm_eval") is None:
        raise WayError(NO_HFLM)
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    peer = HFLM(pretrained=loaded.model, tokenizer=loaded.tokenizer, batch_size=rows)
    texts = [loaded.tokenizer.decode(list(each.ids)) for each in prompts]
    if list(prompts[0].ids) != peer.tok_encode(texts[0], add_special_tokens=False):
        raise WayError("HFLM would read other tokens")
    instances = [
        Instance(
            request_type="generate_until",
            doc={},
            arguments=(
                text,
                {"until": list(each.request.stop), "max_gen_toks": each.max_new_tokens, "do_sample": False},
            ),
            idx=place,
        )
        for place, (text, each) in enumerate(zip(texts, prompts, strict=True))
    ]
    answers = peer.generate_until(instances, disable_tqdm=True)
    return {each.request.key: answer for each, answer in zip(prompts, answers, strict=True)}


def answer_continuous(loaded: Any, prompts: Sequence[Any], rows: int) -> Texts:  # noqa: ANN401 - of the backend
    """Continuous batching of transformers, with our handling of stops."""
    stops, respond = part("tokens.stops").is_stopped, part("responses").respond
    try:
        return answer_continuously(stops, respond, loaded, prompts, rows)
    except SystemExit as error:
        raise WayError(str(error)) from error


def answer_vllm(loaded: Any, prompts: Sequence[Any], rows: int) -> Texts:  # noqa: ANN401 - of the backend
    """vLLM with prefix caching, on the same weights; it takes a checkpoint from a folder."""
    if importlib.util.find_spec("vllm") is None:
        raise WayError("vllm is not installed")
    import tempfile

    peers = importlib.import_module("vllm")

    with tempfile.TemporaryDirectory() as folder:
        loaded.model.save_pretrained(folder)
        loaded.tokenizer.save_pretrained(folder)
        peer = peers.LLM(model=folder, max_num_seqs=rows, enable_prefix_caching=True, gpu_memory_utilization=0.5)
    wanted = [
        peers.SamplingParams(temperature=0, max_tokens=each.max_new_tokens, stop=list(each.request.stop))
        for each in prompts
    ]
    answers = peer.generate([{"prompt_token_ids": list(each.ids)} for each in prompts], wanted, use_tqdm=False)
    return {each.request.key: found.outputs[0].text for each, found in zip(prompts, answers, strict=True)}


WAYS: dict[str, Way] = {
    "paged": answer_paged,
    "packed": answer_packed,
    "static": answer_static,
    "alone": answer_alone,
    "hflm": answer_hflm,
    "continuous": answer_continuous,
    "vllm": answer_vllm,
}


def _texts(responses: Any) -> Texts:  # noqa: ANN401 - of the backend
    found: Texts = {}
    for each in responses:
        if each.failure is not None:
            raise WayError(f"{each.failure.kind}: {each.failure.message}")
        found[each.key] = each.text
    return found
