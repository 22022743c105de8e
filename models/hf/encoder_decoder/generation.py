"""Greedy answers of encoder-decoders, in batches of prompts that give the decoder the same tokens."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Protocol, cast

from xlingual.decoder.protocols import CausalLMOutput
from xlingual.errors import ModelError
from xlingual.records import Failure, Response, failed_response

from ..limits import RowLimit
from ..loaded_model import LoadedModel
from ..responses import respond
from ..tokens.rendering import Rendered
from ..tokens.stops import is_stopped
from .batches import pad, run_batches

if TYPE_CHECKING:
    import torch

NO_SAMPLING = Failure(kind="no sampling", message="encoder-decoders answer greedily only")


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
        if request.sampling is not None:
            yield failed_response(request, NO_SAMPLING, prompt_tokens=len(prompt.ids))
            continue
        kind = (_decoder_prompt(loaded, prompt), request.max_new_tokens, request.stop)
        groups.setdefault(kind, []).append(prompt)
    for (given, _, _), group in groups.items():
        run = partial(_answer_batch, loaded, given)
        for batch, outcome in run_batches(group, lambda prompt: len(prompt.ids), limit, run):
            if isinstance(outcome, Failure):
                yield failed_response(batch[0].request, outcome, prompt_tokens=len(batch[0].ids))
            else:
                yield from outcome


def _decoder_prompt(loaded: LoadedModel, prompt: Rendered) -> tuple[int, ...]:
    if loaded.encoder_decoder is None:
        raise ModelError("the model has no encoder", hint="this is a bug")
    languages = prompt.request.translation
    return loaded.encoder_decoder.decoder_prompt(languages.target if languages is not None else None)


def _answer_batch(loaded: LoadedModel, given: tuple[int, ...], batch: list[Rendered]) -> list[Response]:
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
    rows = _Rows(loaded, len(given), batch[0].request.stop)
    with torch.inference_mode():
        sequences = cast(Seq2SeqLM, loaded.model).generate(
            input_ids=ids,
            attention_mask=mask,
            decoder_input_ids=torch.tensor([given] * len(batch), device=loaded.device),
            generation_config=settings,
            logits_processor=LogitsProcessorList([rows.check]),
            stopping_criteria=StoppingCriteriaList([rows.stop]),
        )
    return [
        respond(loaded, prompt, sequences[row, len(given) :].tolist(), rows.lengths.get(row), rows.nonfinite.get(row))
        for row, prompt in enumerate(batch)
    ]


class _Rows:
    """Watches the rows of a batch while they are generated: which reached a stop string, and whose scores broke."""

    def __init__(self, loaded: LoadedModel, given: int, stop: Sequence[str]) -> None:
        """`given`: tokens of the decoder that are no answer."""
        self.loaded, self.given, self.strings = loaded, given, tuple(stop)
        self.lengths: dict[int, int] = {}
        """Tokens of each row up to the one that completed a stop string."""
        self.nonfinite: dict[int, int] = {}
        """The first step of each row whose scores were not finite."""
        self.ended: set[int] = set()

    def check(self, input_ids: "torch.Tensor", scores: "torch.Tensor") -> "torch.Tensor":
        """Note the rows whose scores, (rows, vocabulary), hold NaN or infinity; a maximum of such a row is one."""
        step = input_ids.shape[1] - self.given
        for row, finite in enumerate(scores.amax(dim=-1).isfinite().tolist()):
            if not finite:
                self.nonfinite.setdefault(row, step)
        return scores

    def stop(self, input_ids: "torch.Tensor", _scores: object) -> "torch.Tensor":
        """Return which rows are done with their newest token."""
        import torch  # noqa: PLC0415 - heavy

        for row, new in enumerate(input_ids[:, self.given :].tolist() if self.strings else ()):
            if row in self.ended:
                continue
            if new[-1] in self.loaded.end_ids:
                self.ended.add(row)
            elif is_stopped(self.loaded.tokenizer, new, self.strings):
                self.ended.add(row)
                self.lengths[row] = len(new)
        done = [row in self.ended for row in range(len(input_ids))]
        return torch.tensor(done, dtype=torch.bool, device=input_ids.device)
