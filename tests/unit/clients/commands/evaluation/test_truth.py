from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import typer

from lookalike_client import Key
from lookalike_client.commands.evaluation.truth import Pair, Picture, Truth, of_labels, of_pairs, of_twins, read_pairs
from lookalike_client.names import id_of


def a_picture(number: int, value: Any = None, *, sha256: str | None = None) -> Picture:
    return Picture(id=UUID(int=number), name=f"{number}.jpg", sha256=sha256 or f"{number:064x}", value=value)


def relevant(truth: Truth) -> dict[int, set[int]]:
    return {query.id.int: {id_.int for id_ in query.relevant} - {query.id.int} for query in truth.queries}


def test_pictures_that_share_a_value_are_alike() -> None:
    values = ["hat", "shoe", "hat", ["shoe", "bag"], ["bag"], "belt", None, [], "hat"]
    truth = of_labels("metadata.kind", [a_picture(number, value) for number, value in enumerate(values)], None)

    assert relevant(truth) == {0: {2, 8}, 1: {3}, 2: {0, 8}, 3: {1, 4}, 4: {3}, 8: {0, 2}}
    assert {query.id.int: query.wanted for query in truth.queries} == {0: 2, 1: 1, 2: 2, 3: 2, 4: 1, 8: 2}
    assert truth.queries[3].group == "shoe, bag"
    assert truth.pictures == 7
    assert truth.filter == {"all": [{"field": "metadata.kind", "exists": True}]}
    assert truth.notes == [
        "Without metadata.kind, left out as queries and as matches: 2.",
        "The only one of its value, found but not searched with: 1.",
    ]


def test_values_are_of_their_type() -> None:
    values = [1, 1.0, "1", True, "1", True]
    truth = of_labels("metadata.n", [a_picture(number, value) for number, value in enumerate(values)], None)
    assert relevant(truth) == {0: {1}, 1: {0}, 2: {4}, 4: {2}, 3: {5}, 5: {3}}


def test_a_filter_is_kept_beside_ours() -> None:
    among = {"all": [{"field": "width", "gte": 10}], "none": [{"field": "labels", "eq": "cat"}]}
    pictures = [a_picture(0, "a"), a_picture(1, "a")]
    assert of_labels("metadata.kind", pictures, among).filter == among
    with_another = of_labels("metadata.kind", [*pictures, a_picture(2)], among).filter
    assert with_another == {**among, "all": [*among["all"], {"field": "metadata.kind", "exists": True}]}


def test_pictures_of_the_same_bytes_are_told_of() -> None:
    twins = [a_picture(0, "a", sha256="0"), a_picture(1, "a", sha256="0"), a_picture(2, "a")]
    assert of_labels("metadata.kind", twins, None).notes == ["With the same bytes as another, left in: 2."]
    assert relevant(of_twins(twins, ["crop"], None, 3, 0)) == {0: {1}, 1: {0}, 2: set()}
    assert [query.wanted for query in of_twins(twins, ["crop"], None, 3, 0).queries] == [2, 2, 1]


def test_pairs_are_alike_both_ways() -> None:
    a, b, c, d = (Key(name) for name in "abcd")
    stored = {id_of(key): a_picture(number) for number, key in enumerate((a, b, c))}
    pairs = [Pair(a, b, alike=True), Pair(a, c, alike=False), Pair(a, d, alike=True), Pair(b, b, alike=True)]

    truth = of_pairs(pairs, stored, 50, None)

    assert {query.id: query.relevant for query in truth.queries} == {id_of(a): {id_of(b)}, id_of(b): {id_of(a)}}
    assert (truth.pictures, len(truth.notes)) == (50, 1)
    assert truth.notes[0] == "Names of the file that are not searched, such as d, their pairs left out: 1."


ID = "0a4d55a8-d778-5022-abab-977f9a1b3f7c"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("pairs.csv", f'a,b,relevance\nx,"y, z",1\n\n{ID},y,0\nx,w\n'),
        ("pairs.csv", f'\ufeffx, "y, z"\n{ID},y,0.0\nx,w,2\n'.replace(", ", ",", 1)),
        (
            "pairs.jsonl",
            f'{{"a": "x", "b": "y, z"}}\n{{"b": "y", "a": "{ID}", "relevance": 0}}\n\n["x", "w", 0.5]\n',
        ),
    ],
)
def test_pairs_are_read(name: str, text: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    assert read_pairs(tmp_path / name) == [
        Pair(Key("x"), Key("y, z"), alike=True),
        Pair(UUID(ID), Key("y"), alike=False),
        Pair(Key("x"), Key("w"), alike=True),
    ]


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("pairs.csv", "x"),
        ("pairs.csv", "x,y,1,2"),
        ("pairs.csv", "x,y,much"),
        ("pairs.csv", "x,y,nan"),
        ("pairs.csv", "x,"),
        ("pairs.csv", '"x,y'),
        ("pairs.jsonl", "x,y"),
        ("pairs.jsonl", '{"a": "x"}'),
        ("pairs.jsonl", '{"a": "x", "b": 5}'),
        ("pairs.jsonl", '{"a": "x", "b": "y", "c": 1}'),
        ("pairs.jsonl", '["x", "y", null]'),
        ("pairs.jsonl", "5"),
    ],
)
def test_what_is_no_pair_is_refused_by_its_line(name: str, line: str, tmp_path: Path) -> None:
    good = '["x", "y"]' if name.endswith("l") else "x,y"
    (tmp_path / name).write_text(f"{good}\n{line}\n")
    with pytest.raises(typer.BadParameter, match="line 2") as refused:
        read_pairs(tmp_path / name)
    assert "Write two keys or ids" in str(refused.value)


def test_a_sample_is_that_of_its_seed_whatever_the_order_of_the_listing() -> None:
    pictures = [a_picture(number, "abc"[number % 3]) for number in range(90)]
    for build in (
        lambda given, seed: of_labels("metadata.kind", given, None).sampled(10, seed),
        lambda given, seed: of_twins(sorted(given, key=lambda picture: picture.id), ["crop", "turn"], None, 10, seed),
    ):
        chosen = build(pictures, 1)
        assert len({query.id for query in chosen.queries}) == 10
        assert build(pictures[::-1], 1) == chosen
        assert build(pictures, 2).queries != chosen.queries
        assert chosen.notes == ["A sample is searched with: 10 of 90."]
    whole = of_labels("metadata.kind", pictures, None)
    assert whole.sampled(90, 0) == whole


def test_a_pool_brings_matches_along() -> None:
    products = [a_picture(number, f"product {number // 3}") for number in range(300)]
    truth = of_labels("metadata.product", products, None)

    pool = truth.pool(60, seed=3)
    small = truth.within(pool)

    assert pool == truth.pool(60, seed=3)
    assert 60 <= len(pool) < 60 + 3
    assert (len(small.queries), small.pictures) == (len(pool), len(pool))
    assert all(query.wanted == 2 for query in small.queries)
    alone = truth.within({UUID(int=0), UUID(int=1), UUID(int=299)})
    assert relevant(alone) == {0: {1}, 1: {0}}
