"""Licences as recipes and model cards name them: an identifier of the hub, a name of one's own, or none that is known.

    license = "cc-by-sa-4.0"          # of the result, at the top of a recipe; or of a source, in its table

Nothing is guessed: what a recipe does not say is unknown.
"""

from collections.abc import Mapping

from ..identity import slug
from ..toml_table import TomlTable

LICENSE_KEYS = ("license", "licence")
"""One key in two spellings."""
UNKNOWN = "unknown"
"""The hub's own word."""
OTHER = "other"
_LONGEST = 200
"""Characters."""
_IDENTIFIERS = """
afl-3.0 agpl-3.0 apache-2.0 apple-amlr apple-ascl artistic-2.0 bigcode-openrail-m bigscience-bloom-rail-1.0
bigscience-openrail-m bsd bsd-2-clause bsd-3-clause bsd-3-clause-clear bsl-1.0 c-uda cc cc-by-2.0 cc-by-2.5 cc-by-3.0
cc-by-4.0 cc-by-nc-2.0 cc-by-nc-3.0 cc-by-nc-4.0 cc-by-nc-nd-3.0 cc-by-nc-nd-4.0 cc-by-nc-sa-2.0 cc-by-nc-sa-3.0
cc-by-nc-sa-4.0 cc-by-nd-4.0 cc-by-sa-3.0 cc-by-sa-4.0 cc0-1.0 cdla-permissive-1.0 cdla-permissive-2.0
cdla-sharing-1.0 creativeml-openrail-m deepfloyd-if-license ecl-2.0 epl-1.0 epl-2.0 etalab-2.0 eupl-1.1 eupl-1.2
fair-noncommercial-research-license gemma gfdl gpl gpl-2.0 gpl-3.0 h-research intel-research isc lgpl lgpl-2.1
lgpl-3.0 lgpl-lr llama2 llama3 llama3.1 llama3.2 llama3.3 llama4 lppl-1.3c mit mpl-2.0 ms-pl ncsa odbl odc-by ofl-1.1
openrail openrail++ osl-3.0 pddl postgresql unlicense wtfpl zlib
"""
"""What the hub takes for `license` beside "other" and "unknown"; from its documentation."""
HUB_LICENSES = frozenset(_IDENTIFIERS.split())


def read_license(table: TomlTable) -> str | None:
    """Return the licence that a table names, None where it names none; DataError for two, or for no line of text."""
    keys = [key for key in LICENSE_KEYS if table.has(key)]
    if not keys:
        return None
    if len(keys) > 1:
        raise table.fault(keys[1], "license and licence are one key in two spellings", hint="keep one of them")
    text = table.text(keys[0]).strip()
    if len(text) > _LONGEST or not text.isprintable():
        raise table.fault(keys[0], f"{keys[0]!r} is a name on one line, of at most {_LONGEST} characters")
    return hub_identifier(text) or text


def hub_identifier(text: str) -> str | None:
    """Return the identifier of the hub that `text` is, in its own case: "Apache-2.0" is apache-2.0; None: it is none.

    "unknown" and "other" say nothing, so they are none.
    """
    word = text.strip().lower()
    return word if word in HUB_LICENSES else None


def license_fields(text: str | None) -> Mapping[str, str]:
    """Return the fields of a card's front matter for a licence; None: it is unknown."""
    if text is None or text.lower() in (UNKNOWN, OTHER):
        return {"license": UNKNOWN}
    known = hub_identifier(text)
    return {"license": known} if known is not None else {"license": OTHER, "license_name": slug(text).lower()}
