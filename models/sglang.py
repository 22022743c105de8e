"""SGLang in its own environment, `sglang:NAME`; its radix cache shares prefixes by default."""

from xlingual.plugin import Model, ModelOptions
from xlingual.registry import register_model

from ._served import USES, open_served
from ._served.program import LaunchOptions, ServerProgram


def _command(launch: LaunchOptions) -> list[str]:
    return [
        *(launch.python, "-m", "sglang.launch_server", "--model-path", str(launch.model)),
        *("--host", "127.0.0.1", "--port", str(launch.port), "--served-model-name", launch.name),
        *("--dtype", launch.dtype, "--random-seed", "0"),
        # Otherwise the sampling defaults that a model ships (repetition penalty, ...) change greedy answers.
        *("--sampling-defaults", "openai"),
        *(("--trust-remote-code",) if launch.trust_remote_code else ()),
        *(("--context-length", str(launch.max_model_len)) if launch.max_model_len is not None else ()),
        *launch.extra_arguments,
    ]


NEUTRAL = """
--tensor-parallel-size --tp-size --tp --data-parallel-size --dp-size --dp --mem-fraction-static
--max-running-requests --chunked-prefill-size --log-level
"""
"""Arguments that change no answer: parallelism and memory."""
PROGRAM = ServerProgram(
    name="sglang",
    package="sglang",
    command=_command,
    named_by_path=False,
    dtype="bfloat16",
    neutral=frozenset(NEUTRAL.split()),
    max_concurrency=256,
)


@register_model("sglang", uses=USES)
def open_sglang(name: str, options: ModelOptions) -> Model:
    """Open a model for an SGLang server that is started, watched and ended here; --server-arg reaches the server."""
    return open_served(PROGRAM, name, options)
