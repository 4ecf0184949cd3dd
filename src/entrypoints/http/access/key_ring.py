"""The keys of a running service: those of the settings, and those of a file that may change while it runs."""

import functools
import hmac
import logging
import os
import secrets
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from domain.errors import ConfigurationError
from entrypoints.keys import ApiKey, digest_of, read_keys_file

REREAD_SECONDS = 5.0
"""How long a changed file may go unnoticed."""

SECRET_FILE = "session-secret"  # noqa: S105 - a name
_SECRET_BYTES = 32

log = logging.getLogger(__name__)


class KeyRing:
    """Recognises keys, and the tokens that stand for them in the web page's cookie."""

    def __init__(
        self,
        configured: tuple[ApiKey, ...],
        file: Path | None,
        *,
        secret: Callable[[], bytes],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Reads the file. Raises ConfigurationError.

        `secret` gives a secret of this service, and is called once. Tokens are made with it, so that a hash in the
        settings does not suffice to make one.
        """
        self._configured = configured
        self._file = file
        self.secret = functools.cache(secret)
        self._clock = clock
        self._looked_at = clock()
        self._version = self._version_of_file()
        self._keys = configured if file is None else configured + read_keys_file(file)

    @property
    def is_empty(self) -> bool:
        """Whether no keys are configured: then every caller may do everything."""
        return not self._keys

    def find(self, key: bytes) -> ApiKey | None:
        """The entry of a key, with the highest role where there are several. All are compared, in constant time."""
        self._reread()
        given = digest_of(key)
        return _highest([entry for entry in self._keys if entry.is_of(given)])

    def find_by_token(self, token: str) -> ApiKey | None:
        """The entry that a token stands for: as long as it is configured."""
        self._reread()
        given = token.encode()
        return _highest([entry for entry in self._keys if hmac.compare_digest(self.token_of(entry).encode(), given)])

    def token_of(self, entry: ApiKey) -> str:
        """A token that stands for a key without revealing it: 64 hexadecimal digits."""
        return hmac.digest(self.secret(), b"lookalike web page session" + entry.digest, "sha256").hex()

    def _reread(self) -> None:
        """Read the file again if it has changed. If it cannot be read, keep its old keys and log an error."""
        if self._file is None or self._clock() < self._looked_at + REREAD_SECONDS:
            return
        self._looked_at = self._clock()
        version = self._version_of_file()
        if version == self._version:
            return
        self._version = version
        try:
            self._keys = self._configured + read_keys_file(self._file)
        except ConfigurationError as error:
            log.error("The keys stay as they were: %s", error)
        else:
            log.info("Read the keys in %s anew", self._file)

    def _version_of_file(self) -> tuple[int, ...] | None:
        """A value that changes with the file, also where a link is pointed elsewhere; None where there is no file."""
        if self._file is None:
            return None
        try:
            found = self._file.stat()
        except OSError:
            return None
        return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def session_secret(data_dir: Path) -> bytes:
    """The secret that all processes over one data directory share, made by the first of them.

    Where it cannot be kept, one for this process: after a restart the page's visitors sign in again, and signed links
    are no longer valid.
    """
    path = data_dir / SECRET_FILE
    try:
        return _kept_secret(path)
    except OSError as error:
        log.warning(
            "%s cannot be kept (%s): the page's sessions and signed links end with this process", path, error.strerror
        )
        return secrets.token_bytes(_SECRET_BYTES)


def _kept_secret(path: Path) -> bytes:
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=f"{path.name}.", dir=path.parent)  # for its owner alone
        ours = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(secrets.token_bytes(_SECRET_BYTES))
                file.flush()
                os.fsync(file.fileno())
            with suppress(FileExistsError):
                os.link(ours, path)  # complete, and never over that of another process
        finally:
            ours.unlink(missing_ok=True)
    secret = path.read_bytes()
    if len(secret) != _SECRET_BYTES:
        raise OSError(0, f"it has {len(secret)} bytes instead of {_SECRET_BYTES}; delete it")
    return secret


def _highest(entries: list[ApiKey]) -> ApiKey | None:
    return max(entries, key=lambda entry: entry.role.rank, default=None)
