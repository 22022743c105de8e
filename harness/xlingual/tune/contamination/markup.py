"""What stands around and within the words of a page, taken out: escapes, tags, links and words cut at line ends.

    "The <b>Amazon</b> is the second longest"    all of these are "The Amazon is the second longest"
    "The [[Amazon River|Amazon]] is the sec-\\nond longest"
    "The%20Amazon%20is%20the%20second%20longest"

A page of a page is escaped twice, a URL within JSON in two ways: escapes are undone until there are none, LAYERS times
at most.
"""

import re
from html import unescape

LAYERS = 4
"""Escapes within escapes that are undone."""
_MISREAD_LEAST = 3
"""Letters of UTF-8 read as another encoding from which on a text is taken for misread: two may be chance ("TÊ”")."""

_ESCAPE = re.compile(
    r"\\{1,8}(?:u([0-9a-fA-F]{4})|u\{([0-9a-fA-F]{1,6})\}|U([0-9a-fA-F]{8})|[nrt])|<U\+([0-9a-fA-F]{4,6})>"
)
"""What JSON and programs write for a character, or for a line break or a tab; JSON within JSON doubles backslashes."""
_HEX_BYTES = re.compile(r"(?:\\{1,8}x[0-9a-fA-F]{2})+")
_OCTAL_BYTES = re.compile(r"(?:\\{1,8}[0-3][0-7]{2})+")
_PERCENT_BYTES = re.compile(r"(?:%[0-9a-fA-F]{2})+")
_QUOTED_PRINTABLE = re.compile(r"(?:=[0-9A-F]{2}(?:=\r?\n)?)+")
_SOFT_BREAK = re.compile(r"=\r?\n")
_CP1252 = "€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ"
"""What Windows-1252 has at 0x80 to 0x9F; what it leaves free there stands for itself."""
_NEXT = f"[\u0080-\u00bf{_CP1252}]"
_MISREAD = re.compile(f"[\u00c2-\u00df]{_NEXT}|[\u00e0-\u00ef]{_NEXT}{_NEXT}|[\u00f0-\u00f4]{_NEXT}{_NEXT}{_NEXT}")
"""A character of UTF-8 whose bytes were read as Windows-1252 or Latin-1."""

_INLINE = (
    "a|abbr|b|bdi|bdo|big|cite|code|em|font|i|ins|kbd|mark|q|s|small|span|strike|strong|sub|sup|tt|u|wbr"  # not br
)
_INLINE_TAG = re.compile(rf"</?(?:{_INLINE})(?:\s[^<>]{{0,400}})?/?>", re.IGNORECASE)
"""A tag that stands within a line, and maybe within a word."""
_TAG = re.compile(r"</?[A-Za-z][^<>]{0,400}>")
_LINK = re.compile(r"\]\([^()\s]{1,400}\)")
"""The address of a link of Markdown, behind its words."""
_WIKI_TARGET = re.compile(r"\[\[[^][|\n]{1,200}\|")
"""What a link of a wiki leads to, before its words."""
_BB_TAG = re.compile(r"\[/?(?:b|i|u|s|url|img|quote|code|size|color)(?:=[^][\n]{0,200})?\]", re.IGNORECASE)
"""A tag of a forum."""
_LATEX = re.compile(r"\\[A-Za-z]{2,20}\*?\{")
"""A command of LaTeX and the brace before what it is about."""
_CUT = re.compile(r"(?<=\S)[-\u00ad\u2010][ \t]*\r?\n[ \t>]*(?=[^\s-])")
"""Where a word is cut at the end of a line."""


def plain_text(text: str) -> str:
    """Return `text` without escapes, tags, addresses of links and hyphens at line ends, in linear time."""
    if "\\" in text:
        text = _LATEX.sub(" ", text)
    for _ in range(LAYERS):
        undone = _without_escapes(text)
        if undone == text:
            break
        text = undone
    if "<" in text:
        text = _TAG.sub(" ", _INLINE_TAG.sub("", text))
    if "](" in text:
        text = _LINK.sub("]", text)
    if "[[" in text:
        text = _WIKI_TARGET.sub(" ", text)
    if "[/" in text:
        text = _BB_TAG.sub("", text)
    if "\n" in text:
        text = _CUT.sub("", text)
    return text


def _without_escapes(text: str) -> str:
    """Return `text` with its escapes undone once."""
    if "%" in text:
        text = _PERCENT_BYTES.sub(lambda found: _decoded(found[0], bytes.fromhex(found[0].replace("%", ""))), text)
    if "\\" in text:
        if "x" in text:
            text = _HEX_BYTES.sub(_hex_bytes, text)
        text = _OCTAL_BYTES.sub(_octal_bytes, text)
    if "\\" in text or "<U+" in text:
        text = _ESCAPE.sub(_character, text)
    if "&" in text:
        text = unescape(text)
    if "=" in text:
        text = _without_quoted_printable(text)
    if not text.isascii() and len(_first_misread(text)) >= _MISREAD_LEAST:
        text = _MISREAD.sub(_read_again, text)
    return text


def _decoded(written: str, raw: bytes) -> str:
    """Return the characters of bytes of UTF-8; what was written, where they are none."""
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return written


def _hex_bytes(found: re.Match[str]) -> str:
    r"""Return "é" of "\xc3\xa9", and of "\xe9"."""
    raw = bytes.fromhex("".join(re.findall(r"x(..)", found[0])))
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def _octal_bytes(found: re.Match[str]) -> str:
    r"""Return "é" of "\303\251"."""
    return _decoded(found[0], bytes(int(each, 8) for each in re.findall(r"\d{3}", found[0])))


def _character(found: re.Match[str]) -> str:
    digits = found[1] or found[2] or found[3] or found[4]
    if digits is None:
        return " "
    code = int(digits, 16)
    return chr(code) if code < 0x110000 else found[0]


def _without_quoted_printable(text: str) -> str:
    """Return "é" of "=C3=A9", as mails have it, and its lines joined; "n=20" of a formula stays."""
    if not any(not byte.isascii() for found in _QUOTED_PRINTABLE.finditer(text) if (byte := _printable(found))):
        return text
    return _SOFT_BREAK.sub("", _QUOTED_PRINTABLE.sub(_printable, text))


def _printable(found: re.Match[str]) -> str:
    return _decoded(found[0], bytes.fromhex("".join(re.findall(r"=([0-9A-F]{2})", found[0]))))


def _first_misread(text: str) -> list[str]:
    """Return the first letters of `text` that are bytes of UTF-8 read as Windows-1252, as written."""
    first: list[str] = []
    for found in _MISREAD.finditer(text):
        if _read_again(found) != found[0]:
            first.append(found[0])
            if len(first) == _MISREAD_LEAST:
                break
    return first


def _read_again(found: re.Match[str]) -> str:
    """Return "ệ" of "á»‡", which are its bytes in UTF-8 read as Windows-1252."""
    raw = b"".join(bytes([ord(each)]) if ord(each) < 0x100 else each.encode("cp1252") for each in found[0])
    return _decoded(found[0], raw)
