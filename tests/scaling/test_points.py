"""Tables of points: read back as written, and every bad cell named by line and column."""

from dataclasses import replace
from pathlib import Path

import pytest

from xlingual.errors import DataError, UsageError
from xlingual.scaling.points import Point, choose_origin, points_csv, read_points
from xlingual.scaling.similarity import read_similarity

from .simulation import make_point, simulate

HEADER = "language,pairs,metric,score"


def _write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "points.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_points_come_back_as_they_went(tmp_path: Path) -> None:
    points = [
        *simulate(noise=0.3),
        make_point("zh", 2_000, 100 / 3, half_width=0.1),
        replace(make_point("sw", 0, 0.0), tokens=None, seed=None, origin='a "b", c'),
    ]
    assert read_points(_write(tmp_path, points_csv(points))) == tuple(points)


def test_columns_in_any_order_and_codes_of_any_kind(tmp_path: Path) -> None:
    path = _write(
        tmp_path, "score, metric ,language,pairs,seed\n41.5,chrf++,zho_simpl,1000,\n\n40,chrf++,Swahili,50,3\n"
    )
    first, second = read_points(path)
    assert first == Point(
        language="zh",
        pairs=1000,
        tokens=None,
        seed=None,
        metric="chrf++",
        score=41.5,
        low=None,
        high=None,
        origin=None,
    )
    assert (second.language, second.seed) == ("sw", 3)


@pytest.mark.parametrize(
    ("text", "where", "what"),
    [
        ("", "", "no records"),
        (f"{HEADER}\n", "", "no records"),
        ("language,pairs,metric,scroe\nzh,1,m,2\n", ":1", "unknown column 'scroe'"),
        ("language,pairs,metric\nzh,1,m\n", ":1", "column 'score' is missing (has: language, pairs, metric)"),
        ("language,pairs,metric,score,score\nzh,1,m,2,2\n", ":1", "column 'score' is there twice"),
        (f"{HEADER}\nzh,1000,chrf++\n", ":2", "3 cells, but the header has 4"),
        (f"{HEADER}\nzzz,1000,chrf++,4\n", ":2", "'language': no such language: 'zzz'"),
        (f"{HEADER}\nzh,-5,chrf++,4\n", ":2", "'pairs': '-5' is not a whole number"),
        (f"{HEADER}\nzh,1e3,chrf++,4\n", ":2", "'pairs': '1e3' is not a whole number"),
        (f"{HEADER}\nzh,{'9' * 40},chrf++,4\n", ":2", "'pairs': a number of 40 digits"),
        (f"{HEADER}\nzh,1000,chrf++,x\n", ":2", "'score': 'x' is not a number"),
        (f"{HEADER}\nzh,1000,chrf++,nan\n", ":2", "'score': 'nan' is not a finite number"),
        (f"{HEADER}\nzh,1000,chrf++,140\n", ":2", "'score': '140' is not between 0 and 100"),
        (f"{HEADER}\nzh,1000,,4\n", ":2", "'metric' is empty"),
        (f"{HEADER},low,high\nzh,1000,m,4,5,6\n", ":2", "'score' 4.0 is not between 'low' 5.0 and 'high' 6.0"),
        (f"{HEADER},low,high\nzh,1000,m,4,3,\n", ":2", "'low' and 'high' must be given together"),
        (
            f"{HEADER}\nzh,1000,m,4\nzh,2000,m,4\nzh,1000,m,5\n",
            ":4",
            "the same language, pairs, seed, metric and origin",
        ),
        (f'{HEADER}\nzh,1000,"m"x,4\n', ":2", "not CSV"),
    ],
)
def test_bad_tables(text: str, where: str, what: str, tmp_path: Path) -> None:
    path = _write(tmp_path, text)
    with pytest.raises(DataError) as caught:
        read_points(path)
    assert str(caught.value).splitlines()[0].startswith(f"{path}{where}: {what}")


def test_all_bad_lines_are_listed(tmp_path: Path) -> None:
    path = _write(tmp_path, f"{HEADER}\nzh,x,m,4\nzh,5,m,4\nar,6,m,400\n")
    with pytest.raises(DataError) as caught:
        read_points(path)
    first, second = str(caught.value).splitlines()
    assert first.startswith(f"{path}:2: 'pairs'")
    assert second.strip().startswith(f"{path}:4: 'score'")


def test_similarity_tables(tmp_path: Path) -> None:
    assert read_similarity(_write(tmp_path, "language,similarity\nzh,0.4\nhi,1\n")) == {"zh": 0.4, "hi": 1.0}
    for text, what in (
        ("language,similarity\nzh,0\n", ":2: 'similarity': '0' is not above 0 and at most 1"),
        ("language,similarity\nzh,0.4\nzho_simpl,0.5\n", ":3: zh is there twice"),
        ("language,similarity\nzh,\n", ":2: 'similarity' is empty"),
    ):
        with pytest.raises(DataError) as caught:
            read_similarity(_write(tmp_path, text))
        assert what in str(caught.value)


def test_points_of_different_origins_are_one_law_only_where_somebody_says_so() -> None:
    plain = make_point("zh", 1_000, 40.0)
    points = [plain, replace(plain, pairs=2_000, origin="a"), replace(plain, pairs=4_000, origin="a")]
    assert choose_origin(points[1:], None) == tuple(points[1:])
    assert choose_origin(points, "a") == tuple(points[1:])
    assert choose_origin(points, "none") == (plain,)
    assert choose_origin(points, "all") == tuple(points)
    with pytest.raises(UsageError, match="points of 2 origins: none, a"):
        choose_origin(points, None)
    with pytest.raises(UsageError, match="no point is of 'b'"):
        choose_origin(points, "b")
