"""Answers of encoder-decoders, in batches of prompts that give the decoder the same tokens."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Protocol, cast

from xlingual.decoder.protocols import CausalLMOutput
from xlingual.errors import ModelError
from xlingual.records import Failure, Response, failed_response

from ..limits import RowLimit
from ..loaded_model import LoadedModel
from ..responses import Thought, respond
from ..static.generation import DrawProcessor, FiniteCheck, RowEnds
from ..tokens.rendering import Rendered
from .batches import pad, run_batches

if TYPE_CHECKING:
    import torch


class Seq2SeqLM(Protocol):
    """What is used of a transformers encoder-decoder."""

    def __call__(
        self,
        *,
        input_ids: "torch.Tensor",
        attention_mask: "torch.Tensor",
        decoder_input_ids: "torch.Tensor",
        decoder_attention_mask: "torch.Tensor",
        use_cache: bool,
    ) -> CausalLMOutput:
        """Compute the logits of the decoder, (rows, decoder tokens, vocabulary)."""
        ...

    def generate(
        self,
        *,
        input_ids: "torch.Tensor",
        attention_mask: "torch.Tensor",
        decoder_input_ids: "torch.Tensor",
        generation_config: object,
        logits_processor: object,
        stopping_criteria: object,
    ) -> "torch.Tensor":
        """Continue the rows of `decoder_input_ids`."""
        ...


def generate_answers(loaded: LoadedModel, prompts: Sequence[Rendered], limit: RowLimit) -> Iterator[Response]:
    """Answer every prompt, the longest first, and yield the responses of each batch as soon as it is done.

    Raises ModelError for a language that a translator does not have.
    """
    groups: dict[tuple[tuple[int, ...], int, tuple[str, ...]], list[Rendered]] = {}
    for prompt in prompts:
        request = prompt.request
        kind = (_decoder_prompt(loaded, prompt), request.max_new_tokens, request.stop)
        groups.setdefault(kind, []).append(prompt)
    for (given, _, _), group in groups.items():
        run = partial(_answer_batch, loaded, given)
        for batch, outcome in run_batches(group, lambda prompt: len(prompt.ids), limit, run):
            if isinstance(outcome, Failure):
                yield failed_response(batch[0].request, outcome, prompt_tokens=len(batch[0].ids))
            else:
                yield from (each for each in outcome if isinstance(each, Response))


def _decoder_prompt(loaded: LoadedModel, prompt: Rendered) -> tuple[int, ...]:
    if loaded.encoder_decoder is None:
        raise ModelError("the model has no encoder", hint="this is a bug")
    languages = prompt.request.translation
    return loaded.encoder_decoder.decoder_prompt(languages.target if languages is not None else None)


def _answer_batch(loaded: LoadedModel, given: tuple[int, ...], batch: list[Rendered]) -> list[Response | Thought]:
    import torch  # noqa: PLC0415 - heavy
    from transformers import GenerationConfig, LogitsProcessorList, StoppingCriteriaList  # noqa: PLC0415 - heavy

    ids, mask = pad([prompt.ids for prompt in batch], loaded.pad_id, loaded.device)
    settings = GenerationConfig(
        do_sample=False,
        num_beams=1,
        use_cache=True,
        max_new_tokens=batch[0].request.max_new_tokens,
        eos_token_id=list(loaded.end_ids) or None,
        pad_token_id=loaded.pad_id,
        decoder_start_token_id=given[0],
        **loaded.constraints,
    )
    finite, ends = FiniteCheck(), RowEnds(loaded, batch, len(given))
    sampled = any(prompt.request.sampling for prompt in batch)
    with torch.inference_mode():
        sequences = cast(Seq2SeqLM, loaded.model).generate(
            input_ids=ids,
            attention_mask=mask,
            decoder_input_ids=torch.tensor([given] * len(batch), device=loaded.device),
            generation_config=settings,
            logits_processor=LogitsProcessorList([finite, DrawProcessor(batch, len(given))] if sampled else [finite]),
            stopping_criteria=StoppingCriteriaList([ends]),
        )
    nonfinite = finite.first_nonfinite(len(batch))
    return [
        respond(loaded, prompt, sequences[row, len(given) :].tolist(), ends.lengths.get(row), nonfinite[row])
        for row, prompt in enumerate(batch)
    ]
