"""What a page must not do: report errors, ask other hosts."""

from playwright.sync_api import ConsoleMessage, Page, Request


class Watch:
    """Notes what goes wrong on pages, and fails unless a test expected it."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._expected: list[str] = []
        self._noted: list[str] = []

    def over(self, page: Page) -> None:
        page.on("console", self._console)
        page.on("pageerror", lambda error: self._noted.append(f"uncaught: {error}"))
        page.on("request", self._request)

    def expect(self, part: str) -> None:
        """A message that holds `part` is what this test is about."""
        self._expected.append(part)

    def assert_clean(self) -> None:
        unexpected = [note for note in self._noted if not any(part in note for part in self._expected)]
        assert not unexpected, unexpected

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self._noted.append(f"{message.type}: {message.text} {message.location.get('url', '')}")

    def _request(self, request: Request) -> None:
        if not request.url.startswith((f"{self._url}/", "blob:", "data:")):
            self._noted.append(f"asked elsewhere: {request.url}")
