"""A server that does as real ones do, whose model opens with newlines and repeats its prompt: for the contract test."""

from .fault_server import Asked, Reply, document, error


def served_tokens(prompt: str) -> list[str]:
    """Return what the model behind the loopback server generates: it opens with newlines and repeats its prompt."""
    return [] if prompt == "silent" else ["\n\n", *prompt, " ", *prompt][: 12 + len(prompt)]


def scored_prompt(asked: Asked) -> Reply:
    """Answer with the log-likelihood of each character of the prompt, as vLLM does."""
    chat = "messages" in asked.body
    prompt = "".join(each["content"] for each in asked.body["messages"]) if chat else asked.prompt
    values = [None, *(-0.1 - ord(character) % 7 for character in prompt[1:])]
    usage = {"prompt_tokens": len(prompt), "completion_tokens": 1}
    if chat:
        rows = [value and {"1": {"logprob": value, "rank": 1, "decoded_token": character}}
                for value, character in zip(values, prompt, strict=True)]  # fmt: skip
        choice: dict[str, object] = {"message": {"content": "x"}, "finish_reason": "length"}
        return document({"choices": [choice], "prompt_logprobs": rows, "usage": usage})
    found = {"tokens": list(prompt), "token_logprobs": values, "text_offset": list(range(len(prompt)))}
    return document({"choices": [{"text": prompt, "logprobs": found, "finish_reason": "length"}], "usage": usage})


def well_behaved(asked: Asked) -> Reply:
    """Answer as real servers do: stop strings are cut wherever they stand, the limit is kept, tokens are counted."""
    if asked.prompt == "bad":
        return error(400, "too long")
    if {"echo", "prompt_logprobs"} & set(asked.body):
        return scored_prompt(asked)
    limit = asked.body.get("max_completion_tokens", asked.body.get("max_tokens"))
    tokens = served_tokens(asked.prompt)
    kept = tokens[:limit]
    text = "".join(kept)
    cuts = [index for each in asked.body.get("stop", ()) if (index := text.find(each)) >= 0]
    reason = "stop" if cuts or len(kept) == len(tokens) else "length"
    text = text[: min(cuts, default=len(text))]
    content = {"message": {"content": text}} if "messages" in asked.body else {"text": text}
    usage = {"prompt_tokens": len(asked.prompt), "completion_tokens": len(kept)}
    return document({"choices": [{"finish_reason": reason, **content}], "usage": usage})
