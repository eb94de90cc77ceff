"""Messages in a list."""

from __future__ import annotations


class InMemoryAlerts:
    """``Alerts`` with its messages in ``sent``: (title, body), oldest first."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, str]] = []

    def send(self, title: str, body: str) -> list[str]:
        self.sent.append((title, body))
        return []
