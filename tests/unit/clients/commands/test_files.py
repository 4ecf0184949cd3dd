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
