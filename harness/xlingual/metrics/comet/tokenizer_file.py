"""Loading `tokenizer.json`: the border to a package whose faults have no class of their own."""

from pathlib import Path

from tokenizers import Tokenizer

from ...errors import ModelError

_MOST_REASON = 200


def read_tokenizer(path: Path) -> Tokenizer:
    """Return the tokenizer of a file; ModelError with the package's reason for a file that is none."""
    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:  # the package raises nothing more special
        reason = " ".join(str(error).split())[:_MOST_REASON]
        raise ModelError(f"is no tokenizer: {reason}", where=str(path)) from error
