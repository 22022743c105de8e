"""`lm-eval --model xlingual --model_args model=WORD`: any model of ours under lm-eval, generation and likelihoods."""

import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Protocol, TypeVar

import lm_eval.models  # noqa: F401 - fills the registry, which would stay without lm-eval's own models otherwise
from lm_eval.api.model import LM
from lm_eval.api.registry import register_model

from ..errors import ModelError, UsageError
from ..identity import Json, content_hash
from ..plugin import ModelOptions
from ..prompt import cut_beginning
from ..records import Choice, Form, Request, Response
from ..sampling import sample_sampling, sampling_content
from ..selection import can_use, open_model
from ..thinking import KNOWN_MARKERS, ThinkingMode, split_thinking
from .chats import pack_chat, read_prompt
from .folder import PREFIX
from .generation import read_generation

_LOG = logging.getLogger("xlingual")
NAME = "xlingual"
GENERATION = "generation_kwargs"
_OPTIONS = frozenset(
    {"dtype", "revision", "trust_remote_code", "offline", "chat_template", "think_end_token", "enable_thinking"}
)
Answer = TypeVar("Answer")


class LmEvalInstance(Protocol):
    """What is used of lm-eval's Instance."""

    @property
    def args(self) -> tuple[object, ...]:
        """What is asked: contexts, endings and settings."""
        ...

    @property
    def task_name(self) -> str | None:
        """The task that asks."""
        ...


@register_model(NAME)
class XlingualLM(LM):  # type: ignore[misc]  # lm-eval carries no types; its registry takes subclasses only
    """A model of ours behind lm-eval's calls; batches and memory are the model's own affair."""

    def __init__(
        self, model: str = "smollm2", batch_size: str | int | None = None, device: str | None = None, **others: Json
    ) -> None:
        """Open `model`, a word as after `xlingual eval --model`.

        lm-eval gives a batch size of 1 and the device cuda:0 to every model unless told otherwise: 1 and "auto" leave
        the choice to us, and so does a GPU that there is not. `think_end_token` is the text that ends the model's
        thinking, where its chat template does not tell; `enable_thinking` goes into its chat template.
        """
        super().__init__()
        rows = None if str(batch_size).startswith(("None", "auto")) or str(batch_size) == "1" else int(batch_size or 1)
        if unknown := sorted(set(others) - _OPTIONS - {"max_batch_size"}):
            hint = f"known: model, device, batch_size, {', '.join(sorted(_OPTIONS))}"
            raise UsageError(f"the model takes no {unknown[0]!r}", where="--model_args", hint=hint)
        marker, thinks = others.get("think_end_token"), others.get("enable_thinking")
        if marker is not None and not isinstance(marker, str):
            hint = "give the text of the token: think_end_token=</think>"
            raise UsageError(f"{marker!r} is no text", where="think_end_token", hint=hint)
        self.thinking = None if thinks is None else ThinkingMode.ON if thinks else ThinkingMode.OFF
        self.opened = open_model(
            model,
            ModelOptions(
                batch_size=rows,
                device=_present(device) if can_use(model, "device") else None,
                dtype=_text(others.get("dtype")),
                revision=_text(others.get("revision")),
                trust_remote_code=bool(others.get("trust_remote_code")),
                offline=bool(others.get("offline")),
                chat_template=_text(others.get("chat_template")),
                thinking_end=marker,
            ),
        )

    @property
    def tokenizer_name(self) -> str:
        """Name the model to the byte, for lm-eval's cache of requests."""
        return f"{self.opened.spec.name}-{self.opened.spec.fingerprint[:16]}"

    def get_model_info(self) -> Mapping[str, Json]:
        """Return what lm-eval writes beside its results."""
        spec = self.opened.spec
        return {
            "model_name": spec.name,
            "model_revision": spec.revision,
            "model_dtype": spec.dtype,
            "model_fingerprint": spec.fingerprint,
        }

    def apply_chat_template(self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        """Return the string that stands for a chat, for the model to render with its own template.

        UsageError for an answer that is begun for the model.
        """
        if not add_generation_prompt:
            raise UsageError(
                "an answer that is begun for the model cannot be put as a chat",
                where="--apply_chat_template",
                hint="leave the chat template out for tasks with gen_prefix",
            )
        return pack_chat(chat_history)

    def generate_until(self, requests: Sequence[LmEvalInstance], disable_tqdm: bool = False) -> list[str]:  # noqa: ARG002 - lm-eval's
        """Return the answer to each (context, settings) without its thinking, cut as lm-eval cuts it.

        An answer that ends inside the thinking is empty. Where answers are drawn, the same question again is drawn
        again; each has a seed of its own, so that no answer depends on the others.

        lm-eval ends an answer at the first stop string wherever it stands, so that one that opens with a newline is
        empty; the answers to our own tasks keep our rule, by which the stop string counts after the first letter.
        """
        seen: Counter[str] = Counter()
        generations = []
        for request in requests:
            made = _generation(request, self.thinking)
            generations.append(_numbered(made, seen[made.key]))
            seen[made.key] += 1
        asked = self._fit(generations)
        known = self.opened.spec.thinking
        markers = KNOWN_MARKERS if known is None else (known, *KNOWN_MARKERS)

        def read(response: Response, request: LmEvalInstance) -> str:
            answer = split_thinking(response.text or "", markers)
            text = answer.text if answer.finished else ""
            ours = (request.task_name or "").startswith(PREFIX)
            return text if ours else cut(text, read_generation(request.args[1], GENERATION).stop)

        return self._answer("generate_until", requests, asked, read)

    def loglikelihood(self, requests: Sequence[LmEvalInstance], disable_tqdm: bool = False) -> list[tuple[float, bool]]:  # noqa: ARG002 - lm-eval's
        """Return the log-likelihood of each (context, ending), and whether greedy decoding would say it."""
        asked = [_likelihood(str(request.args[0]), str(request.args[1])) for request in requests]

        def read(response: Response, _request: LmEvalInstance) -> tuple[float, bool]:
            [found] = response.likelihoods or ()
            return found.logarithm, bool(found.is_greedy)

        return self._answer("loglikelihood", requests, asked, read)

    def loglikelihood_rolling(self, requests: Sequence[LmEvalInstance], disable_tqdm: bool = False) -> list[float]:  # noqa: ARG002 - lm-eval's
        """Return the log-likelihood of each whole text, in windows where it is longer than the model reads."""
        asked = [_likelihood("", str(request.args[0])) for request in requests]

        def read(response: Response, _request: LmEvalInstance) -> float:
            [found] = response.likelihoods or ()
            return found.logarithm

        return self._answer("loglikelihood_rolling", requests, asked, read)

    def _fit(self, asked: Sequence[Request]) -> list[Request]:
        """Cut prompts that the window does not hold with their answers from their beginning, as lm-eval does."""
        window, lengths = self.opened.spec.context_length, self.opened.count_tokens(asked)
        if window is None or lengths is None:
            return list(asked)
        fitted = []
        for request, length in zip(asked, lengths, strict=True):
            room = window - request.max_new_tokens
            found = (request, 0) if length <= room else cut_beginning(request, room, self.opened.count_tokens)
            if found is None:
                message = f"a prompt of {length} tokens leaves no room for {request.max_new_tokens} in {window}"
                raise ModelError(message, where=self.opened.spec.name, hint="--gen_kwargs max_gen_toks=N makes room")
            if found[1]:
                _LOG.warning("a prompt of %d tokens lost its first %d characters", length, found[1])
            fitted.append(found[0])
        return fitted

    def _answer(
        self,
        call: str,
        requests: Sequence[LmEvalInstance],
        asked: Sequence[Request],
        read: Callable[[Response, LmEvalInstance], Answer],
    ) -> list[Answer]:
        """Ask each different request once, tell lm-eval's cache of the answers as they come, and return them in order.

        lm-eval knows no failed samples: the first failure is an error.
        """
        places: dict[str, list[int]] = {}
        for place, request in enumerate(asked):
            places.setdefault(request.key, []).append(place)
        found: dict[int, Answer] = {}
        for response in self.opened.answer([asked[same[0]] for same in places.values()]):
            if response.failure is not None:
                raise ModelError(f"{response.failure.kind}: {response.failure.message}", where=self.opened.spec.name)
            for place in places[response.key]:
                found[place] = read(response, requests[place])
                self.cache_hook.add_partial(call, requests[place].args, found[place])
        if len(found) < len(requests):
            raise ModelError(f"{len(requests) - len(found)} requests got no answer", where=self.opened.spec.name)
        return [found[place] for place in range(len(requests))]


def cut(text: str, stop: Sequence[str]) -> str:
    """Return `text` up to the first stop string wherever it stands: lm-eval's rule."""
    for each in stop:
        text = text.partition(each)[0]
    return text


def _generation(request: LmEvalInstance, thinking: ThinkingMode | None) -> Request:
    """Return the request, with `thinking` where it is a chat; the seed is not yet the answer's own."""
    form, messages = read_prompt(str(request.args[0]))
    settings = read_generation(request.args[1], GENERATION)
    content: list[Json] = [form.value, str(request.args[0]), list(settings.stop), settings.most]
    if settings.sampling is not None:
        content.append(sampling_content(settings.sampling))
    return Request(
        key=content_hash(content),
        form=form,
        messages=messages,
        stop=settings.stop,
        max_new_tokens=settings.most,
        sampling=settings.sampling,
        thinking=thinking if form is Form.CHAT else None,
    )


def _numbered(request: Request, repeat: int) -> Request:
    """Return a request for a drawn answer with the seed and the key of its `repeat`, counted from 0."""
    if request.sampling is None:
        return request
    sampling = sample_sampling(request.sampling, request.key, repeat)
    return replace(request, sampling=sampling, key=content_hash([request.key, repeat]))


def _likelihood(context: str, ending: str) -> Request:
    form, messages = read_prompt(context)
    key = content_hash([form.value, context, ending])
    choice = Choice(text=ending)
    return Request(key=key, form=form, messages=messages, stop=(), max_new_tokens=0, choices=(choice,))


def _present(device: str | None) -> str | None:
    import torch  # noqa: PLC0415 - heavy, and in use by lm-eval already

    absent = device is not None and device.startswith("cuda") and not torch.cuda.is_available()
    return None if absent else device


def _text(value: Json) -> str | None:
    return None if value is None else str(value)
