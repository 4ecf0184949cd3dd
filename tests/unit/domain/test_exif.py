import pytest

from domain.errors import InvalidInputError
from domain.exif import KEYS, ExifPart, chosen_exif, completed, parse_exif_parts
from domain.metadata import MAX_KEYS, MetadataType, checked_metadata

FOUND = {
    "exif_taken": "2019-07-14T12:33:10Z",
    "exif_camera": "Canon EOS 5D",
    "exif_lens": "50mm",
    "exif_latitude": 48.2,
    "exif_longitude": 16.3,
}


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", set()),
        ("false", set()),
        ("true", {ExifPart.TAKEN, ExifPart.CAMERA, ExifPart.LENS}),
        (" Taken, place ", {ExifPart.TAKEN, ExifPart.PLACE}),
        ("taken,camera,lens,place", set(ExifPart)),
    ],
)
def test_parts_are_named(text: str, parts: set[ExifPart]) -> None:
    assert parse_exif_parts(text) == parts


@pytest.mark.parametrize("text", ["gps", "true,place", "taken,,lens", "1"])
def test_other_names_are_refused(text: str) -> None:
    with pytest.raises(InvalidInputError, match="taken, camera, lens, place"):
        parse_exif_parts(text)


def test_only_what_is_asked_for_is_taken() -> None:
    assert chosen_exif(FOUND, {ExifPart.TAKEN}, {}) == {"exif_taken": FOUND["exif_taken"]}
    assert chosen_exif(FOUND, {ExifPart.PLACE}, {}) == {"exif_latitude": 48.2, "exif_longitude": 16.3}
    assert chosen_exif(FOUND | {"exif_other": 1}, set(ExifPart), {}) == FOUND
    assert {key for keys in KEYS.values() for key in keys} == FOUND.keys()


def test_what_does_not_fit_its_declared_type_is_left_out() -> None:
    types = {"exif_camera": MetadataType.INTEGER, "exif_taken": MetadataType.DATETIME}
    assert chosen_exif(FOUND, {ExifPart.CAMERA, ExifPart.TAKEN}, types) == {"exif_taken": FOUND["exif_taken"]}


def test_what_the_caller_says_wins() -> None:
    assert completed({"exif_lens": "mine", "brand": "acme"}, {"exif_lens": "50mm", "exif_camera": "Canon"}) == {
        "exif_lens": "mine",
        "brand": "acme",
        "exif_camera": "Canon",
    }


def test_the_limits_of_metadata_hold() -> None:
    full = {f"key{number}": number for number in range(MAX_KEYS)}
    assert completed(full, FOUND) == full
    nearly = {"text": "x" * (16 * 1024 - 60)}
    assert checked_metadata(completed(nearly, FOUND)).items() >= nearly.items()
    assert len(completed(nearly, FOUND)) < 6
