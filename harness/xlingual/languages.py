"""One row a language: codes, name, script, and how its text is tokenized and identified.

The rows are the 101 languages of Flores-101. Codes are ISO 639-1 where there is one, else ISO 639-3; the two Chinese
rows are `zh` (simplified) and `zho_trad`, as the Flores-101 files call it.
"""

from dataclasses import dataclass

from .errors import UsageError
from .text import close_words


@dataclass(frozen=True, slots=True)
class Language:
    """A language: its codes, its name, its script, and how it is identified."""

    code: str
    """The code in task names."""
    flores: str
    """The file name stem in Flores-101: ISO 639-3, with the script for Chinese."""
    name: str
    """In English."""
    script: str
    """ISO 15924."""
    lid: str | None
    """The label of fastText's lid.176 identifier; None where it does not know the language, or is mostly wrong."""

    @property
    def bleu_tokenizer(self) -> str:
        """The sacrebleu tokenizer for text in this language: characters where the script has no spaces."""
        return _BLEU_TOKENIZERS.get(self.script, "13a")

    @property
    def flores200(self) -> str:
        """The code in FLORES-200 and NLLB, "kor_Hang": of a macrolanguage the one language that the text is in."""
        script = _FLORES200_SCRIPTS.get(self.script, self.script)
        return f"{_FLORES200_LANGUAGES.get(self.flores, self.flores)}_{script}"


_BLEU_TOKENIZERS = {
    "Hans": "zh",
    "Hant": "zh",
    "Jpan": "ja-mecab",
    "Kore": "ko-mecab",
    "Khmr": "char",
    "Laoo": "char",
    "Mymr": "char",
    "Thai": "char",
}

_FLORES200_LANGUAGES = {
    "ara": "arb",
    "fas": "pes",
    "ful": "fuv",
    "lav": "lvs",
    "mon": "khk",
    "msa": "zsm",
    "orm": "gaz",
    "pus": "pbt",
    "uzb": "uzn",
    "zho_simpl": "zho",
    "zho_trad": "zho",
}
"""What FLORES-200 calls by another code than Flores-101 does; all others have kept theirs."""
_FLORES200_SCRIPTS = {"Kore": "Hang"}

_ROWS = (
    Language("af", "afr", "Afrikaans", "Latn", "af"),
    Language("am", "amh", "Amharic", "Ethi", "am"),
    Language("ar", "ara", "Arabic", "Arab", "ar"),
    Language("hy", "hye", "Armenian", "Armn", "hy"),
    Language("as", "asm", "Assamese", "Beng", "as"),
    Language("ast", "ast", "Asturian", "Latn", None),
    Language("az", "azj", "Azerbaijani", "Latn", "az"),
    Language("be", "bel", "Belarusian", "Cyrl", "be"),
    Language("bn", "ben", "Bengali", "Beng", "bn"),
    Language("bs", "bos", "Bosnian", "Latn", None),
    Language("bg", "bul", "Bulgarian", "Cyrl", "bg"),
    Language("my", "mya", "Burmese", "Mymr", "my"),
    Language("ca", "cat", "Catalan", "Latn", "ca"),
    Language("ceb", "ceb", "Cebuano", "Latn", "ceb"),
    Language("zh", "zho_simpl", "Chinese", "Hans", "zh"),
    Language("zho_trad", "zho_trad", "Chinese (traditional)", "Hant", "zh"),
    Language("hr", "hrv", "Croatian", "Latn", "hr"),
    Language("cs", "ces", "Czech", "Latn", "cs"),
    Language("da", "dan", "Danish", "Latn", "da"),
    Language("nl", "nld", "Dutch", "Latn", "nl"),
    Language("en", "eng", "English", "Latn", "en"),
    Language("et", "est", "Estonian", "Latn", "et"),
    Language("tl", "tgl", "Filipino", "Latn", "tl"),
    Language("fi", "fin", "Finnish", "Latn", "fi"),
    Language("fr", "fra", "French", "Latn", "fr"),
    Language("ff", "ful", "Fula", "Latn", None),
    Language("gl", "glg", "Galician", "Latn", "gl"),
    Language("lg", "lug", "Ganda", "Latn", None),
    Language("ka", "kat", "Georgian", "Geor", "ka"),
    Language("de", "deu", "German", "Latn", "de"),
    Language("el", "ell", "Greek", "Grek", "el"),
    Language("gu", "guj", "Gujarati", "Gujr", "gu"),
    Language("ha", "hau", "Hausa", "Latn", None),
    Language("he", "heb", "Hebrew", "Hebr", "he"),
    Language("hi", "hin", "Hindi", "Deva", "hi"),
    Language("hu", "hun", "Hungarian", "Latn", "hu"),
    Language("is", "isl", "Icelandic", "Latn", "is"),
    Language("ig", "ibo", "Igbo", "Latn", None),
    Language("id", "ind", "Indonesian", "Latn", "id"),
    Language("ga", "gle", "Irish", "Latn", "ga"),
    Language("it", "ita", "Italian", "Latn", "it"),
    Language("ja", "jpn", "Japanese", "Jpan", "ja"),
    Language("jv", "jav", "Javanese", "Latn", "jv"),
    Language("kea", "kea", "Kabuverdianu", "Latn", None),
    Language("kam", "kam", "Kamba", "Latn", None),
    Language("kn", "kan", "Kannada", "Knda", "kn"),
    Language("kk", "kaz", "Kazakh", "Cyrl", "kk"),
    Language("km", "khm", "Khmer", "Khmr", "km"),
    Language("ko", "kor", "Korean", "Kore", "ko"),
    Language("ky", "kir", "Kyrgyz", "Cyrl", "ky"),
    Language("lo", "lao", "Lao", "Laoo", "lo"),
    Language("lv", "lav", "Latvian", "Latn", "lv"),
    Language("ln", "lin", "Lingala", "Latn", None),
    Language("lt", "lit", "Lithuanian", "Latn", "lt"),
    Language("luo", "luo", "Luo", "Latn", None),
    Language("lb", "ltz", "Luxembourgish", "Latn", "lb"),
    Language("mk", "mkd", "Macedonian", "Cyrl", "mk"),
    Language("ms", "msa", "Malay", "Latn", None),
    Language("ml", "mal", "Malayalam", "Mlym", "ml"),
    Language("mt", "mlt", "Maltese", "Latn", "mt"),
    Language("mi", "mri", "Maori", "Latn", None),
    Language("mr", "mar", "Marathi", "Deva", "mr"),
    Language("mn", "mon", "Mongolian", "Cyrl", "mn"),
    Language("ne", "npi", "Nepali", "Deva", "ne"),
    Language("nso", "nso", "Northern Sotho", "Latn", None),
    Language("nb", "nob", "Norwegian", "Latn", "no"),
    Language("ny", "nya", "Nyanja", "Latn", None),
    Language("oc", "oci", "Occitan", "Latn", "oc"),
    Language("or", "ory", "Oriya", "Orya", "or"),
    Language("om", "orm", "Oromo", "Latn", None),
    Language("ps", "pus", "Pashto", "Arab", "ps"),
    Language("fa", "fas", "Persian", "Arab", "fa"),
    Language("pl", "pol", "Polish", "Latn", "pl"),
    Language("pt", "por", "Portuguese", "Latn", "pt"),
    Language("pa", "pan", "Punjabi", "Guru", "pa"),
    Language("ro", "ron", "Romanian", "Latn", "ro"),
    Language("ru", "rus", "Russian", "Cyrl", "ru"),
    Language("sr", "srp", "Serbian", "Cyrl", "sr"),
    Language("sn", "sna", "Shona", "Latn", None),
    Language("sd", "snd", "Sindhi", "Arab", "sd"),
    Language("sk", "slk", "Slovak", "Latn", "sk"),
    Language("sl", "slv", "Slovenian", "Latn", "sl"),
    Language("so", "som", "Somali", "Latn", None),
    Language("ckb", "ckb", "Sorani Kurdish", "Arab", "ckb"),
    Language("es", "spa", "Spanish", "Latn", "es"),
    Language("sw", "swh", "Swahili", "Latn", "sw"),
    Language("sv", "swe", "Swedish", "Latn", "sv"),
    Language("tg", "tgk", "Tajik", "Cyrl", "tg"),
    Language("ta", "tam", "Tamil", "Taml", "ta"),
    Language("te", "tel", "Telugu", "Telu", "te"),
    Language("th", "tha", "Thai", "Thai", "th"),
    Language("tr", "tur", "Turkish", "Latn", "tr"),
    Language("uk", "ukr", "Ukrainian", "Cyrl", "uk"),
    Language("umb", "umb", "Umbundu", "Latn", None),
    Language("ur", "urd", "Urdu", "Arab", "ur"),
    Language("uz", "uzb", "Uzbek", "Latn", "uz"),
    Language("vi", "vie", "Vietnamese", "Latn", "vi"),
    Language("cy", "cym", "Welsh", "Latn", "cy"),
    Language("wo", "wol", "Wolof", "Latn", None),
    Language("xh", "xho", "Xhosa", "Latn", None),
    Language("yo", "yor", "Yoruba", "Latn", None),
    Language("zu", "zul", "Zulu", "Latn", None),
)

LANGUAGES: dict[str, Language] = {row.code: row for row in _ROWS}
"""Every language by its code, in the order of English names."""

_ALIASES = {name.casefold(): row.code for row in _ROWS for name in (row.flores, row.flores200)} | {
    "zho": "zh",
    "zh-cn": "zh",
    "zh-tw": "zho_trad",
    "no": "nb",
    "fil": "tl",
    "iw": "he",
}


def find_language(word: str) -> Language:
    """Return the language that `word` names by a code or its English name; UsageError with close names otherwise."""
    folded = word.strip().casefold()
    code = folded if folded in LANGUAGES else _ALIASES.get(folded)
    by_name = {row.name.casefold(): row.code for row in _ROWS}
    code = code or by_name.get(folded)
    if code is None:
        near = close_words(folded, [*LANGUAGES, *_ALIASES, *by_name], cutoff=0.6)
        hint = f"did you mean {near}?" if near else "xlingual tasks --languages lists the codes"
        raise UsageError(f"no such language: {word!r}", hint=hint)
    return LANGUAGES[code]
