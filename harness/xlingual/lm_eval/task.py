"""Our tasks as tasks of lm-eval's: the same data, prompts and metrics, so that the same answers get the same scores."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import numpy as np
from lm_eval.api.instance import Instance
from lm_eval.api.task import Task as LmEvalTask
from lm_eval.config.task import TaskConfig
from lm_eval.filters import build_filter_ensemble

from ..answers import AnswerReading, read_answers
from ..demonstrations import DemonstrationChoice, choose_demonstrations
from ..errors import DataError
from ..identity import Json
from ..metrics import find_metric
from ..plugin import DataSource, Metric
from ..prompt import RAW_STOP, Rendering, render
from ..records import Demonstration, Example, Likelihood, ModelSpec, Response, Statistics, TaskSpec
from ..sampling import sampling_content
from ..selection import select_tasks
from . import model as _registers_the_model  # noqa: F401 - so that `--model xlingual` is known with our tasks

ANY_MODEL = ModelSpec(
    word="", backend="", name="", revision=None, fingerprint="", dtype=None, template="raw", context_length=None,
    parent=None,
)  # fmt: skip
"""Stands for the model in prompts, which lm-eval does not show to tasks."""
ChatTemplate = Callable[..., str]


class XlingualTask(LmEvalTask):  # type: ignore[misc]  # lm-eval carries no types, and takes subclasses only
    """A task of ours; `dataset_name` names it, `dataset_kwargs` may hold the folder of its data as `data`."""

    def __init__(self, config: Mapping[str, Json]) -> None:
        """Find the task; its data are read when they are needed."""
        word, options = str(config["dataset_name"]), config.get("dataset_kwargs") or {}
        [self._task] = select_tasks([word], [])
        self._data_source = _data_source_of(options.get("data") if isinstance(options, Mapping) else None)
        self._metrics = {name: find_metric(name) for name in self._task.spec.metrics}
        self._read: dict[int, tuple[tuple[Demonstration, ...], dict[str, Example]]] = {}
        self._seed = 0
        generates = self._task.spec.max_new_tokens > 0
        settings = _generation(self._task.spec)
        self.OUTPUT_TYPE = "generate_until" if generates else "multiple_choice"
        self.VERSION = self._task.spec.version
        self._config = TaskConfig(
            task=config["task"],
            dataset_path="xlingual",
            dataset_name=word,
            output_type=self.OUTPUT_TYPE,
            test_split=self._task.spec.split,
            generation_kwargs=settings if generates else None,
            metadata={"version": self._task.spec.version},
        )
        self._filters = [build_filter_ensemble("none", [["take_first", None]])]
        self._instances = None
        self.fewshot_rnd = None

    def set_fewshot_seed(self, seed: int | None = None) -> None:
        """Take the seed of the choice of demonstrations."""
        self._seed = seed or 0

    def has_training_docs(self) -> bool:
        """Return that there are none: demonstrations come as the task's own rules say."""
        return False

    def has_validation_docs(self) -> bool:
        """Return that there are none."""
        return False

    def has_test_docs(self) -> bool:
        """Return that there are some."""
        return True

    def test_docs(self) -> list[dict[str, Json]]:
        """Return the examples as lm-eval logs them; those that demonstrations are held out with are not among them."""
        return [asdict(row) for row in self._examples()[1].values()]

    def doc_to_text(self, doc: Mapping[str, Json]) -> str:
        """Return the prompt without demonstrations or chat."""
        return self._text(self._example(doc), ())

    def doc_to_target(self, doc: Mapping[str, Json]) -> str:
        """Return the first accepted answer, "" of an open instruction, which has none."""
        return next(iter(self._example(doc).targets), "")

    def doc_to_prefix(self, doc: Mapping[str, Json]) -> None:
        """Return that no answer is begun for the model."""

    def fewshot_context(  # noqa: PLR0913 - lm-eval's signature
        self,
        doc: Mapping[str, Json],
        num_fewshot: int,
        system_instruction: str | None = None,
        apply_chat_template: bool = False,
        fewshot_as_multiturn: bool = False,  # noqa: ARG002 - demonstrations of ours are turns
        chat_template: ChatTemplate | None = None,
        gen_prefix: str | None = None,  # noqa: ARG002 - see doc_to_prefix
    ) -> str:
        """Return the whole prompt, as `xlingual eval` words it for the template raw or chat."""
        shots = self._examples()[0][:num_fewshot]
        example = self._example(doc)
        if not apply_chat_template or chat_template is None:
            return self._text(example, shots, system_instruction)
        rendering = replace(_rendering("chat"), system=system_instruction or self._task.spec.system)
        messages = render(self._task.prompt(example), shots, rendering).messages
        return chat_template([{"role": message.role.value, "content": message.text} for message in messages])

    def construct_requests(self, doc: Mapping[str, Json], ctx: str, **named: object) -> "Instance | list[Instance]":
        """Return what is to be asked for an example: an answer, or the likelihood of each choice."""
        chat = bool(named.pop("apply_chat_template", False))
        named.pop("chat_template", None)
        example = self._example(doc)
        if example.choices is not None:
            return [
                Instance("loglikelihood", doc, (ctx, choice), place, **named)
                for place, choice in enumerate(example.choices)
            ]
        settings = dict(self._config.generation_kwargs)
        if not settings.get("until"):
            own = self._task.spec.stop
            settings["until"] = list(own) if own is not None else [] if chat else list(RAW_STOP)
        return Instance("generate_until", doc, (ctx, settings), 0, **named)

    def process_results(self, doc: Mapping[str, Json], results: Sequence[object]) -> dict[str, Statistics]:
        """Return what the answer, without its thinking, adds to each metric that can judge it."""
        example = self._example(doc)
        response = _response(example, results)
        if response.text is not None:
            reading = AnswerReading(extract=self._task.spec.extract)
            [read] = read_answers(self._task, [example], [response], reading)
            if read is None or not read.finished:
                return {}
            response = read.response
        measured = {
            name: metric.measure(example, response)
            for name, metric in self._metrics.items()
            if metric.missing(example.language) is None
        }
        return {name: statistics for name, statistics in measured.items() if statistics is not None}

    def aggregation(self) -> dict[str, Callable[[Sequence[Statistics]], float]]:
        """Return how the statistics of each metric become a score from 0 to 100."""
        return {name: partial(_combine, metric) for name, metric in self._metrics.items()}

    def higher_is_better(self) -> dict[str, bool]:
        """Return which metrics are rates of success, and which of failure."""
        return {name: metric.higher_is_better for name, metric in self._metrics.items()}

    def _examples(self) -> tuple[tuple[Demonstration, ...], dict[str, Example]]:
        shots = self._config.num_fewshot or 0
        if shots not in self._read:
            split = self._task.spec.split
            choice = DemonstrationChoice(shots=shots, seed=self._seed, data_source=self._data_source)
            rows = self._task.examples(split, self._data_source).rows
            demonstrations, evaluated = choose_demonstrations(self._task, rows, split, choice)
            self._read[shots] = demonstrations, {row.id: row for row in evaluated}
        return self._read[shots]

    def _example(self, doc: Mapping[str, Json]) -> Example:
        return self._examples()[1][str(doc["id"])]

    def _text(self, example: Example, shots: Sequence[Demonstration], system: str | None = None) -> str:
        rendering = replace(_rendering("raw"), system=system or self._task.spec.system)
        return render(self._task.prompt(example), shots, rendering).messages[0].text


def _data_source_of(data: object) -> DataSource:
    if data is None or data == "sample":
        return DataSource(folder=None, sample=data == "sample", offline=False)
    return DataSource(folder=Path(str(data)), sample=False, offline=False)


def _generation(spec: TaskSpec) -> dict[str, Json]:
    """Return what lm-eval is told of a task's answers."""
    settings: dict[str, Json] = {"until": [], "max_gen_toks": spec.max_new_tokens, "do_sample": False}
    if spec.sampling is not None:
        drawn = {name: value for name, value in sampling_content(spec.sampling).items() if name != "seed"}
        settings |= {"do_sample": True, **drawn}
    return settings


def _rendering(template: str) -> Rendering:
    return Rendering(model=ANY_MODEL, template=template, stop=None, max_new_tokens=1, on_overflow="error")


def _response(example: Example, results: Sequence[object]) -> Response:
    nothing = Response(key=example.id, text=None, failure=None, finish=None, prompt_tokens=None, tokens=None)
    if example.choices is None:
        return replace(nothing, text=str(results[0]))
    return replace(nothing, likelihoods=tuple(_likelihood(each) for each in results))


def _likelihood(result: object) -> Likelihood:
    if not isinstance(result, tuple | list) or len(result) != 2:
        raise DataError(f"no log-likelihood: {result!r:.80}", where="lm-eval")
    return Likelihood(logarithm=float(result[0]), is_greedy=bool(result[1]), tokens=None)


def _combine(metric: Metric, statistics: Sequence[Statistics]) -> float:
    return float(metric.combine(np.asarray(statistics, dtype=np.float64).sum(axis=0)))
