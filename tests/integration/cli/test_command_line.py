"""Every command by both ways: on the index here, and on a service that runs elsewhere. They behave the same."""

import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import ExifTags, Image
from typing_extensions import override

from lookalike_client import Lookalike
from tests.integration.cli.command import Command
from tests.pictures import a_photo, a_picture
from tests.serving import Service, running

SETTINGS = {
    "STORAGE__RESERVE_BYTES": "0",
    "HTTP__MAX_UPLOAD_BYTES": "90000",
    "REPOSITORY__INDEXED_METADATA": "kind:keyword",
}
HAT = "photos/hat-01.jpg"
"""The id of examples/photos/hat-01.jpg."""


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with running(tmp_path_factory.mktemp("service"), SETTINGS | {"HTTP__ROOT_PATH": "/below"}) as service:
        yield service


@pytest.fixture(params=["here", "there"])
def command(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Command]:
    """The command on an empty index."""
    command = Command(tmp_path, monkeypatch, capsys)
    monkeypatch.setenv("COLUMNS", "200")
    if request.param == "here":
        # Keys and limits are for callers of a service. Models are loaded for each command: no test but two detects.
        command.set(**SETTINGS, AUTH__KEYS="read:" + "0" * 40, LIMITS__PER_ADDRESS="1/hour", DETECTOR__RUNTIME="none")
        yield command
        return
    url = request.getfixturevalue("service").url
    command.more = ("--url", f"{url}/below")
    with Lookalike(url) as client:
        yield command
        for image in list(client.images()):
            client.delete(image.id)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in ("hat-01.jpg", "hat-02.jpg", "shoes-06.jpg"):
        (folder / name).write_bytes(a_photo(name))
    return folder


def test_bad_pictures_are_named_with_their_reasons_and_the_others_indexed(command: Command, tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    names = [' blank "quoted" %22.png', "größe.png", "z.png"]
    for number, name in enumerate(names):
        (folder / name).write_bytes(a_picture(number))
    (folder / "broken.png").write_bytes(a_picture(1)[:200])
    (folder / "gone.png").symlink_to("nowhere")
    (folder / "large.bmp").write_bytes(b"BM" + b"\0" * 100_000)

    code, output, errors = command("index", folder, "--metadata", '{"brand": "acme"}')

    assert (code, output) == (1, "3 created, 0 existed, 3 failed\n")
    told = dict(line.removeprefix(f"{folder}/").split(": ", 1) for line in errors.splitlines() if str(folder) in line)
    assert told.keys() == {"broken.png", "gone.png", "large.bmp"}
    assert told["gone.png"] == "The file cannot be read: No such file or directory."
    assert told["large.bmp"] == "The picture has 100002 bytes; at most 90000 are accepted."
    page = json.loads(command("list", "--json")[1])
    assert {image["filename"] for image in page["items"]} == set(names)
    assert [image["metadata"] for image in page["items"]] == [{"brand": "acme"}] * 3
    again = command("index", folder)
    assert again[:2] == (1, "0 created, 3 existed, 3 failed\n")


def test_what_is_indexed_is_found_listed_and_shown(command: Command, photos: Path, tmp_path: Path) -> None:
    assert command("index", photos)[:2] == (0, "3 created, 0 existed, 0 failed\n")

    code, output, errors = command(
        "search", photos / "hat-01.jpg", "--limit", "2", "--save", tmp_path / "found.png", "--region", "0,0,400,500"
    )
    assert (code, errors) == (0, "")
    assert HAT in output.splitlines()[3].split()
    with Image.open(tmp_path / "found.png") as sheet:
        assert sheet.width > 3 * 220  # the query and two matches

    among = '{"all": [{"field": "filename", "eq": "shoes-06.jpg"}]}'
    result = json.loads(command("search", photos / "hat-01.jpg", "--json", "--filter", among)[1])
    assert [match["image"]["filename"] for match in result["matches"]] == ["shoes-06.jpg"]
    assert result["query"]["target"] == "images"

    command("index", photos / "hat-02.jpg", photos / "hat-01.jpg", "--metadata", '{"kind": "hat"}')
    grouping = ("--group-by", "metadata.kind", "--group-size", "3", "--diversity", "0.1")
    code, output, errors = command("search", photos / "hat-01.jpg", *grouping)
    assert (code, errors) == (0, "")
    rows = [line.split() for line in output.splitlines() if ".jpg" in line]
    assert [(row[0], row[-2:]) for row in rows[::2]] == [("1", ["hat", "2"]), ("2", ["-", "1"])]
    assert (rows[0][1:3], "photos/hat-02.jpg" in rows[1]) == (["identical", "1.000"], True)
    code, _, errors = command("search", photos / "hat-01.jpg", "--group-by", "filename")
    assert (code, "metadata.kind, sha256" in " ".join(errors.split())) == (2, True)

    code, _, errors = command("search", photos / "hat-01.jpg", "--adapt-to", "metadata.kind", "--color-weight", "0.3")
    assert (code, "too little to adapt to" in " ".join(errors.split())) == (2, True)
    found = command("search", photos / "hat-01.jpg", "--color-weight", "0.3", "--score-threshold", "1", "--json")[1]
    assert [(match["score"], match["band"]) for match in json.loads(found)["matches"]] == [(1.0, "identical")]

    code, output, _ = command("list", "--limit", "1")
    assert (code, output.splitlines()[-1]) == (0, "1 of 3")
    page = json.loads(command("list", "--json", "--filter", among)[1])
    assert (page["total"], page["next_cursor"], len(page["items"])) == (1, None, 1)

    code, output, _ = command("facets", "media_type", "labels", "--filter", among)
    assert (code, output.split()[:2]) == (0, ["media_type", "Pictures"])
    assert output.split()[3:5] == ["image/jpeg", "1"]
    assert json.loads(command("facets", "media_type", "--json")[1]) == {
        "facets": {"media_type": [{"value": "image/jpeg", "images": 3}]}
    }
    code, _, errors = command("facets", "metadata.brand")
    assert (code, "The values of metadata.brand are not counted" in errors) == (2, True)
    code, output, _ = command("show", HAT, "--original", tmp_path / "original.jpg")
    assert (code, "hat-01.jpg" in output, "400 x 711" in output) == (0, True, True)
    assert (tmp_path / "original.jpg").read_bytes() == a_photo("hat-01.jpg")
    shown = json.loads(command("show", HAT, "--json")[1])
    assert shown["sha256"] == "5766cadc079c18500f8e45cb303ef7eb61cf2928fdbd99d23415030b509d08ce"
    code, output, errors = command("show", HAT, "--original", tmp_path / "original.jpg")
    assert (code, output, "is there already" in errors) == (2, "", True)


class Terminal(io.StringIO):
    """Standard input at which this is typed."""

    @override
    def isatty(self) -> bool:
        return True


def test_pictures_are_deleted_by_id_and_by_filter(
    command: Command, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command("index", photos)
    unknown = "0a4d55a8-d778-5022-abab-977f9a1b3f7c"

    code, output, errors = command("delete", HAT, unknown)
    assert (code, output) == (1, "1 deleted\n")
    assert unknown in errors
    among = '{"any": [{"field": "filename", "in": ["hat-01.jpg", "hat-02.jpg"]}]}'
    code, output, errors = command("delete", "--filter", among)
    assert (code, output) == (2, "")
    assert "--yes" in errors
    for typed, expected in (("n\n", 1), ("", 130), ("y\n", 0)):
        monkeypatch.setattr("sys.stdin", Terminal(typed))
        code, output, _ = command("delete", "--filter", among)
        assert (code, "Delete 1 pictures?" in output, "1 deleted" in output) == (expected, True, typed == "y\n")
    assert command("delete", "--filter", among, "--yes")[:2] == (0, "0 deleted\n")
    assert [image["filename"] for image in json.loads(command("list", "--json")[1])["items"]] == ["shoes-06.jpg"]


def test_a_folder_names_its_pictures(command: Command, photos: Path) -> None:
    (photos / "2019").mkdir()
    (photos / "2019" / "100% wool.jpg").write_bytes(a_photo("hat-03.jpg"))
    (photos / "twin.jpg").write_bytes(a_photo("hat-01.jpg"))

    assert command("index", photos)[:2] == (0, "5 created, 0 existed, 0 failed\n")

    images = {image["key"]: image for image in json.loads(command("list", "--json")[1])["items"]}
    assert images.keys() == {
        *(f"photos/{name}" for name in ("hat-01.jpg", "hat-02.jpg", "shoes-06.jpg", "twin.jpg")),
        "photos/2019/100%25 wool.jpg",
    }
    assert images[HAT]["source"] == str(photos / "hat-01.jpg")
    assert images[HAT]["sha256"] == images["photos/twin.jpg"]["sha256"]
    assert command("index", photos / "hat-01.jpg")[1] == "0 created, 1 existed, 0 failed\n"
    code, output, _ = command("list", "--prefix", "photos/2019/")
    assert (code, "photos/2019/100%25 wool.jpg" in output, output.splitlines()[-1]) == (0, True, "1 of 1")
    assert HAT in command("list", "--order-by", "created_at", "--limit", "2")[1]
    assert "There is no order by labels" in command("list", "--order-by", "labels")[2]

    (photos / "hat-02.jpg").write_bytes(a_photo("hat-04.jpg"))
    assert command("index", photos)[1] == "0 created, 1 replaced, 4 existed, 0 failed\n"
    shown = json.loads(command("show", "photos/hat-02.jpg", "--json")[1])
    assert (shown["id"], shown["created_at"]) == (
        images["photos/hat-02.jpg"]["id"],
        images["photos/hat-02.jpg"]["created_at"],
    )
    assert shown["sha256"] != images["photos/hat-02.jpg"]["sha256"]


def test_a_folder_is_kept_current(command: Command, photos: Path, tmp_path: Path) -> None:
    command.set(CLIENT__STATE_DIR=str(tmp_path / "state"))
    command("index", photos)
    assert command("sync", photos)[:2] == (0, "0 created, 3 existed, 0 failed\n")
    command("patch", '{"note": "kept"}', HAT)
    (photos / "hat-01.jpg").rename(photos / "white hat.jpg")
    (photos / "hat-02.jpg").unlink()
    (photos / "shoes-06.jpg").write_bytes(a_photo("hat-04.jpg"))
    (photos / "text.jpg").write_text("no picture")

    code, output, errors = command("sync", photos, "--yes")

    assert (code, output) == (1, "0 created, 1 replaced, 1 renamed, 1 removed, 0 existed, 1 failed\n")
    assert f"{photos}/text.jpg: The content is no picture" in errors
    images = {image["key"]: image for image in json.loads(command("list", "--json")[1])["items"]}
    assert images.keys() == {"photos/white hat.jpg", "photos/shoes-06.jpg"}
    assert images["photos/white hat.jpg"]["metadata"] == {"note": "kept"}
    photos.rename(tmp_path / "unplugged")
    code, output, errors = command("sync", photos, "--yes")
    assert (code, output, "perhaps a drive is not mounted" in errors) == (3, "", True)
    assert json.loads(command("list", "--json")[1])["total"] == 2


def test_a_name_belongs_to_the_folder_that_used_it_first(command: Command, photos: Path, tmp_path: Path) -> None:
    command("index", photos)
    moved = tmp_path / "elsewhere" / "photos"
    moved.parent.mkdir()
    photos.rename(moved)

    code, output, errors = command("index", moved)
    told = " ".join(errors.replace("│", " ").split())
    assert (code, output) == (2, "")
    assert f"The name photos belongs to the folder {photos}." in told
    assert "--as photos" in told
    code, _, errors = command("index", moved / "hat-01.jpg")
    assert (code, "--as photos" in " ".join(errors.replace("│", " ").split())) == (2, True)
    assert command("index", moved, "--as", "/")[0] == 2

    assert command("index", moved, "--as", "other")[1] == "3 created, 0 existed, 0 failed\n"
    assert command("index", moved, "--as", "photos")[1] == "0 created, 3 existed, 0 failed\n"
    assert command("index", moved)[1] == "0 created, 3 existed, 0 failed\n"
    assert json.loads(command("show", HAT, "--json")[1])["source"] == str(moved / "hat-01.jpg")


def test_two_folders_of_one_name_are_refused_together(command: Command, photos: Path, tmp_path: Path) -> None:
    other = tmp_path / "elsewhere" / "photos"
    other.mkdir(parents=True)
    (other / "cup.jpg").write_bytes(a_photo("hat-05.jpg"))
    code, output, errors = command("index", photos, other)
    assert (code, output, "have the same name" in " ".join(errors.replace("│", " ").split())) == (2, "", True)
    command("index", photos)
    (other / "hat-01.jpg").write_bytes(a_photo("hat-05.jpg"))
    assert command("index", other)[0] == 2
    assert json.loads(command("show", HAT, "--json")[1])["source"] == str(photos / "hat-01.jpg")


def test_a_file_takes_a_key_and_is_sent_again(command: Command, photos: Path) -> None:
    hat = photos / "hat-01.jpg"
    assert command("index", hat, "--key", "0a4d55a8d7785022abab977f9a1b3f7c")[1] == "1 created, 0 existed, 0 failed\n"
    shown = json.loads(command("show", "0a4d55a8d7785022abab977f9a1b3f7c", "--json")[1])
    assert (shown["key"], shown["source"]) == ("0a4d55a8d7785022abab977f9a1b3f7c", str(hat))
    again = command("index", hat, "--key", "0a4d55a8d7785022abab977f9a1b3f7c", "--again")
    assert again[:2] == (0, "0 created, 1 existed, 0 failed\n")
    code, output, errors = command("index", photos, "--key", "a")
    assert (code, output, "goes with one file" in errors) == (2, "", True)


def test_exif_becomes_metadata_where_it_is_asked_for(command: Command, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Model] = "Box Brownie"
    exif.get_ifd(ExifTags.IFD.GPSInfo).update(
        {
            ExifTags.GPS.GPSLatitude: (48.0, 30.0, 0.0),
            ExifTags.GPS.GPSLatitudeRef: "N",
            ExifTags.GPS.GPSLongitude: (16.0, 0.0, 0.0),
            ExifTags.GPS.GPSLongitudeRef: "E",
        }
    )
    folder = tmp_path / "album"
    folder.mkdir()
    Image.new("RGB", (60, 40), "teal").save(folder / "hat.jpg", exif=exif)
    given, camera = {"album": "1900"}, {"exif_camera": "Box Brownie"}
    place = {"exif_latitude": 48.5, "exif_longitude": 16.0}
    for options, metadata in (
        ([], {}),
        (["--exif", "--again"], camera),
        (["--metadata", json.dumps(given), "--exif"], given | camera),
        (["--exif-place", "--again"], given | camera | place),
    ):
        assert command("index", folder, *options)[0] == 0
        assert json.loads(command("show", "album/hat.jpg", "--json")[1])["metadata"] == metadata
    # Nothing is sent again for what EXIF has added.
    assert command("index", folder, "--metadata", json.dumps(given))[1] == "0 created, 1 existed, 0 failed\n"


def test_what_was_indexed_without_a_key_gets_one(command: Command, photos: Path) -> None:
    command("index", photos, "--metadata", '{"brand": "acme"}')
    command("rename", HAT, "sku-17/front")
    assert command("index", photos)[1] == "1 created, 2 existed, 0 failed\n", "that key is another picture's"
    assert json.loads(command("show", "sku-17/front", "--json")[1])["metadata"] == {"brand": "acme"}


def test_pictures_are_changed_and_renamed(command: Command, photos: Path) -> None:
    command("index", photos)
    assert command("patch", '{"price": 5, "kind": "hat"}', HAT, "photos/hat-02.jpg")[:2] == (0, "2 updated\n")
    among = '{"all": [{"field": "metadata.kind", "eq": "hat"}]}'
    assert command("patch", '{"price": 9.5}', "--filter", among, "--yes")[:2] == (0, "2 updated\n")
    code, output, _ = command("search", photos / "hat-01.jpg", "--show", "price, kind", "--limit", "1")
    assert code == 0
    assert output.splitlines()[1].split()[-2:] == ["price", "kind"]
    assert output.splitlines()[3].split()[-2:] == ["9.5", "hat"]

    code, output, errors = command("patch", '{"price": 1}', HAT, "no such key")
    assert (code, output, errors) == (1, "1 updated\n", "lookalike: No image is stored under no such key.\n")
    code, _, errors = command("patch", '{"price": {"eu": 1}}', HAT)
    assert (code, "metadata.price must be" in errors) == (1, True)

    assert command("rename", HAT, "sku-17/front")[:2] == (0, "1 renamed\n")
    assert json.loads(command("show", "sku-17/front", "--json")[1])["metadata"] == {"price": 1, "kind": "hat"}
    code, output, errors = command("rename", "sku-17/front", "photos/hat-02.jpg")
    assert (code, output) == (1, "0 renamed\n")
    assert errors == "lookalike: An image is stored under photos/hat-02.jpg already.\n"


def test_objects_are_detected(command: Command, photos: Path, tmp_path: Path) -> None:
    command.set(DETECTOR__RUNTIME="auto")
    arguments = ("detect", photos / "hat-01.jpg", "--score-threshold", "0.5", "--label", "cat", "--label", "toilet")
    code, output, errors = command(*arguments, "--save", tmp_path / "drawn.png")
    assert (code, errors) == (0, "")
    assert "cat" in output
    with Image.open(tmp_path / "drawn.png") as drawn:
        assert drawn.size == (400, 711)
    found = json.loads(command(*arguments, "--json")[1])
    assert {each["label"] for each in found["detections"]} <= {"cat", "toilet"}
    assert command("detect", photos / "hat-01.jpg", "--label", "giraffe")[:2] == (0, "No object is found.\n")
    code, _, errors = command("detect", photos / "hat-01.jpg", "--label", "Girafe")
    assert (code, errors) == (2, "lookalike: The detector knows no 'Girafe', but giraffe.\n")


def test_what_is_refused_is_told_in_the_same_words(command: Command, photos: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.jpg").write_text("no picture")
    (tmp_path / "large.bmp").write_bytes(b"BM" + b"\0" * 100_000)
    command("index", photos / "hat-02.jpg")
    command.set(DETECTOR__RUNTIME="auto")

    told = {
        name: command(*arguments)
        for name, arguments in {
            "text": ("search", tmp_path / "notes.jpg"),
            "large": ("detect", tmp_path / "large.bmp"),
            "outside": ("search", photos / "hat-01.jpg", "--region", "1000,1000,1100,1100"),
            "regions": ("search", photos / "hat-01.jpg", "--region", "0,0,9,9", "--region", "9,9,20,20"),
            "unknown": ("show", HAT),
            "filter": ("list", "--filter", '{"all": [{"field": "price", "eq": 1}]}'),
            "metadata": ("index", photos, "--metadata", '{"a": {"b": 1}}'),
        }.items()
    }

    assert {output for _, output, _ in told.values()} == {""}
    codes = {name: code for name, (code, _, _) in told.items()}
    assert codes == {"text": 1, "large": 1, "outside": 2, "regions": 2, "unknown": 1, "filter": 2, "metadata": 2}
    errors = {name: error for name, (_, _, error) in told.items()}
    assert errors["text"].startswith("lookalike: The content is no picture of an accepted format")
    assert errors["large"] == "lookalike: The picture has 100002 bytes; at most 90000 are accepted.\n"
    assert "region" in errors["outside"]
    assert "target=objects" in errors["regions"]
    assert errors["unknown"] == f"lookalike: No image is stored under {HAT}.\n"
    assert "price" in errors["filter"]
    assert "metadata.a must be" in errors["metadata"]


def test_a_search_is_opened_as_a_picture(
    command: Command, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    viewer, notes = tmp_path / "viewer", tmp_path / "opened"
    viewer.write_text(
        f"#!{sys.executable}\nimport pathlib, sys\npathlib.Path({str(notes)!r}).write_text(sys.argv[1])\n"
    )
    viewer.chmod(0o755)
    monkeypatch.setenv("BROWSER", str(viewer))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("webbrowser._tryorder", None)
    command("index", photos)

    code, _, errors = command("search", photos / "hat-01.jpg", "--open")

    assert (code, errors) == (0, f"Opened {notes.read_text()}\n")
    with Image.open(notes.read_text().removeprefix("file://")) as sheet:
        assert sheet.format == "JPEG"
    monkeypatch.setenv("BROWSER", str(tmp_path / "none"))
    monkeypatch.setattr("webbrowser._tryorder", [])
    code, _, errors = command("search", photos / "hat-01.jpg", "--open", "--save", tmp_path / "sheet.png")
    assert (code, errors) == (0, f"No viewer could be opened. See file://{tmp_path}/sheet.png\n")


def test_the_key_of_the_settings_is_sent_unless_one_is_given(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    read, write = "r" * 40, "w" * 40
    settings = {
        "AUTH__KEYS": f"read:{read},write:{write}",
        "REPOSITORY__BACKEND": "memory",
        "DETECTOR__RUNTIME": "none",
    }
    with running(tmp_path / "service", settings) as service:
        command = Command(tmp_path, monkeypatch, capsys)
        command.more = ("--url", service.url)
        code, _, errors = command("list")
        assert (code, "Give an API key with --api-key or in LOOKALIKE_CLIENT__API_KEY" in errors) == (2, True)
        # Whatever the other settings say, which are of a service here.
        (tmp_path / ".env").write_text(
            "LOOKALIKE_HTTP__WORKERS=4\nLOOKALIKE_OTHER=1\nLOOKALIKE_CLIENT__API_KEY=wrong\n"
        )
        assert command("list", "--api-key", read)[0] == 0
        assert command("list")[0] == 2
        command.set(CLIENT__API_KEY=read)
        assert command("list")[0] == 0
        assert command("index", photos)[0] == 2
        assert command("index", photos, "--api-key", write)[:2] == (0, "3 created, 0 existed, 0 failed\n")
        command.more = ()
        command.set(CLIENT__URL=service.url)
        assert command("list")[1].endswith("3 of 3\n")
        command.set(CLIENT__API_KEI="wrong")
        assert "LOOKALIKE_CLIENT__API_KEY" in command("list")[2]
    assert not (tmp_path / "data").exists()
