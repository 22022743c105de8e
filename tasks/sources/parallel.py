"""Line-aligned files: line N of one is the translation of line N of the other, as Flores-101 and Moses have them."""

from xlingual import DataSource, Examples
from xlingual.data import aligned_lines, find_pair, pair_examples
from xlingual.records import Corpus
from xlingual.registry import register_source
from xlingual.wording import ask_pair


@register_source("parallel", ask=ask_pair)
def read(corpus: Corpus, data_source: DataSource) -> Examples:
    """Read two files, "train.{language}" or "news.{en:eng,zh:zho}"; DataError where they differ in length."""
    files = find_pair(corpus, data_source)
    return pair_examples(corpus, aligned_lines(*files), files)
