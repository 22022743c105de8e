"""What tokens cost, against amounts worked out by hand."""

from pathlib import Path

import pytest

from xlingual.errors import DataError, UsageError
from xlingual.pricing import TokenPrice, cost, estimate_tokens, forecast, format_money, read_prices

PRICE = TokenPrice(prompt=0.15, answer=0.6, cached=0.075)
TABLE = """
["gpt-x"]
in = 0.15
out = 0.6
cached = 0.075

["gpt-*"]
in = 2
out = 8

["gpt-y-*"]
in = 3
out = 9
"""


@pytest.mark.parametrize(
    ("prompt", "answer", "cached", "expected"),
    [(10**6, 0, 0, 0.15), (0, 10**6, 0, 0.6), (10**6, 500_000, 400_000, 0.42), (0, 0, 0, 0.0), (7, 3, 0, 2.85e-6)],
)  # fmt: skip
def test_costs(prompt: int, answer: int, cached: int, expected: float) -> None:
    assert cost(PRICE, prompt_tokens=prompt, tokens=answer, cached_tokens=cached) == pytest.approx(expected)


def test_cached_tokens_cost_as_others_where_no_price_is_given() -> None:
    price = TokenPrice(prompt=1.0, answer=2.0)
    assert cost(price, prompt_tokens=10, tokens=0, cached_tokens=9) == cost(price, prompt_tokens=10, tokens=0)


def test_two_numbers_hold_for_any_model() -> None:
    for word in ("0.15,0.6", " 0.15 , 0.60", "15e-2,.6"):
        assert read_prices(word).price_of("anything") == TokenPrice(prompt=0.15, answer=0.6)
    assert read_prices("0,0").price_of("m") == TokenPrice(prompt=0.0, answer=0.0)


@pytest.mark.parametrize("word", ["", "1", "1,2,3", "a,b", "-1,2", "nan,1", "inf,1", "1;2", "1e99,1"])
def test_what_is_no_price_is_refused(word: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_prices(word)
    assert caught.value.where == "--price"


def test_a_table_by_model(tmp_path: Path) -> None:
    path = tmp_path / "prices.toml"
    path.write_text(TABLE, encoding="utf-8")
    table = read_prices(str(path))
    assert table.price_of("gpt-x") == PRICE
    assert table.price_of("gpt-z").prompt == 2.0
    assert table.price_of("gpt-y-mini").prompt == 3.0
    with pytest.raises(UsageError, match="no price for 'gqt-x'") as caught:
        table.price_of("gqt-x")
    assert "gpt-x" in caught.value.hint


@pytest.mark.parametrize(
    ("text", "where", "what"),
    [
        ("", "prices.toml", "holds no price"),
        ('["m"]\nin = 1', "prices.toml:1", "key 'out' is missing"),
        ('["m"]\nin = 1\nout = "2"', "prices.toml:3", "'out' must be a number"),
        ('["m"]\nin = -1\nout = 2', "prices.toml:2", "'in' must be at least 0"),
        ('["m"]\nin = 1\nout = 2\nprice = 3', "prices.toml:4", "unknown key 'price'"),
        ("m = 3", "prices.toml:1", "'m' must be a table"),
    ],
)
def test_a_wrong_table_names_file_and_line(tmp_path: Path, text: str, where: str, what: str) -> None:
    path = tmp_path / "prices.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=what) as caught:
        read_prices(str(path))
    assert caught.value.where.endswith(where)
    with pytest.raises(UsageError):
        read_prices(str(tmp_path / "none.toml"))


def test_a_forecast_lies_between_empty_and_full_answers() -> None:
    found = forecast(PRICE, prompt_tokens=2_000_000, most_new_tokens=1_000_000, is_exact=True)
    assert found.least == pytest.approx(0.3)
    assert found.most == pytest.approx(0.9)
    assert found.is_exact


def test_tokens_are_estimated_from_bytes() -> None:
    assert estimate_tokens(["", "abc", "abcd", "中文", "\ud800"]) == 0 + 1 + 2 + 2 + 1


@pytest.mark.parametrize(
    ("amount", "shown"),
    [(0.0, "0.00"), (1234.5, "1,234.50"), (0.1, "0.10"), (0.0123, "0.012"), (1e-9, "less than 0.0001")],
)  # fmt: skip
def test_amounts_for_people(amount: float, shown: str) -> None:
    assert format_money(amount) == shown
