"""vLLM in its own environment, `vllm:NAME`: its wheel pins other versions of torch and transformers than ours."""

from xlingual.plugin import Model, ModelOptions
from xlingual.registry import register_model

from ._served import USES, open_served
from ._served.program import LaunchOptions, ServerProgram


def _command(launch: LaunchOptions) -> list[str]:
    return [
        *(launch.python, "-m", "vllm.entrypoints.cli.main", "serve", str(launch.model)),
        *("--host", "127.0.0.1", "--port", str(launch.port), "--served-model-name", launch.name),
        *("--dtype", launch.dtype, "--seed", "0", "--enable-prefix-caching"),
        # Otherwise the sampling defaults that a model ships (repetition penalty, ...) change greedy answers.
        *("--generation-config", "vllm"),
        *(("--trust-remote-code",) if launch.trust_remote_code else ()),
        *(("--max-model-len", str(launch.max_model_len)) if launch.max_model_len is not None else ()),
        *launch.extra_arguments,
    ]


NEUTRAL = """
--tensor-parallel-size -tp --data-parallel-size -dp --pipeline-parallel-size -pp --gpu-memory-utilization
--max-num-seqs --max-num-batched-tokens --swap-space --cpu-offload-gb --enforce-eager
--distributed-executor-backend --disable-log-stats
"""
"""Arguments that change no answer: parallelism and memory."""
PROGRAM = ServerProgram(
    name="vllm",
    package="vllm",
    command=_command,
    named_by_path=False,
    dtype="bfloat16",
    neutral=frozenset(NEUTRAL.split()),
    max_concurrency=256,
)


@register_model("vllm", uses=USES)
def open_vllm(name: str, options: ModelOptions) -> Model:
    """Open a model for a vLLM server that is started, watched and ended here; --server-arg reaches the server."""
    return open_served(PROGRAM, name, options)
