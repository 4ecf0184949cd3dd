"""What the rows of a table mean."""

from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from lookalike_client.commands.importing.failures import rows_named
from lookalike_client.commands.importing.open_table import open_table
from lookalike_client.commands.importing.products import Claims, ProductReader
from lookalike_client.commands.importing.rows import Row, TableError
from lookalike_client.commands.importing.survey import products, survey
from lookalike_client.models import MetadataType

BASE = Path("/photos")


def reader(images: Sequence[str] = ("image",), metadata: Sequence[str] = (), **types: MetadataType) -> ProductReader:
    return ProductReader(images=images, key="sku", metadata=metadata, base=BASE, types=types)


def pictures(reader: ProductReader, **cells: object) -> dict[str, str]:
    """Places by key."""
    product = reader.product(Row(2, {"sku": "A", **cells}))
    assert product.problem is None
    return {picture.key: picture.place for picture in product.pictures}


@pytest.mark.parametrize(
    ("cell", "places"),
    [
        ("hat.jpg", {"A": "/photos/hat.jpg"}),
        (" red hat, size 5.jpg ", {"A": "/photos/red hat, size 5.jpg"}),
        ("../hat.jpg", {"A": "/hat.jpg"}),
        ("/elsewhere/hat.jpg", {"A": "/elsewhere/hat.jpg"}),
        ("https://s.example/a,b.jpg", {"A": "https://s.example/a,b.jpg"}),
        ("a.jpg|b c.jpg", {"A/1": "/photos/a.jpg", "A/2": "/photos/b c.jpg"}),
        ("http://s.example/a, http://s.example/b", {"A/1": "http://s.example/a", "A/2": "http://s.example/b"}),
        ("http://s.example/a\nHTTPS://s.example/b", {"A/1": "http://s.example/a", "A/2": "HTTPS://s.example/b"}),
        ('["a.jpg", "b.jpg"]', {"A/1": "/photos/a.jpg", "A/2": "/photos/b.jpg"}),
        ('["a.jpg"]', {"A/1": "/photos/a.jpg"}),
        (["a.jpg", " "], {"A/1": "/photos/a.jpg"}),
        ("", {}),
        (None, {}),
        ([], {}),
    ],
)
def test_a_cell_has_one_picture_or_a_list(cell: object, places: dict[str, str]) -> None:
    assert pictures(reader(), image=cell) == places


def test_pictures_of_several_columns_keep_their_numbers() -> None:
    several = reader(["front", "back", "more"])
    assert pictures(several, front="f.jpg", more="m.jpg|n.jpg") == {
        "A/1": "/photos/f.jpg",
        "A/3": "/photos/m.jpg",
        "A/4": "/photos/n.jpg",
    }
    assert pictures(several, back="b.jpg") == {"A/2": "/photos/b.jpg"}
    assert pictures(several) == {}


@pytest.mark.parametrize(
    ("cells", "problem"),
    [
        ({"image": "ftp://s.example/a"}, "'ftp://s.example/a' is neither an http:// or https:// URL nor a path"),
        ({"image": "[a.jpg"}, "image begins like a JSON array and is none"),
        ({"image": 5}, "image takes an URL, a path, or a list of such, not 5"),
        ({"sku": " "}, "sku is empty, which is to be its key"),
        ({"sku": None}, "sku is empty"),
        ({"sku": "a\nb"}, "sku has control characters"),
        ({"sku": "x" * 2049}, "sku is longer than 2,048 bytes"),
        ({"image": "a\0.jpg"}, "has what neither an URL nor a path can have"),
        ({"image": ["\ud800.jpg"]}, "has what neither an URL nor a path can have"),
        ({"image": "http://s.example/\ud800"}, "has what neither an URL nor a path can have"),
        ({"sku": "\ud800"}, "sku has control characters"),
        ({"sku": float("inf")}, "sku takes text or a whole number, not inf"),
        ({"sku": Decimal("-Infinity")}, "sku takes text or a whole number"),
        ({"sku": ["a"]}, "sku takes text or a whole number"),
    ],
)
def test_a_row_whose_pictures_cannot_be_told_has_a_problem_and_none(cells: dict[str, Any], problem: str) -> None:
    product = reader().product(Row(2, {"sku": "A", "image": "hat.jpg", **cells}))
    assert problem in (product.problem or "")
    assert not product.pictures


def test_metadata_is_of_the_declared_types_with_the_product() -> None:
    described = reader(metadata=["price", "brand"], price="float", product="keyword")
    product = described.product(Row(2, {"sku": 17, "image": "hat.jpg", "price": "9.5", "brand": ""}))
    assert product.metadata == {"product": "17", "price": 9.5, "brand": None}
    wrong = described.product(Row(2, {"sku": "A", "image": "hat.jpg", "price": "9,5"}))
    assert wrong.problem == "price is declared as float: it takes a number such as 12.5, not '9,5'"
    assert [picture.key for picture in wrong.pictures] == ["A"]  # which is still in the table


def test_a_column_called_product_takes_the_place_of_the_key() -> None:
    product = reader(metadata=["product"]).product(Row(2, {"sku": "A", "image": "hat.jpg", "product": "hats"}))
    assert product.metadata == {"product": "hats"}


def test_metadata_that_is_too_large_is_told() -> None:
    product = reader(metadata=["note"]).product(Row(2, {"sku": "A", "image": "hat.jpg", "note": "x" * 16_400}))
    assert "its metadata takes 16,4" in (product.problem or "")


def test_columns_are_looked_for_and_the_nearest_is_named(tmp_path: Path) -> None:
    path = tmp_path / "products.csv"
    path.write_text("SKU,image_url,price,,import_error\nA,hat.jpg,5,x,because\n")
    table = open_table(path, "products.csv", [])

    def of(**changes: Any) -> ProductReader:
        columns = {"images": ["image_url"], "key": "SKU", "metadata": []} | changes
        return ProductReader.of(table, base=BASE, **columns)

    assert of(metadata=["*"]).metadata == ["price"]  # not what has no name, and not the reasons of an earlier import
    with pytest.raises(TableError, match=r"has no column sku\. Did you mean SKU\? It has SKU, image_url, price"):
        of(key="sku")
    with pytest.raises(TableError, match=r"no column image. Did you mean image_url\?"):
        of(images=["image"])
    with pytest.raises(TableError, match=r"no column prize. Did you mean price\?"):
        of(metadata=["prize"])


@pytest.mark.parametrize(
    ("header", "told"),
    [
        ("sku,image,price,price", "more than one column price"),
        ('sku,image,"pr\x07ice"', "control characters in its name"),
        (",".join(["sku", "image", *map(str, range(64))]), "65 columns are too many"),
    ],
)
def test_columns_that_cannot_be_metadata_are_told(header: str, told: str, tmp_path: Path) -> None:
    path = tmp_path / "products.csv"
    path.write_text(f"{header}\n")
    table = open_table(path, "products.csv", [])
    with pytest.raises(TableError, match=told):
        ProductReader.of(table, images=["image"], key="sku", metadata=["*"], base=BASE)


def test_of_two_rows_with_one_key_the_second_fails_and_both_are_named(tmp_path: Path) -> None:
    path = tmp_path / "products.csv"
    path.write_text("sku,image\nA,a.jpg|b.jpg\nB,b.jpg\nA,c.jpg\nA/2,d.jpg\n,e.jpg\nC,\n")
    table = open_table(path, "products.csv", ["sku"])
    found = survey(table, reader())
    assert (found.rows, found.pictures, found.unclear_rows) == (6, 5, [6])
    problems = {product.row.number: product.problem for product in products(table, reader(), found.claims)}
    assert problems == {
        2: None,
        3: None,
        4: "its key A is that of row 2 already",
        5: "its key A/2 is that of row 2 already",
        6: "sku is empty, which is to be its key",
        7: None,
    }
    assert [key in found.claims for key in ("A", "A/1", "A/2", "B", "A/3")] == [True, True, True, True, False]


def test_what_a_row_may_have_a_picture_of_is_in_the_table(tmp_path: Path) -> None:
    """Not the key of a row that has several now, or none; but all of a row that does not tell."""
    path = tmp_path / "products.csv"
    path.write_text("sku,image\nA,a.jpg|b.jpg\nB,\nC,ftp://s.example/c.jpg\nD,d.jpg\n")
    found = survey(open_table(path, "products.csv", ["sku"]), reader())
    assert found.unclear_rows == []
    keys = ("A", "A/1", "A/2", "B", "C", "C/1", "C/12", "C/x", "D", "D/1")
    assert [key for key in keys if key in found.claims] == ["A/1", "A/2", "C", "C/1", "C/12", "D"]


def test_a_row_that_was_refused_for_its_key_is_refused_until_it_has_another(tmp_path: Path) -> None:
    path = tmp_path / "products.failed.csv"
    reason = '"its key A/2 is that of row 2 already"'
    path.write_text(
        f"import_error,sku,image\n{reason},A/2,a.jpg\n{reason},B,a.jpg\n{reason},A,a.jpg|b.jpg\nother,C,a.jpg\n"
    )
    table = open_table(path, path.name, ["sku"])
    problems = [product.problem for product in products(table, reader(), Claims())]
    assert problems == [reason.strip('"'), None, "its key A/2 is that of row 2 already", None]


def test_a_repeated_key_is_told_rather_than_what_else_is_wrong() -> None:
    priced, claims = reader(metadata=["price"], price="float"), Claims()
    first, second = (
        priced.product(Row(number, {"sku": "A", "image": "a", "price": price}))
        for number, price in ((2, "5"), (3, "x"))
    )
    assert claims.checked(first).problem is None
    assert claims.checked(second).problem == "its key A is that of row 2 already"


@pytest.mark.parametrize(
    ("numbers", "named"),
    [
        ([3], "row 3"),
        ([3, 5], "rows 3 and 5"),
        ([3, 5, 7], "rows 3, 5 and 7"),
        (range(1021), f"rows {', '.join(map(str, range(20)))} and 1,001 more"),
    ],
)
def test_rows_are_named(numbers: Sequence[int], named: str) -> None:
    assert rows_named(numbers) == named


def test_keys_that_look_alike_are_one_in_normal_form() -> None:
    claims = Claims()
    first, second = (
        reader().product(Row(number, {"sku": sku, "image": "a"})) for number, sku in ((2, "é"), (3, "e\u0301"))
    )
    assert claims.checked(first).problem is None
    assert claims.checked(second).problem == "its key é is that of row 2 already"
