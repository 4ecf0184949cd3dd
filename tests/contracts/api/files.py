"""GET of /content and /thumbnail."""

import httpx
import numpy as np
import pytest
from PIL import ImageOps

from tests.contracts.api.deployed import Album, Deployed
from tests.pictures import a_photo, a_turned_photo, encoded, opened


class FilesContract(Deployed):
    def test_the_content_is_what_was_uploaded(self, client: httpx.Client, album: Album) -> None:
        content = a_turned_photo(2)
        response = client.get(album.add(content, "turned.jpg")["links"]["content"])
        assert response.status_code == 200
        assert response.content == content
        assert response.headers["content-type"] == "image/jpeg"

    def test_the_thumbnail_is_small_and_upright(self, client: httpx.Client, album: Album) -> None:
        content = a_turned_photo(3)
        response = client.get(album.add(content)["links"]["thumbnail"])
        assert response.headers["content-type"] == "image/jpeg"
        thumbnail = opened(response.content)
        assert thumbnail.getexif().get(0x0112, 1) == 1
        upright = ImageOps.exif_transpose(opened(content)).resize(thumbnail.size)
        assert thumbnail.size == (120, 160)
        difference = np.abs(np.asarray(thumbnail.convert("RGB"), float) - np.asarray(upright, float))
        assert difference.mean() < 12

    def test_a_large_picture_gets_a_small_thumbnail(self, client: httpx.Client, album: Album) -> None:
        photo = opened(a_photo("dress-01.jpg"))
        large = photo.resize((1200, round(photo.height * 1200 / photo.width)))
        content = encoded(large, format_="JPEG", quality=90)
        response = client.get(album.add(content)["links"]["thumbnail"])
        thumbnail = opened(response.content)
        assert max(thumbnail.size) <= 512
        assert thumbnail.width / thumbnail.height == pytest.approx(large.width / large.height, rel=0.02)
        assert len(response.content) < len(content) / 4

    @pytest.mark.parametrize("kind", ["content", "thumbnail"])
    def test_what_a_browser_may_keep(self, client: httpx.Client, album: Album, kind: str) -> None:
        response = client.get(album.add()["links"][kind])
        assert response.headers["x-content-type-options"] == "nosniff"
        assert response.headers["etag"].startswith('"')
        assert "max-age" in response.headers["cache-control"] or "no-cache" in response.headers["cache-control"]

    @pytest.mark.parametrize("kind", ["content", "thumbnail"])
    def test_what_is_hidden_in_a_picture_stays_inert(self, client: httpx.Client, album: Album, kind: str) -> None:
        """A picture that is a web page too, for whoever takes it for one."""
        page = f"<!doctype html><script>alert(document.domain, '{album.mark}')</script>".encode()
        content = a_photo("hat-01.jpg")
        polyglot = content[:2] + b"\xff\xfe" + (len(page) + 2).to_bytes(2, "big") + page + content[2:]
        link = album.add(polyglot, "page.html")["links"][kind]
        response = client.get(link, headers={"accept": "text/html"})
        current = client.get(link, headers={"if-none-match": response.headers["etag"]})
        assert (kind == "content") == (page in response.content)
        assert response.headers["content-type"] == "image/jpeg"
        assert current.status_code == 304
        for answer in (response, current):
            assert answer.headers["x-content-type-options"] == "nosniff"
            [policy] = answer.headers.get_list("content-security-policy")
            assert {"default-src 'none'", "sandbox"} <= set(policy.split("; "))
            assert "script" not in policy

    @pytest.mark.parametrize(
        ("sent", "saved"),
        [
            ("hat.jpg", 'inline; filename="hat.jpg"'),
            (
                "Hüte; 帽子.jpg",
                "inline; filename=\"H_te; __.jpg\"; filename*=UTF-8''H%C3%BCte%3B%20%E5%B8%BD%E5%AD%90.jpg",
            ),
            ("../../a.jpg", 'inline; filename="a.jpg"'),
        ],
    )
    def test_an_original_is_saved_under_its_name(
        self, client: httpx.Client, album: Album, sent: str, saved: str
    ) -> None:
        response = client.get(album.add(filename=sent)["links"]["content"])
        assert response.headers["content-disposition"] == saved

    @pytest.mark.parametrize("kind", ["content", "thumbnail"])
    @pytest.mark.parametrize("form", ["{}", "W/{}", '"other", {}', '"a" ,W/{},"b"', "*"])
    def test_what_is_current_is_not_sent_again(self, client: httpx.Client, album: Album, kind: str, form: str) -> None:
        link = album.add()["links"][kind]
        etag = client.get(link).headers["etag"]
        response = client.get(link, headers={"if-none-match": form.format(etag)})
        assert (response.status_code, response.content) == (304, b"")
        assert response.headers["etag"] == etag
        assert "cache-control" in response.headers

    @pytest.mark.parametrize("kind", ["content", "thumbnail"])
    def test_what_is_not_current_is_sent(self, client: httpx.Client, album: Album, kind: str) -> None:
        link = album.add()["links"][kind]
        etag = client.get(link).headers["etag"]
        for stale in ('"other"', etag.strip('"'), "", etag[:-2] + '"'):
            assert client.get(link, headers={"if-none-match": stale}).status_code == 200

    def test_etags_tell_files_apart(self, client: httpx.Client, album: Album) -> None:
        links = [album.add()["links"][kind] for kind in ("content", "thumbnail", "content")]
        assert len({client.get(link).headers["etag"] for link in links}) == 3

    def test_a_deleted_file_is_not_current(self, client: httpx.Client, album: Album) -> None:
        image = album.add()
        etag = client.get(image["links"]["content"]).headers["etag"]
        client.delete(image["links"]["self"])
        assert client.get(image["links"]["content"], headers={"if-none-match": etag}).status_code == 404
