import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from adapters.toolchain.photos import FEWEST, LONGEST_SIDE, PACKAGED, Photos
from adapters.toolchain.views import view_of
from domain.errors import ModelError
from domain.raster import RasterImage

FREE = {"CC0-1.0", "public-domain"} | {
    f"CC-BY{alike}-{version}" for alike in ("", "-SA") for version in ("1.0", "2.0", "2.5", "3.0", "4.0")
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "cats" / "grey").mkdir(parents=True)
    for number in range(FEWEST):
        place = ("cats", "cats/grey", ".")[number % 3]
        Image.new("RGB", (20, 10), (number, 0, 0)).save(tmp_path / place / f"{number:02}.png")
    return tmp_path


def test_a_folder_is_a_subject_and_a_photo_in_none_its_own(folder: Path) -> None:
    photos = Photos.read(folder)
    assert len(photos.rasters) == FEWEST
    assert [str(raster.pixels[0, 0, 0]) for raster in photos.rasters[:2]] == ["2", "5"]
    assert photos.subjects[:2] == ["02.png", "05.png"]
    assert set(photos.subjects[6:]) == {"cats", "cats/grey"}


def test_photos_are_upright_on_white_and_no_larger_than_needed(folder: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    Image.new("RGBA", (2_000, 1_000), (0, 0, 0, 0)).save(folder / "00-first.png", exif=exif)
    [first, *_] = Photos.read(folder).rasters
    assert (first.width, first.height) == (LONGEST_SIDE // 2, LONGEST_SIDE)
    assert (first.pixels == 255).all()


@pytest.mark.parametrize(
    ("most", "places"), [(1, [0]), (4, [0, 6, 13, 19]), (FEWEST, [*range(FEWEST)]), (300, [*range(FEWEST)])]
)
def test_few_of_many_photos_are_from_all_of_them(folder: Path, most: int, places: list[int]) -> None:
    photos = Photos.read(folder)
    few = [id(raster) for raster in photos.spread(most)]
    assert few == [id(photos.rasters[place]) for place in places]


def test_too_few_photos_are_refused(folder: Path) -> None:
    next(folder.glob("*.png")).unlink()
    with pytest.raises(ModelError, match=rf"fitted on {FEWEST} to 2,000 photos .*has {FEWEST - 1}"):
        Photos.read(folder)


def test_a_photo_that_cannot_be_read_is_named(folder: Path) -> None:
    (folder / "torn.jpg").write_bytes(b"\xff\xd8\xff\xe0 and no more")
    with pytest.raises(ModelError, match=r"torn\.jpg cannot be read"):
        Photos.read(folder)


def test_each_packaged_photo_is_named_with_a_free_licence_and_its_source() -> None:
    with (PACKAGED / "SOURCES.tsv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    assert sorted(row["file"] for row in rows) == sorted(
        path.relative_to(PACKAGED).as_posix() for path in PACKAGED.rglob("*.jpg")
    )
    assert {row["licence"] for row in rows} <= FREE
    assert all(row["author"] and row["source"] for row in rows)


def test_packaged_photos_are_small_and_varied() -> None:
    assert sum(path.stat().st_size for path in PACKAGED.rglob("*.jpg")) < 6_000_000
    assert len(set(Photos.read().subjects)) > 30


@pytest.mark.parametrize("size", [(1, 1), (3, 900), (400, 300)])
def test_views_differ_and_are_the_same_for_the_same_seed(size: tuple[int, int]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    raster = RasterImage(pixels=pixels, width=size[1], height=size[0])
    [one, other] = ([view_of(raster, random) for _ in range(8)] for random in map(np.random.default_rng, (5, 5)))
    assert all(np.array_equal(a.pixels, b.pixels) for a, b in zip(one, other, strict=True))
    assert len({view.pixels.tobytes() for view in one}) > 4
