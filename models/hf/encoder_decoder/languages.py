"""Our codes of languages to those of translators: `zh` is `zho_Hans` to NLLB, `zh_CN` to mBART, `zh` to M2M-100.

A translator's own list decides what it knows; this module only says under which names a language may stand there.
"""

from collections.abc import Mapping

from xlingual.languages import LANGUAGES, Language

OTHER_CODES = {
    "ar": ("arb",),
    "ff": ("fuv",),
    "fa": ("pes",),
    "he": ("iw",),
    "lv": ("lvs",),
    "jv": ("jw",),
    "mn": ("khk",),
    "ms": ("zsm",),
    "nb": ("no",),
    "nso": ("ns",),
    "om": ("gaz",),
    "ps": ("pbt",),
    "tl": ("fil",),
    "uz": ("uzn",),
}
"""Besides ISO 639-1 and the codes of Flores-101: the codes of single languages where those name a group of languages,
as NLLB does, older codes, and one of a group where a translator has only the group."""


def find_code(language: str, known: Mapping[str, int]) -> str | None:
    """Return the code, among those `known` to a translator, that our code `language` stands for, or None.

    First the code with the right script, then the bare code, then the code with any region (`zh_CN`), and last with a
    script that we call otherwise (`kor_Hang`); Chinese in the other script is another language.
    """
    row = LANGUAGES.get(language)
    if row is None:
        return language if language in known else None
    names = _names(row)
    found = [f"{name}_{row.script}" for name in names] + list(names)
    found += [code for name in names for code in sorted(known) if _is_regional(code, name)]
    if row.script not in ("Hans", "Hant"):
        found += [code for name in names for code in sorted(known) if code.partition("_")[0] == name]
    return next((code for code in found if code in known), None)


def _names(row: Language) -> tuple[str, ...]:
    if row.script in ("Hans", "Hant"):  # "zh" alone is simplified Chinese, and so is "zh_CN"
        return ("zh", "zho") if row.script == "Hans" else ("zho", "zh_TW", "zh_HK")
    return (row.code, row.flores, *OTHER_CODES.get(row.code, ()))


def _is_regional(code: str, name: str) -> bool:
    head, _, region = code.partition("_")
    return head == name and len(region) == 2 and region.isupper() and region not in ("TW", "HK", "MO")
