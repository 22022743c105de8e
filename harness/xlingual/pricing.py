"""What tokens cost: `--price 0.15,0.60`, in money per million tokens of prompts and of answers, or a table by model.

    # prices.toml
    ["gpt-x"]
    in = 0.15
    out = 0.60

    ["gpt-x-*"]                    # a pattern, for names that have no row of their own
    in = 0.15
    out = 0.60
    cached = 0.075                 # of prompt tokens that the server had in its cache; as `in` where it is left out

Pure arithmetic: nothing is asked and nothing is rounded.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from math import isfinite
from pathlib import Path

from .errors import UsageError
from .text import did_you_mean
from .toml_table import TomlTable, read_toml

MILLION = 1_000_000
MOST = 1e9
"""The highest price that is believed."""
HINT = "--price IN,OUT, in money per million tokens, or --price FILE.toml"


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenPrice:
    """Money per million tokens."""

    prompt: float
    answer: float
    """Thinking is billed like answers."""
    cached: float | None = None
    """Of prompt tokens from the server's cache; None: as `prompt`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceTable:
    """Prices by the names of models."""

    prices: Mapping[str, TokenPrice]
    """By name or pattern; "*" is for all names."""
    where: str
    """The option or the file, for messages."""

    def price_of(self, model: str) -> TokenPrice:
        """Return the price of a model: that of its name, else of the longest pattern that fits.

        Raises UsageError with close names where the table has none.
        """
        if model in self.prices:
            return self.prices[model]
        patterns = [name for name in self.prices if fnmatchcase(model, name)]
        if not patterns:
            raise UsageError(f"no price for {model!r}", where=self.where, hint=did_you_mean(model, self.prices))
        return self.prices[max(patterns, key=len)]


def read_prices(word: str) -> PriceTable:
    """Return the prices that `word` means: two numbers, which hold for any model, or a TOML file by model name.

    Raises UsageError for a word that is neither, DataError naming file, line and key for a wrong table.
    """
    if word.endswith(".toml") or Path(word).is_file():
        return _read_table(Path(word).expanduser())
    parts = [part.strip() for part in word.split(",")]
    try:
        numbers = [float(part) for part in parts]
    except ValueError:
        numbers = []
    if len(numbers) != 2 or not all(isfinite(each) and 0 <= each <= MOST for each in numbers):
        raise UsageError(f"{word!r} is not a price", where="--price", hint=HINT)
    return PriceTable(prices={"*": TokenPrice(prompt=numbers[0], answer=numbers[1])}, where="--price")


def _read_table(path: Path) -> PriceTable:
    table = read_toml(path)
    if not table.values:
        raise table.fault("", "holds no price", hint='["MODEL"] with in = ... and out = ...')
    return PriceTable(prices={name: _read_price(table.table(name)) for name in table.values}, where=str(path))


def _read_price(table: TomlTable) -> TokenPrice:
    table.allow(("in", "out", "cached"))
    return TokenPrice(
        prompt=table.number("in", least=0.0, most=MOST),
        answer=table.number("out", least=0.0, most=MOST),
        cached=table.number("cached", least=0.0, most=MOST) if table.has("cached") else None,
    )


def cost(price: TokenPrice, *, prompt_tokens: int, tokens: int, cached_tokens: int = 0) -> float:
    """Return the money that counts of tokens cost; `cached_tokens` are a part of `prompt_tokens`."""
    cached = price.prompt if price.cached is None else price.cached
    fresh = prompt_tokens - cached_tokens
    return (fresh * price.prompt + cached_tokens * cached + tokens * price.answer) / MILLION


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """What a run would cost before it is asked."""

    least: float
    """Every answer is empty."""
    most: float
    """Every answer uses all the tokens that it may."""
    is_exact: bool
    """Whether the tokens of the prompts were counted; else they were estimated from their length."""


BYTES_PER_TOKEN = 3.0
"""For prompts whose tokenizer only the server has: few tokenizers make more of a text, in most scripts."""


def estimate_tokens(texts: Iterable[str]) -> int:
    """Return about how many tokens texts have, rather too many: a third of their UTF-8 bytes, rounded up."""
    return sum(-(-len(text.encode("utf-8", "replace")) // int(BYTES_PER_TOKEN)) for text in texts)


def forecast(price: TokenPrice, *, prompt_tokens: int, most_new_tokens: int, is_exact: bool) -> Forecast:
    """Return what a run costs at least and at most; `most_new_tokens` is the sum over all questions."""
    return Forecast(
        least=cost(price, prompt_tokens=prompt_tokens, tokens=0),
        most=cost(price, prompt_tokens=prompt_tokens, tokens=most_new_tokens),
        is_exact=is_exact,
    )


def format_money(amount: float) -> str:
    """Return an amount for people: two decimals, more where that would hide it, no currency: the price had none."""
    if amount >= 0.1 or amount == 0:
        return f"{amount:,.2f}"
    return f"{amount:.2g}" if amount >= 0.0001 else "less than 0.0001"
