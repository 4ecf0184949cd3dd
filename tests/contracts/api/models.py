"""Embeddings, what is running, and health."""

from collections.abc import Mapping

import httpx
import numpy as np
import pytest

from tests.contracts.api.conformance import assert_invalid
from tests.contracts.api.deployed import Album, Deployed, scores_of
from tests.pictures import a_drawing, a_photo, encoded


class ModelsContract(Deployed):
    def embedding(self, client: httpx.Client, content: bytes, **form: str) -> np.ndarray:
        response = client.post("/v1/embeddings", files={"file": content}, data=form)
        assert response.status_code == 200, response.text
        return np.array(response.json()["embedding"])

    def test_an_embedding_is_a_unit_vector_of_the_model(self, client: httpx.Client) -> None:
        body = client.post("/v1/embeddings", files={"file": a_photo("shirt-03.jpg")}).json()
        encoder = client.get("/v1/models").json()["encoder"]
        assert (body["model"], body["dimension"]) == (encoder["model"], encoder["dimension"])
        assert len(body["embedding"]) == body["dimension"]
        assert np.linalg.norm(body["embedding"]) == pytest.approx(1, abs=1e-3)
        assert np.std(body["embedding"]) > 0.001

    def test_scores_are_cosines_of_embeddings(self, client: httpx.Client, album: Album) -> None:
        query, pictures = album.picture(), [album.picture() for _ in range(3)]
        by_id = {album.add(content)["id"]: content for content in pictures}
        result = album.search(query, exact="true")
        cosines = [
            float(self.embedding(client, query) @ self.embedding(client, by_id[match["image"]["id"]]))
            for match in result["matches"]
        ]
        assert scores_of(result) == pytest.approx(cosines, abs=0.01)

    def test_a_region_has_the_embedding_of_its_crop(self, client: httpx.Client) -> None:
        whole = a_drawing(31, width=320, height=240)
        region = self.embedding(client, encoded(whole), region="40,60,131,130")
        assert region @ self.embedding(client, encoded(whole.crop((40, 60, 131, 130)))) > 0.999
        assert region @ self.embedding(client, encoded(whole)) < 0.95

    def test_nothing_is_stored(self, client: httpx.Client, album: Album) -> None:
        before = client.get("/v1/images").json()["total"]
        self.embedding(client, album.picture())
        assert client.get("/v1/images").json()["total"] == before

    def test_what_is_running(self, client: httpx.Client, album: Album, deployment: Mapping[str, str]) -> None:
        album.add()
        body = client.get("/v1/models").json()
        encoder = body["encoder"]
        assert encoder["runtime"] == deployment.get("ENCODER__RUNTIME", "openvino")
        assert encoder["device"] == "cpu"
        assert encoder["precision"] in {"f32", "bf16", "int8"}
        assert len(bytes.fromhex(encoder["weights_digest"])) == 32
        assert encoder["input_size"] == {"width": 320, "height": 320}
        assert body["repository"]["backend"] == deployment["REPOSITORY__BACKEND"]
        assert body["repository"]["images"] == client.get("/v1/images").json()["total"] > 0


class ModelRequestsContract(Deployed):
    def test_what_embeddings_and_models_do_not_know_is_refused(self, client: httpx.Client, album: Album) -> None:
        files = {"file": album.picture()}
        assert_invalid(client.post("/v1/embeddings", files=files, data={"limit": "1"}), "limit")
        assert_invalid(client.post("/v1/embeddings?limit=1", files=files), "limit")
        assert_invalid(client.post("/v1/embeddings", data={"region": "0,0,1,1"}), "file")
        assert_invalid(client.get("/v1/models?verbose=1"), "verbose")

    def test_it_is_alive_and_ready(self, client: httpx.Client) -> None:
        for path in ("/health/live", "/health/ready"):
            assert client.get(path).status_code == 200
            assert_invalid(client.get(f"{path}?verbose=1"), "verbose")
