"""What a page in the browser did unseen: errors, dialogs, requests, windows."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from playwright.sync_api import ConsoleMessage, Dialog, Error, Page, Request

_HARMLESS_SCHEMES = {"data", "blob", "about"}
_THIS_MACHINE = {"127.0.0.1", "localhost", "::1"}


@dataclass
class Watch:
    """Everything a page did since it was opened."""

    errors: list[str] = field(default_factory=list)
    dialogs: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    windows: list[str] = field(default_factory=list)

    def follow(self, page: Page) -> None:
        page.on("console", self._console)
        page.on("pageerror", self._error)
        page.on("dialog", self._dialog)
        page.on("request", self._request)
        page.on("popup", self._window)

    @property
    def fetched(self) -> list[str]:
        """Every address asked for, but for what a page holds in itself."""
        return [r for r in self.requests if urlsplit(r).scheme not in _HARMLESS_SCHEMES]

    @property
    def outside(self) -> list[str]:
        """Every address asked for that is neither a file nor a server on this machine."""
        return [r for r in self.fetched if not _is_here(r)]

    @property
    def executed(self) -> list[str]:
        """What only a script that got in could have done."""
        return self.dialogs + self.windows

    def _console(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.errors.append(message.text)

    def _error(self, error: Error) -> None:
        self.errors.append(str(error))

    def _dialog(self, dialog: Dialog) -> None:
        self.dialogs.append(dialog.message)
        dialog.dismiss()

    def _request(self, request: Request) -> None:
        self.requests.append(request.url)

    def _window(self, page: Page) -> None:
        self.windows.append(page.url)


def _is_here(address: str) -> bool:
    parts = urlsplit(address)
    return parts.scheme == "file" or parts.hostname in _THIS_MACHINE
