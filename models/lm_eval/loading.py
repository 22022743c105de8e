"""What is used of a model of lm-eval, and how it is loaded."""

from collections.abc import Sequence
from typing import Protocol, cast

from xlingual.errors import EnvironmentFault, ModelError, UsageError, XlingualError

from .arguments import Arguments, parameters_of

MESSAGE_LENGTH = 400
"""Of what a backend says in its error, which is shown on one line."""


class CacheHook(Protocol):
    """What lm-eval calls with every answer."""

    def add_partial(self, attr: str, req: Sequence[object], res: object) -> None:
        """Take the answer `res` to the arguments `req` of the call `attr`."""
        ...


class LanguageModel(Protocol):
    """What is used of lm-eval's LM; each call takes Instances and answers in their order."""

    def generate_until(self, requests: Sequence[object]) -> Sequence[object]:
        """Return a text for each request."""
        ...

    def loglikelihood(self, requests: Sequence[object]) -> Sequence[object]:
        """Return (log-likelihood, whether greedy) for each."""
        ...

    def loglikelihood_rolling(self, requests: Sequence[object]) -> Sequence[object]:
        """Return a log-likelihood for each."""
        ...

    def apply_chat_template(self, chat_history: list[dict[str, str]]) -> object:
        """Return the text of a chat, or what stands for it."""
        ...

    def set_cache_hook(self, cache_hook: CacheHook) -> None:
        """Call `cache_hook` with every answer."""
        ...


def load(arguments: Arguments) -> LanguageModel:
    """Load the model; EnvironmentFault where a package is missing, ModelError where lm-eval cannot load it."""
    from lm_eval.api.registry import get_model  # noqa: PLC0415 - optional, and heavy

    where = f"lm-eval:{arguments.backend}"
    try:
        backend = get_model(arguments.backend)
        named = dict(arguments.named)
        if "device" not in named and "device" in parameters_of(backend) and not _has_cuda():
            named["device"] = "cpu"  # lm-eval's own default is "cuda", GPU or not
        made = backend.create_from_arg_obj(named)
    except XlingualError:
        raise
    except ImportError as error:
        hint = "install what lm-eval's backend needs"
        raise EnvironmentFault(f"a package is missing: {error}", where=where, hint=hint) from error
    except Exception as error:
        said = " ".join(_hidden(str(error), arguments).split())[:MESSAGE_LENGTH]
        message = f"lm-eval cannot make the model: {type(error).__name__}: {said}"
        raise ModelError(message, where=where) from error
    return cast(LanguageModel, made)


def require_room(model: LanguageModel, max_new_tokens: int, *, where: str) -> None:
    """Raise UsageError where answers may fill the window of a local model, which is known only when it is made.

    lm-eval's HFLM refuses every batch of such requests; servers know their own windows.
    """
    window = getattr(model, "max_length", None) if getattr(model, "backend", None) == "causal" else None
    if isinstance(window, int) and max_new_tokens >= window:
        what = f"{max_new_tokens} new tokens leave no room for a prompt in a window of {window}"
        raise UsageError(what, where=where, hint=f"choose --max-new-tokens below {window}")


def _has_cuda() -> bool:
    import torch  # noqa: PLC0415 - heavy

    return torch.cuda.is_available()


def _hidden(text: str, arguments: Arguments) -> str:
    """Return `text` without the values of secret arguments."""
    shown = arguments.shown
    for name, value in arguments.named.items():
        if shown[name] != value and value not in (None, ""):
            text = text.replace(str(value), "***")
    return text
