"""Fetching from the model hub: pinned by revision, cached, usable without a network once cached."""

import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import getproxies

from huggingface_hub import constants, hf_hub_download, try_to_load_from_cache
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from domain.errors import ModelError, Remedy

WEIGHT_FILES = ("model.safetensors", "pytorch_model.bin")
"""Where timm's repositories keep weights; safetensors preferred, since it holds numbers and nothing to run."""

REACH_SECONDS = 3.0


def fetch_weights(repository: str, *, revision: str | None, cache: Path | None, filename: str | None = None) -> Path:
    """The local copy of a hub repository's weights, downloaded unless the cache has it.

    `revision` is a commit, tag or branch; None is the main branch, which may move. Raises ModelError.
    """
    candidates = _candidates(filename)
    away = not _is_within_reach()
    with hub_errors(repository, revision):
        for candidate in candidates:
            try:
                return Path(
                    hf_hub_download(repository, candidate, revision=revision, cache_dir=cache, local_files_only=away)
                )
            except LocalEntryNotFoundError:
                # Out of reach: a file less preferred may still be in the cache.
                for other in candidates:
                    cached = try_to_load_from_cache(repository, other, revision=revision, cache_dir=cache)
                    if isinstance(cached, str):
                        return Path(cached)
                raise
            except EntryNotFoundError:
                continue
    raise ModelError(f"The hub's {repository} has none of {', '.join(candidates)}.")


def commit_of(path: Path) -> str | None:
    """The commit that a file in the hub's cache belongs to; None for a file elsewhere."""
    return path.parent.name if path.parent.parent.name == "snapshots" else None


def _is_within_reach() -> bool:
    """Whether the hub takes connections: its client would try for half a minute to find out."""
    if constants.HF_HUB_OFFLINE:
        return False
    if getproxies():
        return True  # they know the way
    hub = urlsplit(constants.ENDPOINT)
    try:
        port = hub.port or {"http": 80, "https": 443}[hub.scheme]
        socket.create_connection((hub.hostname or "", port), timeout=REACH_SECONDS).close()
    except OSError:
        return False
    return True


def _candidates(filename: str | None) -> Sequence[str]:
    if filename is None:
        return WEIGHT_FILES
    safer = str(Path(filename).with_suffix(".safetensors"))
    return (safer, filename) if safer != filename else (filename,)


@contextmanager
def hub_errors(repository: str, revision: str | None) -> Iterator[None]:
    """Translate what the hub's client raises into ModelError that says what to do."""
    place = repository if revision is None else f"{repository} at revision {revision}"
    try:
        yield
    except (GatedRepoError, RepositoryNotFoundError) as error:
        raise ModelError(
            f"The model hub has no {place}, or does not show it to us: check the name, or log in with HF_TOKEN."
        ) from error
    except RevisionNotFoundError as error:
        raise ModelError(f"The model hub has no {place}: give a commit, a tag or a branch of it.") from error
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        raise ModelError(
            f"The model hub could not be reached for {place}, and no cache holds it "
            f"({type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no detail'}).",
            remedy=Remedy.PULL_THE_MODEL,
        ) from error
    except HFValidationError as error:
        raise ModelError(f"{repository!r} is no name of a hub repository (owner/name): {error}") from error
