"""Every backend that lm-eval registers as a model here: `lm-eval:BACKEND,key=value`, as after its `--model_args`."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from xlingual.errors import UsageError
from xlingual.plugin import Model, ModelOptions
from xlingual.records import ModelSpec, Request, Response
from xlingual.registry import register_model

from .arguments import OPTIONS, Arguments, describe, read_arguments
from .asking import ask
from .loading import LanguageModel, load, require_room


@dataclass(slots=True, kw_only=True)
class LmEvalModel:
    """A model of lm-eval; it is loaded with the first answer and freed with `close`."""

    spec: ModelSpec
    arguments: Arguments
    loaded: LanguageModel | None = field(default=None, init=False)

    def count_tokens(self, requests: Sequence[Request]) -> list[int] | None:  # noqa: ARG002 - the protocol's
        """Return None: the models of lm-eval do not say, and truncate what is too long from the left."""
        return None

    def answer(self, requests: Sequence[Request]) -> Iterator[Response]:
        """Answer every request, some dozens at a time; raises where the model cannot be loaded, or can answer none."""
        if requests:
            self.loaded = self.loaded or load(self.arguments)
            if any(request.max_thinking_tokens is not None for request in requests):
                what = "lm-eval's backends cannot limit the thinking by itself"
                raise UsageError(what, where=self.spec.name, hint="leave --max-thinking-tokens out")
            require_room(self.loaded, max(request.max_new_tokens for request in requests), where=self.spec.name)
            yield from ask(self.loaded, requests, max_requests=self.arguments.max_requests)

    def close(self) -> None:
        """Free the model."""
        self.loaded = None


@register_model("lm_eval", uses=("revision", "trust_remote_code", "thinking_end", "sampling", "thinking", *OPTIONS))
def open_lm_eval(name: str, options: ModelOptions) -> Model:
    """Open any backend of lm-eval: lm-eval:hf,pretrained=NAME or lm-eval:local-completions,model=NAME,base_url=URL.

    Raises UsageError for an unknown backend and EnvironmentFault where lm-eval is not installed.
    """
    arguments = read_arguments(name, options)
    return LmEvalModel(spec=describe(arguments), arguments=arguments)
