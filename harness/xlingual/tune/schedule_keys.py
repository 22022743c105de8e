"""The tables [method] and [schedule] of a recipe.

    [schedule]
    epochs = 3
    rows_per_step = 128
    learning_rate = 2e-5
    lr_scheduler = "wsd"
    decay_ratio = 0.2

What a key says that is so without it is kept as None: such a recipe has the id of one without the key.
"""

from ..toml_table import TomlTable
from .recipe_records import Method, Norm, Schedule, Tuning
from .schedule_records import LrScheduler, OptimizerName, Quantization

METHOD_KEYS = ("kind", "rank", "alpha", "dropout", "targets", "quantize")
SCHEDULE_KEYS = (
    *("epochs", "rows_per_step", "tokens_per_step", "learning_rate", "warmup", "weight_decay", "clip", "norm"),
    *("lr_scheduler", "decay_ratio", "min_learning_rate", "optimizer"),
)


def read_method(table: TomlTable | None) -> Method:
    """Return the method; without a table of its own, full tuning."""
    if table is None:
        return Method(kind=Tuning.FULL, rank=0, alpha=0.0, dropout=0.0, targets=())
    table.allow(METHOD_KEYS)
    kind = Tuning(table.choice("kind", tuple(Tuning)))
    if kind is Tuning.FULL:
        if extra := [key for key in table.values if key != "kind"]:
            raise table.fault(extra[0], f"{extra[0]!r} means nothing in full tuning", hint='kind = "lora" has it')
        return Method(kind=kind, rank=0, alpha=0.0, dropout=0.0, targets=())
    if kind is not Tuning.LORA and table.has("quantize"):
        raise table.fault("quantize", f"{kind.value} over a quantized base is not offered", hint='kind = "lora" has it')
    rank = table.count("rank")
    return Method(
        kind=kind,
        rank=rank,
        alpha=table.number("alpha", least=0, most=1e6, above=True) if table.has("alpha") else 2.0 * rank,
        dropout=table.number("dropout", least=0, most=0.99) if table.has("dropout") else 0.0,
        targets=table.texts("targets") if table.has("targets") else ("all-linear",),
        quantize=Quantization(table.choice("quantize", tuple(Quantization))) if table.has("quantize") else None,
    )


def read_schedule(table: TomlTable) -> Schedule:
    """Return the schedule that `[schedule]` of a recipe says; DataError for a value that is none."""
    table.allow(SCHEDULE_KEYS)
    if table.has("rows_per_step") == table.has("tokens_per_step"):
        raise table.fault("", "a step is of rows_per_step or of tokens_per_step", hint="rows_per_step = 128")

    def number(key: str, default: float, most: float) -> float:
        return table.number(key, least=0, most=most) if table.has(key) else default

    rate, warmup = table.number("learning_rate", least=0, most=1, above=True), number("warmup", 0.0, 1.0)
    scheduler = _read_scheduler(table)
    optimizer = OptimizerName(table.choice("optimizer", tuple(OptimizerName))) if table.has("optimizer") else None
    return Schedule(
        epochs=table.number("epochs", least=0, most=1000, above=True),
        rows_per_step=table.count("rows_per_step") if table.has("rows_per_step") else None,
        tokens_per_step=table.count("tokens_per_step") if table.has("tokens_per_step") else None,
        learning_rate=rate,
        warmup=warmup,
        weight_decay=number("weight_decay", 0.0, 1.0),
        clip=table.number("clip", least=0, most=1e6, above=True) if table.has("clip") else 1.0,
        norm=Norm(table.choice("norm", tuple(Norm))) if table.has("norm") else Norm.TOKEN,
        lr_scheduler=None if scheduler is LrScheduler.COSINE else scheduler,
        decay_ratio=_read_decay_ratio(table, scheduler, warmup),
        min_learning_rate=_read_min_learning_rate(table, scheduler, rate),
        optimizer=None if optimizer is OptimizerName.ADAMW else optimizer,
    )


def _read_scheduler(table: TomlTable) -> LrScheduler:
    if not table.has("lr_scheduler"):
        return LrScheduler.COSINE
    return LrScheduler(table.choice("lr_scheduler", tuple(LrScheduler)))


def _read_decay_ratio(table: TomlTable, scheduler: LrScheduler, warmup: float) -> float | None:
    if scheduler is not LrScheduler.WSD:
        if table.has("decay_ratio"):
            what = f"'decay_ratio' means nothing with {scheduler.value}"
            raise table.fault("decay_ratio", what, hint='lr_scheduler = "wsd" has it')
        return None
    ratio = table.number("decay_ratio", least=0, most=1, above=True)
    if warmup + ratio > 1 + 1e-9:
        what = f"'warmup' and 'decay_ratio' are {warmup + ratio:g} of the steps together"
        raise table.fault("decay_ratio", what, hint="at most 1")
    return ratio


def _read_min_learning_rate(table: TomlTable, scheduler: LrScheduler, rate: float) -> float | None:
    if not table.has("min_learning_rate"):
        return None
    if scheduler is LrScheduler.CONSTANT:
        raise table.fault("min_learning_rate", "'min_learning_rate' means nothing with constant")
    least = table.number("min_learning_rate", least=0, most=1)
    if least > rate:
        what = f"'min_learning_rate' is {least:g}, above the learning rate, {rate:g}"
        raise table.fault("min_learning_rate", what)
    return least or None
