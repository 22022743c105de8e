"""The options of `xlingual eval`, and the records that they make."""

from dataclasses import dataclass
from pathlib import Path

import click

from ...errors import UsageError
from ...files import read_text
from ...planning import RunSettings, parse_limit
from ...plugin import ModelOptions
from ...prompt import OVERFLOW_POLICIES, TEMPLATES
from ...question_settings import SAMPLING_SOURCES, TASK, QuestionSettings, SamplingChoice
from ...selection import split_words
from ...thinking import ThinkingMode
from ..options import (
    MOST,
    MOST_REPEATS,
    FiniteRange,
    data_option,
    json_option,
    metrics_option,
    offline_option,
    out_option,
    read_data_source,
)
from ..progress import progress_option

DEFAULT_TASKS = "xquad,mlqa,flores101"
ENGINES = ("packed", "static", "paged")
DTYPES = ("auto", "float32", "bfloat16", "float16")
AUTO_THINKING = "auto"


@dataclass(frozen=True, slots=True, kw_only=True)
class EvalOptions:
    """The words of the command line."""

    model: tuple[str, ...]
    tasks: str
    langs: str
    include_path: tuple[str, ...]
    data: str | None
    out: str
    split: str | None
    limit: str | None
    shots: int
    seed: int
    template: str
    max_new_tokens: int | None
    stop: tuple[str, ...]
    system: str | None
    prompt_language: str | None
    variants: str
    fewshot_as_turns: bool
    sampling: str
    temperature: float | None
    top_p: float | None
    top_k: int | None
    min_p: float | None
    sample_seed: int | None
    repeats: int | None
    thinking: str
    max_thinking_tokens: int | None
    think_end: str | None
    extract: str | None
    metrics: str
    on_overflow: str
    revision: str | None
    dtype: str | None
    device: str | None
    shard: bool
    batch_size: int | None
    engine: str | None
    deterministic: bool
    allow_pickle: bool
    trust_remote_code: bool
    max_errors: int | None
    fresh: bool
    offline: bool
    dry_run: bool
    show_all: bool
    as_json: bool
    progress: str
    server_python: str | None
    server_arg: tuple[str, ...]
    extra_body: str | None
    header: tuple[str, ...]
    timeout: float | None
    concurrency: int | None
    max_model_len: int | None
    key_env: str | None
    price: str | None
    track: str | None
    track_samples: bool


def run_settings(options: EvalOptions) -> RunSettings:
    """Return what the command line says of the run; UsageError where it is wrong."""
    return RunSettings(
        data_source=read_data_source(options.data, offline=options.offline),
        out=Path(options.out).expanduser(),
        split=options.split,
        template=_template(options),
        shots=options.shots,
        seed=options.seed,
        max_new_tokens=options.max_new_tokens,
        stop=tuple(_unescape(word) for word in options.stop) or None,
        limit=parse_limit(options.limit) if options.limit else None,
        on_overflow=options.on_overflow,
        fresh=options.fresh,
        max_errors=options.max_errors,
        question=_question(options),
        metrics=tuple(split_words(options.metrics)),
    )


def _template(options: EvalOptions) -> str:
    """Return the form of the prompt: a name that is none of ours is that of a chat template."""
    return options.template if options.template in ("auto", *TEMPLATES) else "chat"


def _question(options: EvalOptions) -> QuestionSettings:
    return QuestionSettings(
        system=_read_system(options.system),
        prompt_language=options.prompt_language,
        variants=tuple(split_words(options.variants)),
        shots_as_text=not options.fewshot_as_turns,
        sampling=SamplingChoice(
            source=options.sampling,
            temperature=options.temperature,
            top_p=options.top_p,
            top_k=options.top_k,
            min_p=options.min_p,
            seed=options.sample_seed,
        ),
        repeats=options.repeats,
        thinking=None if options.thinking == AUTO_THINKING else ThinkingMode(options.thinking),
        max_thinking_tokens=options.max_thinking_tokens,
        extract=options.extract,
    )


def _read_system(word: str | None) -> str | None:
    """Return the system message: the text, or that of the file after an @."""
    if word is None or not word.startswith("@"):
        return word
    path = Path(word[1:]).expanduser()
    if not path.is_file():
        raise UsageError("no such file", where=f"--system {word}", hint="--system TEXT, or --system @FILE")
    return read_text(path).strip()


def _unescape(word: str) -> str:
    text = word.replace("\\n", "\n").replace("\\t", "\t")
    if not text:
        raise UsageError("an empty stop string would end every answer", where="--stop", hint="leave --stop out")
    return text


def model_options(options: EvalOptions) -> ModelOptions:
    """Return what the command line says of the model."""
    return ModelOptions(
        revision=options.revision,
        dtype=options.dtype,
        device=options.device,
        shard=options.shard,
        batch_size=options.batch_size,
        offline=options.offline,
        allow_pickle=options.allow_pickle,
        trust_remote_code=options.trust_remote_code,
        server_python=options.server_python,
        server_args=options.server_arg,
        engine=options.engine,
        deterministic=options.deterministic,
        chat_template=options.template if options.template not in ("auto", *TEMPLATES) else None,
        thinking_end=options.think_end,
        extra_body=options.extra_body,
        headers=options.header,
        timeout=options.timeout,
        concurrency=options.concurrency,
        max_model_len=options.max_model_len,
        key_env=options.key_env,
    )


OPTIONS: list[click.Parameter] = [
    click.Option(
        ["--model", "-m"], multiple=True, required=True, help="Model word, see 'xlingual models'; repeatable."
    ),
    click.Option(
        ["--tasks", "-t"], default=DEFAULT_TASKS, show_default=True, help="Families, tasks or globs, comma-separated."
    ),
    click.Option(["--langs", "-l"], default="", help="Only tasks that answer in these languages: zh,ar."),
    click.Option(
        ["--include-path"], multiple=True, metavar="DIR", help="Folder of lm-eval tasks of your own. Repeatable."
    ),
    data_option(),
    out_option(),
    click.Option(["--split"], default=None, help="Split to evaluate instead of each task's own: dev."),
    click.Option(["--limit"], default=None, metavar="N|A-B", help="Only these examples; such a run is never ranked."),
    click.Option(
        ["--shots"],
        type=click.IntRange(0, MOST),
        default=0,
        show_default=True,
        help="Solved examples before the question.",
    ),
    click.Option(
        ["--seed"],
        type=click.IntRange(-MOST, MOST),
        default=0,
        show_default=True,
        help="Of the choice of solved examples.",
    ),
    click.Option(
        ["--template"],
        default="auto",
        show_default=True,
        metavar="auto|chat|alpaca|raw|NAME",
        help="How prompts are wrapped; auto: as suits the model; NAME: one of several chat templates of its tokenizer.",
    ),
    click.Option(["--system"], default=None, metavar="TEXT|@FILE", help="System message; '' for none of the task's."),
    click.Option(
        ["--prompt-language"],
        default=None,
        metavar="native|CODE",
        help="Language of the instruction, where a task has several: en.",
    ),
    click.Option(
        ["--variants"], default="", metavar="all|NAME,...", help="Wordings of the prompt, each asked, and their spread."
    ),
    click.Option(
        ["--fewshot-as-turns/--no-fewshot-as-turns"],
        default=True,
        show_default=True,
        help="Solved examples are turns of a chat, or stand in its one message.",
    ),
    click.Option(
        ["--max-new-tokens"],
        type=click.IntRange(1, MOST),
        default=None,
        help="Longest answer; default: each task's own.",
    ),
    click.Option(
        ["--sampling"],
        type=click.Choice(SAMPLING_SOURCES),
        default=TASK,
        show_default=True,
        help="How answers are drawn: as the task says (greedily, as a rule), greedily, or as the model recommends.",
    ),
    click.Option(["--temperature"], type=FiniteRange(0), default=None, help="Draw answers; 0 is greedy."),
    click.Option(["--top-p"], type=FiniteRange(0, 1, min_open=True), default=None, help="Of the drawing."),
    click.Option(["--top-k"], type=click.IntRange(1, MOST), default=None, help="Of the drawing."),
    click.Option(["--min-p"], type=FiniteRange(0, 1), default=None, help="Of the drawing."),
    click.Option(["--sample-seed"], type=click.IntRange(0, MOST), default=None, help="Of the drawing; default 0."),
    click.Option(
        ["--repeats"],
        type=click.IntRange(1, MOST_REPEATS),
        default=None,
        help="Ask each question so often: the mean, pass@k and maj@n of exact answers.",
    ),
    click.Option(
        ["--thinking"],
        type=click.Choice((AUTO_THINKING, *(mode.value for mode in ThinkingMode))),
        default=AUTO_THINKING,
        show_default=True,
        help="Of reasoning models; auto: as the model's template or server does by default.",
    ),
    click.Option(
        ["--max-thinking-tokens"],
        type=click.IntRange(1, MOST),
        default=None,
        help="Then the thinking is ended and the model answers; without it, thinking counts as answer.",
    ),
    click.Option(
        ["--think-end"], default=None, metavar="TEXT", help="What ends the thinking, where no template tells it."
    ),
    click.Option(
        ["--extract"],
        default=None,
        metavar="WORD",
        help="What of an answer is scored: last_number, choice_letter, first_line, boxed, regex:PATTERN, ...",
    ),
    metrics_option(),
    click.Option(
        ["--stop"], multiple=True, metavar="TEXT", help=r"End answers before this; '\n' is a line break. Repeatable."
    ),
    click.Option(
        ["--on-overflow"],
        type=click.Choice(OVERFLOW_POLICIES),
        default="truncate",
        show_default=True,
        help="What to do with prompts longer than the context window.",
    ),
    click.Option(["--revision"], default=None, help="Commit of a hub model."),
    click.Option(
        ["--dtype"], type=click.Choice(DTYPES), default=None, help="Default: float32 on CPU, bfloat16 on GPU."
    ),
    click.Option(["--device"], default=None, help="cpu, cuda, cuda:1, mps; cuda:0,cuda:1 or cuda:all shares the work."),
    click.Option(
        ["--shard"], is_flag=True, help="One model over the devices of --device, layer by layer: it fits on none alone."
    ),
    click.Option(["--batch-size"], type=click.IntRange(1, MOST), default=None, help="Prompts answered together."),
    click.Option(
        ["--engine"],
        type=click.Choice(ENGINES),
        default=None,
        help="How local models generate: paged (pages and CUDA graphs; the default on a GPU), packed (the default on a "
        "CPU), static (batches of transformers).",
    ),
    click.Option(
        ["--deterministic"], is_flag=True, help="Every answer by itself: none depends on another, in any dtype; slow."
    ),
    click.Option(["--allow-pickle"], is_flag=True, help="Load .bin weights, which can run code."),
    click.Option(["--trust-remote-code"], is_flag=True, help="Run a model's own code; needs a 40-hex --revision."),
    click.Option(
        ["--max-errors"], type=click.IntRange(0, MOST), default=None, help="Stop after this many failed samples."
    ),
    click.Option(["--fresh"], is_flag=True, help="Ask everything again; earlier answers are moved aside."),
    offline_option(),
    click.Option(
        ["--dry-run"], is_flag=True, help="Show counts, tokens and the first prompt of each task; ask nothing."
    ),
    click.Option(
        ["--all", "show_all"], is_flag=True, help="End with all metrics and warnings on a terminal too, as in a pipe."
    ),
    json_option(),
    progress_option(),
    click.Option(
        ["--server-python", "--vllm-python"],
        default=None,
        metavar="PATH|make",
        help="Interpreter of the environment that has vLLM, SGLang or transformers serve; make: make one in the cache.",
    ),
    click.Option(
        ["--server-arg"],
        multiple=True,
        metavar="ARG",
        help="Passed to the server that is started: --server-arg=--tensor-parallel-size=2. Repeatable.",
    ),
    click.Option(
        ["--extra-body"], default=None, metavar="JSON", help="Object that is merged into every question to a server."
    ),
    click.Option(
        ["--header"], multiple=True, metavar="'NAME: VALUE'", help="Sent with every request to a server. Repeatable."
    ),
    click.Option(
        ["--timeout"],
        type=FiniteRange(0, min_open=True),
        default=None,
        help="Seconds that a server may take for one answer.",
    ),
    click.Option(
        ["--concurrency"], type=click.IntRange(1, MOST), default=None, help="Most requests at once to a server."
    ),
    click.Option(
        ["--max-model-len"],
        type=click.IntRange(2, MOST),
        default=None,
        help="Tokens of prompt and answer together, where nobody tells or less is wanted.",
    ),
    click.Option(
        ["--key-env"], default=None, metavar="VARIABLE", help="The environment variable that holds a server's key."
    ),
    click.Option(
        ["--price"],
        default=None,
        metavar="IN,OUT|FILE",
        help="Of a million tokens read and written, or a TOML table of prices by model: for the forecast and the bill.",
    ),
    click.Option(
        ["--track"],
        default=None,
        metavar="comet-ml|wandb|mlflow[:online]",
        help="Mirror settings, scores and result files to Comet ML, Weights & Biases or MLflow: offline below "
        "OUT/tracking, or with :online sent at once.",
    ),
    click.Option(["--track-samples"], is_flag=True, help="Mirror questions and answers too."),
]
