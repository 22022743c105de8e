"""Names in the braces of paths and hub configurations: languages as data sets call them."""

from collections.abc import Mapping

from ..errors import DataError
from ..languages import LANGUAGES
from ..text import did_you_mean
from .template import TextTemplate


def path_names(language: str, split: str, words: Mapping[str, str]) -> dict[str, str]:
    """Return what names in braces stand for in paths; the language's words are among them."""
    row = LANGUAGES[language]
    own = {
        "language": language,
        "flores": row.flores,
        "flores200": row.flores200,
        "name": row.name,
        "split": split,
    }
    return {**words, **own}


def fill_path(template: TextTemplate, names: Mapping[str, str], where: str) -> str:
    """Return the path; a name with colons is a table, "{en:eng,zh:cmn}", as in the paths of recipes.

    DataError, naming `where`, for a name that stands for nothing.
    """

    def value(name: str) -> str:
        if ":" in name:
            table = dict(part.split(":", 1) for part in name.split(",") if ":" in part)
            table = {code.strip(): word.strip() for code, word in table.items()}
            return next((table[key] for key in (names["language"], names["split"]) if key in table), names["language"])
        if name not in names:
            raise DataError(f"{{{name}}} means nothing in a path", where=where, hint=did_you_mean(name, names))
        return names[name]

    return template.fill(value)
