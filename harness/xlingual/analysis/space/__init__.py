"""Where the layers of a model put the same sentence in several languages.

In the order of reading:

    sentences       parallel text: the same sentences in several languages
    collection      the model's pooled states of all of them, in a mapped file
    pairs           measures of two languages in a layer: retrieval, cosines, CKA, distance
    languages       measures of all languages: variance by language and by sentence, a probe
    effects         what each sentence adds to a measure; intervals by resampling sentences
    measures        all of them by name, for one layer, beside their shuffled controls
    token_language, decoding    the logit lens: in which language layers would go on
    projection      two axes of a layer, for a map
    analysis        all of it: a model to a record
    records, files, comparison  the record, its file, two records paired by sentence
    tables, plots, section      what people see of it

Another page takes `read_spaces` of a folder and `section` of what it finds.
"""

from .analysis import SpaceObserver, SpaceSettings, analyze_space
from .comparison import compare_spaces, incomparable
from .files import read_space, read_spaces, save_space, space_file
from .records import SpaceComparison, SpaceRecord
from .section import page, section
from .sentences import PAPER_LANGUAGES, ParallelText, make_parallel, read_sentences

__all__ = [
    "PAPER_LANGUAGES",
    "ParallelText",
    "SpaceComparison",
    "SpaceObserver",
    "SpaceRecord",
    "SpaceSettings",
    "analyze_space",
    "compare_spaces",
    "incomparable",
    "make_parallel",
    "page",
    "read_sentences",
    "read_space",
    "read_spaces",
    "save_space",
    "section",
    "space_file",
]
