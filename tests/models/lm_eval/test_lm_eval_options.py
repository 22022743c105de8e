"""Options of the command line reach lm-eval's backends, or are refused in their name."""

import importlib
from collections.abc import Callable, Mapping

import pytest

from xlingual.errors import UsageError
from xlingual.plugin import Model, ModelOptions
from xlingual.registry import MODELS
from xlingual.selection import open_model

pytest.importorskip("lm_eval", reason="needs the extra `lm-eval`")


def arguments_of(model: Model) -> Mapping[str, object]:
    found: Mapping[str, object] = model.arguments.named  # type: ignore[attr-defined]
    return found


def outcome(read: Callable[[], Mapping[str, object]]) -> object:
    try:
        return dict(read())
    except UsageError as error:
        return str(error)


@pytest.mark.parametrize("word", ["hf,pretrained=x", "local-completions,model=m", "dummy"])
@pytest.mark.parametrize(
    "options",
    [
        ModelOptions(device="cpu"),
        ModelOptions(dtype="float32"),
        ModelOptions(batch_size=2),
        ModelOptions(max_model_len=64),
        ModelOptions(timeout=5.0),
        ModelOptions(concurrency=3),
        ModelOptions(trust_remote_code=True),
        ModelOptions(thinking_end="</my>"),
    ],
    ids=lambda options: next(name for name in ModelOptions.__slots__ if getattr(options, name)),
)
def test_a_backend_decides_which_options_it_takes(word: str, options: ModelOptions) -> None:
    """`--model lm-eval:...` refuses none of them on its own."""
    MODELS.get("lm_eval")
    reader = importlib.import_module("xlingual.plugins.models.lm_eval.arguments")
    expected = outcome(lambda: reader.read_arguments(word, options).named)
    assert outcome(lambda: arguments_of(open_model(f"lm-eval:{word}", options))) == expected
    assert isinstance(expected, dict) or f"lm-eval's {word.partition(',')[0]!r} takes no --" in str(expected)


@pytest.mark.parametrize(
    ("word", "revision", "named"),
    [
        ("hf,pretrained=org/x", "main", {"pretrained": "org/x", "revision": "main"}),
        ("hf,pretrained=org/x,dtype=float32", "main", {"pretrained": "org/x", "dtype": "float32", "revision": "main"}),
        ("hf,pretrained=org/x@main", None, {"pretrained": "org/x", "revision": "main"}),
        ("local-completions,model=claude@2024", None, {"model": "claude@2024"}),
        (
            "local-completions,model=a@b,base_url=http://user@host",
            None,
            {"model": "a@b", "base_url": "http://user@host"},
        ),
    ],
)
def test_a_revision_is_that_of_the_weights(word: str, revision: str | None, named: dict[str, object]) -> None:
    """And an @ in the name of a model on a server is part of its name."""
    assert arguments_of(open_model(f"lm-eval:{word}", ModelOptions(revision=revision))) == named
