"""Links by which thumbnails load without a key, in pages of other sites: signed, and valid for a while."""

import hmac
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping

from domain.images import ImageRecord
from entrypoints.settings import AuthSettings


class ThumbnailLinks:
    """Signs links to thumbnails, and checks them."""

    def __init__(
        self, auth: AuthSettings, *, secret: Callable[[], bytes], clock: Callable[[], float] = time.time
    ) -> None:
        """`secret` gives that of the service, for where the settings have none. It is not called before a link is."""
        self._is_signing = auth.has_keys and auth.signed_thumbnail_seconds > 0
        self._half_period = max(1, auth.signed_thumbnail_seconds // 2)
        given, former = auth.thumbnail_secret, auth.former_thumbnail_secret
        self._secret = secret if given is None else given.get_secret_value().encode
        self._former = None if former is None else former.get_secret_value().encode()
        self._clock = clock

    def signed(self, record: ImageRecord) -> Mapping[str, str]:
        """The parameters that sign a link; none where nothing is signed.

        The link is valid for more than half a period and at most a whole one. It stays the same for half a period, so
        that browsers and proxies find the picture that they have kept.
        """
        if not self._is_signing:
            return {}
        expires = str((int(self._clock()) // self._half_period + 2) * self._half_period)
        return {"expires": expires, "signature": _signature(self._secret(), record, expires)}

    def seconds_left(self, record: ImageRecord, expires: str, signature: str) -> int | None:
        """For how long a link is still valid; None where it is not, or signed by others or for another picture."""
        if not self._is_signing:
            return None
        secrets = [self._secret()] if self._former is None else [self._secret(), self._former]
        expected = [_signature(secret, record, expires).encode() for secret in secrets]
        # In constant time, so that timing tells nothing about the signature.
        if not any(hmac.compare_digest(each, signature.encode()) for each in expected):
            return None
        left = int(expires) - int(self._clock())  # a number, since we have signed it
        return left if left > 0 else None


def _signature(secret: bytes, record: ImageRecord, expires: str) -> str:
    message = f"lookalike thumbnail link {record.id} {record.sha256} {expires}"
    return urlsafe_b64encode(hmac.digest(secret, message.encode(), "sha256")).rstrip(b"=").decode()
