"""`transformers serve`, `serve:NAME`: the server that comes with transformers, for models that nothing else serves."""

from xlingual.plugin import Model, ModelOptions
from xlingual.registry import register_model

from ._served import USES, open_served
from ._served.program import LaunchOptions, ServerProgram


def _command(launch: LaunchOptions) -> list[str]:
    return [
        *(launch.python, "-m", "transformers.cli.transformers", "serve", str(launch.model)),
        *("--host", "127.0.0.1", "--port", str(launch.port), "--dtype", launch.dtype),
        *("--device", launch.device or "auto"),
        *(("--trust-remote-code",) if launch.trust_remote_code else ()),
        *launch.extra_arguments,
    ]


NEUTRAL = """
--continuous-batching --cb-block-size --cb-num-blocks --cb-max-batch-tokens --cb-max-memory-percent
--log-level --model-timeout
"""
"""Arguments that change no answer: parallelism and memory."""
PROGRAM = ServerProgram(
    name="serve",
    package="uvicorn",
    command=_command,
    named_by_path=True,
    dtype=None,
    neutral=frozenset(NEUTRAL.split()),
    max_concurrency=4,
)


@register_model("serve", uses=(*USES, "device"))
def open_serve(name: str, options: ModelOptions) -> Model:
    """Open a model for a `transformers serve` process that is started, watched and ended here."""
    return open_served(PROGRAM, name, options)
