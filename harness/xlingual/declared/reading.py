"""A TOML file to a Declaration: every key is known, of its kind, and goes with the others, or the line is named."""

import re
from pathlib import Path

from ..errors import UsageError
from ..extraction import JOINT, extracts_number, require_word
from ..plugin import OWN_VARIANT
from ..sampling import Sampling
from ..text import did_you_mean
from ..toml_table import TomlTable, read_toml
from .declaration import ChoicesRule, Declaration, RowRule, SplitRule, Wording
from .language_rows import read_languages, read_prompt_words
from .rows import BUILT_IN, declaration_words, text_columns
from .splits import ROW_KEYS, SOURCE_KEYS, SplitTable, read_row, read_source
from .template import TextTemplate, parse_template, template_of, templates_of

MAX_NEW_TOKENS = 512
"""Of generated answers where the file does not say, as in the shipped tasks."""
KEYS = (
    "description", "licence", "citation", "version", "split", "shots", "splits", "passage", "shared", "choices",
    "prompt", "variants", "languages", "words", "metrics", "extract", "system", "stop", "max_new_tokens", "sampling",
    "repeats", *SOURCE_KEYS, *ROW_KEYS,
)  # fmt: skip
_SAMPLING = {"temperature": (0.0, 100.0), "top_p": (0.0, 1.0), "min_p": (0.0, 1.0)}
_LABELS = re.compile(r"\S+")
ALL_VARIANTS = "all"
_VARIANT = re.compile(r"[^\s,]+")
_NAMED = re.compile(r"\{([^\W\d]\w*)\}")


def read_declaration(path: Path) -> Declaration:
    """Return what the file at `path` declares; DataError that names the line of what is wrong."""
    table = read_toml(path)
    table.allow(KEYS)
    languages = read_languages(table)
    extract = _read_extract(table)
    choices = _read_choices(table)
    generates = choices is None or extract is not None or table.has("max_new_tokens")
    first, shots, splits = _read_splits(table, choices, extract)
    wordings, asked_in = _read_wordings(table)
    declaration = Declaration(
        name=path.stem.replace("-", "_"),
        table=table,
        description=table.text("description"),
        licence=table.text("licence"),
        citation=table.text("citation"),
        version=table.text("version"),
        split=first,
        shot_split=shots,
        splits=splits,
        languages=languages,
        prompt_words=read_prompt_words(table, languages),
        wordings=wordings,
        asked_in=asked_in,
        passage=table.text("passage") if table.has("passage") else None,
        shared=table.texts("shared") if table.has("shared") else (),
        choices=choices,
        metrics=_read_metrics(table, choices, generates=generates),
        extract=_with_labels(extract, choices),
        system=template_of(table, "system") if table.has("system") else None,
        stop=templates_of(table, "stop") if table.has("stop") else None,
        max_new_tokens=_read_limit(table) if generates else 0,
        sampling=_read_sampling(table),
        repeats=table.count("repeats") if table.has("repeats") else None,
    )
    _check(declaration)
    return declaration


def _read_splits(
    table: TomlTable, choices: ChoicesRule | None, extract: str | None
) -> tuple[str, str | None, dict[str, SplitRule]]:
    """Return the evaluated split, the one that demonstrations come from, and all splits.

    Without [splits] they are those that `split` and `shots` name; with it, the first is evaluated and the second gives
    demonstrations unless these say otherwise.
    """
    own: dict[str, TomlTable] = {}
    if table.has("splits"):
        given = table.table("splits")
        own = {name: given.table(name) for name in given.values}
    first = table.text("split") if table.has("split") else next(iter(own), "test")
    shots = table.text("shots") if table.has("shots") else next((name for name in own if name != first), None)
    splits = {}
    for name in dict.fromkeys([*own, first, *([shots] if shots else [])]):
        if own and name not in own:
            key = "split" if name == first else "shots"
            raise table.fault(key, f"there is no split {name!r}", hint=did_you_mean(name, own))
        layered = SplitTable(name, own.get(name), table)
        splits[name] = SplitRule(source=read_source(layered), row=_checked_row(layered, choices, extract))
    return first, shots, splits


def _checked_row(layered: SplitTable, choices: ChoicesRule | None, extract: str | None) -> RowRule:
    kind = "number" if extracts_number(extract) else "letter" if choices and choices.labels else "text"
    row = read_row(layered, kind)
    if row.answer.kind in ("index", "letter", "value") and choices is None:
        raise layered.fault("answer", f"an answer of kind {row.answer.kind!r} needs choices")
    if row.id is None and any(each.of is not None for each in row.fields.values()):
        what = "a column of another language is found by the id of its row, and there is none"
        raise layered.fault("fields", what, hint='such as id = "{idx}"')
    return row


def _read_choices(table: TomlTable) -> ChoicesRule | None:
    if not table.has("choices"):
        return None
    value = table.values["choices"]
    plain = parse_template("{label}. {text}")
    if not isinstance(value, dict):
        return ChoicesRule(texts=_choice_texts(table, "choices"), labels=None, option=plain)
    given = table.table("choices")
    given.allow(("texts", "labels", "option"))
    labels: tuple[str, ...] | None = None
    if given.has("labels"):
        value = given.values["labels"]
        labels = tuple(given.text("labels")) if isinstance(value, str) else given.texts("labels", least=2)
        if len(labels) < 2 or len(set(labels)) < len(labels) or not all(map(_LABELS.fullmatch, labels)):
            raise given.fault("labels", f"needs two different labels or more, got {value!r}", hint='such as "ABCD"')
    option = template_of(given, "option") if given.has("option") else plain
    if set(option.names) - {"label", "text"}:
        raise given.fault("option", "may name {label} and {text} only")
    return ChoicesRule(texts=_choice_texts(given, "texts"), labels=labels, option=option)


def _choice_texts(table: TomlTable, key: str) -> tuple[TextTemplate, ...] | str:
    if table.has(key) and isinstance(table.values[key], str):
        return table.text(key)
    texts = table.texts(key, least=2)
    if len(set(texts)) < len(texts):
        raise table.fault(key, f"two of {key!r} are the same")
    return tuple(template_of(table, key, each) for each in texts)


def _read_wordings(table: TomlTable) -> tuple[dict[str, dict[str, Wording]], str | None]:
    if not table.has("prompt"):
        raise table.fault("", "key 'prompt' is missing", hint='such as prompt = "{question}\\n{answer_label} "')
    found = {"": _read_wording(table, "prompt")}
    asked_in = None
    if isinstance(table.values["prompt"], dict) and table.table("prompt").has("language"):
        prompt = table.table("prompt")
        asked_in = prompt.language("language", prompt.text("language"))
    if table.has("variants"):
        variants = table.table("variants")
        for name in variants.values:
            if name == OWN_VARIANT or not name.strip():
                raise variants.fault(name, f"a variant cannot be called {name!r}", hint="that is the prompt itself")
            if name == ALL_VARIANTS or not _VARIANT.fullmatch(name):
                hint = "--variants takes names with commas between them, and 'all'"
                raise variants.fault(name, f"a variant cannot be called {name!r}", hint=hint)
            found[name] = _read_wording(variants, name)
    return found, asked_in


def _read_wording(table: TomlTable, key: str) -> dict[str, Wording]:
    """Return the wordings at `key` by the prompt's language: of a text, or of a table with further languages."""
    if not isinstance(table.values[key], dict):
        return {"": Wording(instruction=TextTemplate(()), input=template_of(table, key))}
    given = table.table(key)
    own = ("instruction", "input", "language")
    found = {"": _read_parts(given)}
    for name in given.values:
        if name in own:
            continue
        if not isinstance(given.values[name], dict):
            raise given.fault(name, f"unknown key {name!r}", hint=did_you_mean(name, own))
        inner = given.table(name)
        inner.allow(("instruction", "input"))
        found[given.language(name, name)] = _read_parts(inner)
    return found


def _read_parts(table: TomlTable) -> Wording:
    instruction = template_of(table, "instruction") if table.has("instruction") else TextTemplate(())
    return Wording(instruction=instruction, input=template_of(table, "input"))


def _read_extract(table: TomlTable) -> str | None:
    if not table.has("extract"):
        return None
    word = table.text("extract")
    try:
        require_word(word)
    except UsageError as error:
        raise table.fault("extract", error.what, hint=error.hint) from error
    return word


def _with_labels(extract: str | None, choices: ChoicesRule | None) -> str | None:
    """Return the word of extraction with the labels of the choices, where it looks for letters and names none."""
    labels = choices.labels if choices is not None else None
    if extract != "choice_letter" or labels is None or any(len(each) > 1 for each in labels):
        return extract
    return f"choice_letter:{''.join(labels)}"


def _read_metrics(table: TomlTable, choices: ChoicesRule | None, *, generates: bool) -> tuple[str, ...]:
    """Return the metrics; labels are all of one length, so that nothing is normalised by it."""
    if table.has("metrics"):
        return table.texts("metrics")
    if generates:
        return ("exact_match",)
    return ("accuracy",) if choices is not None and choices.labels is not None else ("accuracy", "accuracy_norm")


def _read_limit(table: TomlTable) -> int:
    return table.count("max_new_tokens") if table.has("max_new_tokens") else MAX_NEW_TOKENS


def _read_sampling(table: TomlTable) -> Sampling | None:
    if not table.has("sampling"):
        return None
    given = table.table("sampling")
    given.allow((*_SAMPLING, "top_k", "seed"))
    numbers = {
        key: given.number(key, least=least, most=most, above=True) if given.has(key) else None
        for key, (least, most) in _SAMPLING.items()
    }
    if numbers["temperature"] is None:
        raise given.fault("", "key 'temperature' is missing", hint="without [sampling] answers are greedy")
    return Sampling(
        temperature=numbers["temperature"],
        top_k=given.count("top_k") if given.has("top_k") else None,
        top_p=numbers["top_p"],
        min_p=numbers["min_p"],
        seed=given.count("seed", least=0) if given.has("seed") else 0,
    )


def _check(declaration: Declaration) -> None:
    """Refuse keys that do not go together, each at its line."""
    table, words = declaration.table, declaration_words(declaration)
    for split in declaration.splits.values():
        if clash := [name for name in split.row.fields if name in words or name in BUILT_IN]:
            raise table.fault("fields", f"{clash[0]!r} is the name of a field and of a word", hint="rename one")
    _check_prompts(declaration, words)
    _check_languages(declaration)
    _check_extract(declaration, words)
    if not declaration.max_new_tokens:
        for key in ("stop", "sampling", "repeats"):
            if table.has(key):
                raise table.fault(key, f"{key!r} is of no use where choices are scored and nothing is generated")
    for key, templates in (("system", (declaration.system,)), ("stop", declaration.stop or ())):
        unknown = [name for each in templates if each is not None for name in each.names if name not in words]
        if unknown:
            hint = did_you_mean(unknown[0], words) if words else ""
            raise table.fault(key, f"{{{unknown[0]}}} is no word of the languages", hint=hint)


def _check_languages(declaration: Declaration) -> None:
    """Refuse a column of a language that the file does not have: there is no path to its rows."""
    for split in declaration.splits.values():
        rules = [("fields", each) for each in split.row.fields.values()]
        for key, rule in (*rules, ("answer", split.row.answer.field), ("demonstration", split.row.demonstration)):
            if rule is not None and rule.of is not None and rule.of not in declaration.languages:
                what = f"takes a column of {rule.of!r}, which is not among the languages"
                raise declaration.table.fault(key, what, hint=did_you_mean(rule.of, declaration.languages))


def _check_extract(declaration: Declaration, words: frozenset[str]) -> None:
    """Refuse a text to look for that names no word: it is never there. Braces of patterns are their own."""
    for step in (declaration.extract or "").split(JOINT):
        named = _NAMED.findall(step) if step.strip().startswith("after:") else []
        if unknown := [name for name in named if name not in words]:
            hint = did_you_mean(unknown[0], words)
            raise declaration.table.fault("extract", f"{{{unknown[0]}}} is no word of the languages", hint=hint)


def _check_prompts(declaration: Declaration, words: frozenset[str]) -> None:
    """Refuse prompts that show nothing of an example, or do not show the options, and a passage that none has."""
    table, names = declaration.table, text_columns(declaration)
    used: set[str] = set()
    for variant, wordings in declaration.wordings.items():
        for wording in wordings.values():
            own = {*wording.instruction.names, *wording.input.names}
            if not own - words - {"language_name"}:
                what = "names nothing of the data: every example would be asked the same"
                raise table.fault("variants" if variant else "prompt", what, hint="columns stand in braces: {question}")
            used |= own
    if declaration.passage is not None and declaration.passage not in names:
        raise table.fault("passage", f"no prompt has {{{declaration.passage}}}", hint=did_you_mean("passage", names))
    fields = {name for split in declaration.splits.values() for name in split.row.fields}
    if unknown := [name for name in declaration.shared if name not in {*names, *fields}]:
        what, hint = f"no prompt has {{{unknown[0]}}}", did_you_mean(unknown[0], names)
        raise table.fault("shared", what, hint=hint)
    labelled = declaration.choices is not None and declaration.choices.labels is not None
    if "options" in used and not labelled:
        hint = 'choices = { texts = [...], labels = "ABCD" }'
        raise table.fault("prompt", "{options} needs choices with labels", hint=hint)
    if labelled and "options" not in used:
        raise table.fault("prompt", "choices with labels must be shown: no prompt has {options}")
