import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel, ValidationError

from domain.errors import ConfigurationError
from domain.exif import ExifPart
from domain.metadata import MetadataType
from entrypoints.keys import parse_keys
from entrypoints.settings import Section, Settings, load_settings, setting_names

Load = Callable[..., Settings]


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Load:
    """Settings from these variables (without their prefix) and from a `.env`, and from nothing else."""
    for name in [name for name in os.environ if name.upper().startswith("LOOKALIKE_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)

    def load_from(dotenv: str | None = None, **variables: str) -> Settings:
        if dotenv is not None:
            (tmp_path / ".env").write_text(dotenv)
        for name, value in variables.items():
            monkeypatch.setenv(f"LOOKALIKE_{name}", value)
        return load_settings()

    return load_from


def test_nothing_needs_to_be_set(load: Load) -> None:
    settings = load()
    assert settings.data_dir == Path("data")
    assert (settings.http.host, settings.http.port) == ("127.0.0.1", 8000)
    assert (settings.http.max_upload_bytes, settings.http.max_batch_bytes) == (25 * 2**20, 512 * 2**20)
    assert settings.http.max_batch_files == 256
    assert (settings.repository.backend, settings.encoder.runtime) == ("edge", "openvino")
    assert (settings.auth.keys, settings.auth.has_keys) == ((), False)
    assert (settings.auth.public_metadata, settings.auth.signed_thumbnail_seconds) == ((), 2 * 24 * 3600)
    assert (settings.auth.open_docs, settings.auth.open_metrics, settings.http.cors_origins) == (True, True, ())
    assert (settings.detector.runtime, settings.objects.enabled) == ("auto", True)


def test_sections_are_nested_by_two_underscores(load: Load) -> None:
    settings = load(DATA_DIR="/srv/pictures", HTTP__PORT="9000", ENCODER__RUNTIME="torch", ENCODER__INPUT_SIZE="224")
    assert settings.data_dir == Path("/srv/pictures")
    assert settings.http.port == 9000
    assert (settings.encoder.runtime, settings.encoder.input_size) == ("torch", 224)


def test_objects_are_chosen_by_settings(load: Load) -> None:
    settings = load(OBJECTS__ENABLED="false", OBJECTS__MIN_AREA="0.02", DETECTOR__RUNTIME="none", MODELS_DIR="/models")
    assert (settings.objects.enabled, settings.objects.min_area) == (False, 0.02)
    assert (settings.detector.runtime, settings.models_dir) == ("none", Path("/models"))


def test_the_environment_wins_over_the_file(load: Load) -> None:
    settings = load("LOOKALIKE_HTTP__PORT=9001\nLOOKALIKE_HTTP__HOST=0.0.0.0\nOTHER=x\n", HTTP__PORT="9002")
    assert (settings.http.port, settings.http.host) == (9002, "0.0.0.0")  # noqa: S104


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("HTTP__PROT", "LOOKALIKE_HTTP__PORT"),
        ("DATADIR", "LOOKALIKE_DATA_DIR"),
        ("REPOSITORY_BACKEND", "LOOKALIKE_REPOSITORY__BACKEND"),
        ("AUTH__KEY", "LOOKALIKE_AUTH__KEYS"),
        ("HTTP", "LOOKALIKE_HTTP__"),
    ],
)
def test_a_misspelt_name_is_told_with_the_nearest(load: Load, name: str, nearest: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"LOOKALIKE_{name} is not a setting.*{nearest}"):
        load(**{name: "1"})


def test_misspelt_names_in_the_file_are_told_too(load: Load) -> None:
    with pytest.raises(ConfigurationError, match="LOOKALIKE_HTTP__PROT is not a setting"):
        load("LOOKALIKE_HTTP__PROT=1\n")


def test_all_that_is_misspelt_is_told_at_once(load: Load) -> None:
    with pytest.raises(ConfigurationError, match=r"(?s)LOOKALIKE_HTTP__HOTS.*LOOKALIKE_HTTP__PROT"):
        load(HTTP__PROT="1", HTTP__HOTS="x")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HTTP__PORT", "eighty"),
        ("HTTP__PORT", "65536"),
        ("HTTP__MAX_BATCH_FILES", "0"),
        ("ENCODER__RUNTIME", "onnx"),
        ("ENCODER__PRECISION", "int8"),
        ("DETECTOR__RUNTIME", "onnx"),
        ("OBJECTS__MIN_SCORE", "40"),
        ("OBJECTS__MAX_PER_IMAGE", "101"),
        ("OBJECTS__PADDING", "-0.1"),
        ("REPOSITORY__BACKEND", "sqlite"),
        ("REPOSITORY__COLLECTION", "with space"),
        ("REPOSITORY__INDEXED_METADATA", "price"),
        ("REPOSITORY__INDEXED_METADATA", "price:money"),
        ("AUTH__KEYS", "owner:12345678"),
        ("AUTH__KEYS", "read:short"),
        ("AUTH__KEYS", "12345678"),
        ("AUTH__KEYS", "read:sha256:12345678"),
        ("LIMITS__PER_KEY", "often"),
        ("LIMITS__PER_ADDRESS", "0/minute"),
        ("LIMITS__WRONG_KEYS", "10"),
        ("LIMITS__WRONG_KEYS", "10/fortnight"),
        ("HTTP__TRUSTED_PROXIES", "*"),
        ("HTTP__TRUSTED_PROXIES", "10.0.0.1,proxy"),
        ("HTTP__CORS_ORIGINS", "https://a.example/"),
        ("HTTP__CORS_ORIGINS", "a.example"),
        ("HTTP__CORS_ORIGINS", "https://*.example"),
        ("HTTP__TLS_KEY", "/key.pem"),
        ("HTTP__HSTS_SECONDS", "-1"),
        ("LOG__LEVEL", "loud"),
        ("FETCH__ALLOWED_HOSTS", "http://shop.example"),
        ("FETCH__ALLOWED_HOSTS", "shop.example,10.0.0.0/8"),
        ("FETCH__ALLOWED_HOSTS", "*"),
        ("FETCH__TIMEOUT_SECONDS", "0"),
        ("FETCH__MAX_REDIRECTS", "-1"),
        ("FETCH__USER_AGENT", "Shop\nCookie: a"),
        ("METADATA__EXIF", "gps"),
    ],
)
def test_a_bad_value_names_its_variable(load: Load, name: str, value: str) -> None:
    with pytest.raises(ConfigurationError, match=f"LOOKALIKE_{name}"):
        load(**{name: value})


TORCH_ALONE = {
    "ENCODER__CHECKPOINT": "/weights.pth",
    "ENCODER__CHECKPOINT_SHA256": "77cc7160",
    "ENCODER__REVISION": "main",
    "ENCODER__INPUT_SIZE": "224",
    "ENCODER__POOLING": "gem",
    "DETECTOR__WEIGHTS": "COCO_V1",
    "DETECTOR__CHECKPOINT": "/weights.pth",
    "DETECTOR__CHECKPOINT_SHA256": "77cc7160",
    "DETECTOR__LABELS_FILE": "/labels.txt",
}


@pytest.mark.parametrize("name", TORCH_ALONE)
def test_what_only_torch_takes_is_refused_without_it(load: Load, name: str) -> None:
    section = name.partition("__")[0]
    told = rf"only LOOKALIKE_{section}__RUNTIME=torch takes LOOKALIKE_{name}: .*LOOKALIKE_{section}__MODEL"
    with pytest.raises(ConfigurationError, match=told):
        load(**{name: TORCH_ALONE[name]})


def test_all_that_only_torch_takes_is_told_at_once(load: Load) -> None:
    with pytest.raises(ConfigurationError) as error:
        load(**TORCH_ALONE, DETECTOR__RUNTIME="openvino")
    assert all(name in str(error.value) for name in TORCH_ALONE)


def test_torch_takes_it(load: Load) -> None:
    settings = load(**TORCH_ALONE, ENCODER__RUNTIME="torch", DETECTOR__RUNTIME="torch")
    assert settings.encoder.checkpoint_sha256 == settings.detector.checkpoint_sha256 == "77cc7160"


def test_what_is_switched_off_may_keep_its_settings(load: Load) -> None:
    assert load(DETECTOR__RUNTIME="none", DETECTOR__WEIGHTS="COCO_V1").detector.weights == "COCO_V1"


def test_defaults_may_be_handed_on(load: Load) -> None:
    assert load(ENCODER__POOLING="auto", DETECTOR__WEIGHTS="DEFAULT").encoder.pooling == "auto"


def test_torch_detects_in_f32_alone(load: Load) -> None:
    load(DETECTOR__RUNTIME="torch", DETECTOR__PRECISION="f32")
    with pytest.raises(ConfigurationError, match=r"LOOKALIKE_DETECTOR__PRECISION=bf16 needs OpenVINO"):
        load(DETECTOR__PRECISION="bf16")


def names_of_paths(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            yield from names_of_paths(field.annotation, f"{prefix}{name.upper()}__")
        elif "Path" in repr(field.annotation):
            yield f"{prefix}{name.upper()}"


@pytest.mark.parametrize("name", ["HTTP__HOST", *names_of_paths(Settings)])
@pytest.mark.parametrize("value", ["", " "])
def test_an_empty_path_is_not_the_working_directory_nor_an_empty_host_every_address(
    load: Load, name: str, value: str
) -> None:
    with pytest.raises(ConfigurationError, match=rf"^LOOKALIKE_{name}: it is empty: "):
        load(**{name: value})


def test_the_working_directory_may_be_named(load: Load) -> None:
    assert load(DATA_DIR=".").data_dir == Path()


def test_every_path_is_looked_at() -> None:
    assert {"DATA_DIR", "MODELS_DIR", "AUTH__KEYS_FILE", "ENCODER__CHECKPOINT"} < {*names_of_paths(Settings)}


def test_a_bad_key_is_not_repeated(load: Load) -> None:
    with pytest.raises(ConfigurationError) as error:
        load(AUTH__KEYS="owner:secret-12345678")
    assert "secret" not in str(error.value)


def test_keys_are_read_with_their_roles_and_not_shown(load: Load) -> None:
    settings = load(AUTH__KEYS="read:aaaaaaaa, write:bbbb:bbbb,read:cc=;cccc")
    assert settings.auth.keys == parse_keys(["read:aaaaaaaa", "write:bbbb:bbbb", "read:cc=;cccc"])
    for key in settings.auth.keys:
        for secret in ("aaaaaaaa", key.digest.hex(), repr(key.digest)):
            assert secret not in repr(settings)
            assert secret not in settings.model_dump_json(exclude={"auth": {"keys"}})


def test_a_wrong_section_does_not_show_its_keys_in_a_traceback() -> None:
    with pytest.raises(ValidationError) as error:
        Settings(auth={"keys": "owner:secret-12345678"})  # type: ignore[arg-type]
    assert "secret" not in str(error.value)


def test_nothing_is_closed_without_keys_that_open_it(load: Load) -> None:
    with pytest.raises(ConfigurationError, match=r"without keys nothing can be closed: set LOOKALIKE_AUTH__KEYS"):
        load(AUTH__OPEN_DOCS="false")


def test_closed_with_keys(load: Load) -> None:
    auth = load(AUTH__OPEN_DOCS="false", AUTH__OPEN_METRICS="false", AUTH__KEYS_FILE="/run/secrets/keys").auth
    assert (auth.open_docs, auth.open_metrics, auth.has_keys) == (False, False, True)


def test_addresses_and_origins_are_lists(load: Load) -> None:
    http = load(
        HTTP__TRUSTED_PROXIES="10.0.0.1, 172.16.0.0/12,::1",
        HTTP__CORS_ORIGINS="https://a.example,http://localhost:3000, *",
    ).http
    assert http.trusted_proxies == ("10.0.0.1", "172.16.0.0/12", "::1")
    assert http.cors_origins == ("https://a.example", "http://localhost:3000", "*")
    assert load(HTTP__TRUSTED_PROXIES="", HTTP__CORS_ORIGINS="").http.trusted_proxies == ()


def test_hosts_are_a_list_and_parts_of_exif_too(load: Load) -> None:
    assert load(FETCH__ALLOWED_HOSTS="cdn.internal, 10.0.0.7:8080,[::1]").fetch.allowed_hosts == (
        "cdn.internal",
        "10.0.0.7:8080",
        "[::1]",
    )
    assert load(METADATA__EXIF="taken, place").metadata.exif == {ExifPart.TAKEN, ExifPart.PLACE}
    assert load(METADATA__EXIF="true").metadata.exif == {ExifPart.TAKEN, ExifPart.CAMERA, ExifPart.LENS}
    assert load(METADATA__EXIF="").metadata.exif == frozenset()


@pytest.mark.parametrize("given", ["/pictures", "pictures/", "/pictures/", "pictures"])
def test_the_root_path_is_written_as_one_likes(load: Load, given: str) -> None:
    assert load(HTTP__ROOT_PATH=given).http.root_path == "/pictures"


@pytest.mark.parametrize("given", ["/v1", "docs/", "/health/pictures"])
def test_the_root_path_is_none_of_the_services_own(load: Load, given: str) -> None:
    with pytest.raises(ConfigurationError, match=r"LOOKALIKE_HTTP__ROOT_PATH: .* is a path of the service itself"):
        load(HTTP__ROOT_PATH=given)


def test_secrets_are_not_shown(load: Load) -> None:
    settings = load(
        REPOSITORY__BACKEND="qdrant", REPOSITORY__URL="http://localhost:6333", REPOSITORY__API_KEY="secret-key"
    )
    assert "secret-key" not in repr(settings)
    assert settings.repository.api_key is not None
    assert settings.repository.api_key.get_secret_value() == "secret-key"


def test_secrets_of_links_are_not_shown(load: Load) -> None:
    auth = load(AUTH__THUMBNAIL_SECRET="new-" + "s" * 32, AUTH__FORMER_THUMBNAIL_SECRET="old-" + "s" * 32).auth
    assert "sss" not in repr(auth)
    assert auth.thumbnail_secret is not None
    assert auth.thumbnail_secret.get_secret_value().startswith("new-")


@pytest.mark.parametrize("name", ["THUMBNAIL_SECRET", "FORMER_THUMBNAIL_SECRET"])
@pytest.mark.parametrize("secret", ["", "guess-me", "s" * 31])
def test_a_secret_that_can_be_guessed_is_refused_and_not_repeated(load: Load, name: str, secret: str) -> None:
    with pytest.raises(
        ConfigurationError, match=f"LOOKALIKE_AUTH__{name}: write 32 or more random characters"
    ) as error:
        load(**{f"AUTH__{name}": secret})
    assert "guess" not in str(error.value)
    assert "sss" not in str(error.value)


def test_public_metadata_are_keys_in_normal_form(load: Load) -> None:
    assert load(AUTH__PUBLIC_METADATA="brand, e\u0301tat,,a:b ").auth.public_metadata == ("brand", "\u00e9tat", "a:b")
    assert load(AUTH__PUBLIC_METADATA="").auth.public_metadata == ()


def test_indexed_metadata_are_keys_with_types(load: Load) -> None:
    settings = load(REPOSITORY__INDEXED_METADATA="price:float, brand:keyword,a:b:bool,taken_at:datetime")
    assert settings.repository.indexed_metadata == {
        "price": MetadataType.FLOAT,
        "brand": MetadataType.KEYWORD,
        "a:b": MetadataType.BOOL,
        "taken_at": MetadataType.DATETIME,
    }


def test_a_server_needs_its_address(load: Load) -> None:
    with pytest.raises(ConfigurationError, match="LOOKALIKE_REPOSITORY__URL"):
        load(REPOSITORY__BACKEND="qdrant")


@pytest.mark.parametrize("backend", ["edge", "memory"])
def test_several_processes_need_the_server(load: Load, backend: str) -> None:
    with pytest.raises(ConfigurationError, match=r"LOOKALIKE_HTTP__WORKERS=2 .*qdrant"):
        load(HTTP__WORKERS="2", REPOSITORY__BACKEND=backend)


def test_with_the_server_there_may_be_several(load: Load) -> None:
    settings = load(HTTP__WORKERS="2", REPOSITORY__BACKEND="qdrant", REPOSITORY__URL="http://localhost:6333")
    assert settings.http.workers == 2


def test_every_name_is_one_of_a_setting() -> None:
    names = set(setting_names(Settings))
    assert {"LOOKALIKE_DATA_DIR", "LOOKALIKE_HTTP__PORT", "LOOKALIKE_AUTH__KEYS"} <= names
    assert not any(name.endswith("__") for name in names)
