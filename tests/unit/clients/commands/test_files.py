from pathlib import Path

import pytest

from lookalike_client.commands.files import Found, find_pictures


def files(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")


def found_below(root: Path, *paths: Path) -> list[str]:
    return [str(found.path.relative_to(root)) for found in find_pictures(paths or [root])[0]]


def test_folders_give_pictures_by_suffix_in_a_stable_order(tmp_path: Path) -> None:
    files(tmp_path, "b.jpg", "a.PNG", "notes.txt", "README", "sub/c.webp", "sub/deep/d.heic", "sub/e.jpg.part")

    assert found_below(tmp_path) == ["a.PNG", "b.jpg", "sub/c.webp", "sub/deep/d.heic"]


def test_hidden_files_and_folders_are_skipped_unless_named(tmp_path: Path) -> None:
    files(tmp_path, ".a.jpg", ".thumbs/b.jpg", "c.jpg")

    assert found_below(tmp_path) == ["c.jpg"]
    assert found_below(tmp_path, tmp_path / ".thumbs", tmp_path / ".a.jpg") == [".thumbs/b.jpg", ".a.jpg"]


def test_what_is_passed_over_is_counted_by_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lookalike_client.pictures.MAX_PICTURE_BYTES", 10)
    files(tmp_path, "a.jpg", "@eaDir/a.jpg", "sub/#recycle/b.jpg", "$RECYCLE.BIN/c.jpg", "lost+found/d", "._a.jpg")
    files(tmp_path, ".thumbnails/e.jpg", "f.DNG", "g.nef", "notes.txt", "README", "drafts/h.jpg", "keep/drafts.jpg")
    (tmp_path / "large.jpg").write_bytes(b"x" * 11)
    (tmp_path / ".lookalikeignore").write_text("drafts/\n")

    found, passed_over = find_pictures([tmp_path], ["/keep/*.png"])

    assert [item.below for item in found] == ["a.jpg", "keep/drafts.jpg"]
    assert passed_over == {
        "RAW": 2, "excluded": 1, "hidden": 1, "not a picture by its name": 2, "system folder": 5, "too large": 1,
    }  # fmt: skip


def test_the_key_and_source_of_a_file_are_as_services_keep_them(tmp_path: Path) -> None:
    files(tmp_path, "cafe\u0301/100%.jpg")
    [found], _ = find_pictures([tmp_path])
    assert found.key("a") == "a/caf\u00e9/100%25.jpg"
    assert found.source == f"{tmp_path}/caf\u00e9/100%25.jpg"


def test_a_file_that_is_named_is_taken_whatever_its_name(tmp_path: Path) -> None:
    files(tmp_path, "upload.bin")

    assert found_below(tmp_path, tmp_path / "upload.bin") == ["upload.bin"]


def test_a_path_is_taken_once(tmp_path: Path) -> None:
    files(tmp_path, "a.jpg", "sub/b.jpg")

    assert found_below(tmp_path, tmp_path / "sub/b.jpg", tmp_path, tmp_path / "sub") == ["sub/b.jpg", "a.jpg"]


def test_symbolic_links_are_followed_and_loops_end(tmp_path: Path) -> None:
    files(tmp_path, "album/a.jpg", "elsewhere/b.jpg")
    (tmp_path / "album/loop").symlink_to("..")
    (tmp_path / "album/more").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "album/self").symlink_to(".")

    names = [path.name for path in (found.path for found in find_pictures([tmp_path / "album"])[0])]

    assert sorted(names) == ["a.jpg", "b.jpg"]


def test_a_folder_that_cannot_be_read_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files(tmp_path, "a.jpg")
    monkeypatch.setattr(Path, "is_dir", lambda _: True)

    gone = tmp_path / "gone"
    assert find_pictures([gone])[0] == [Found(gone, unreadable="No such file or directory", root=gone)]
