"""Telling people: in a file by default, through Apprise once addresses are set."""

from __future__ import annotations

import json
import logging
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlops_assets.adapters.file_locks import exclusive
from mlops_assets.lifecycle.errors import EndpointError


@dataclass(frozen=True)
class FileAlerts:
    """``Alerts`` as JSON lines in a file; whole lines only, also when the process is killed.

    The file is replaced as a whole: a kill in the middle of an append leaves a part of a line.
    Alerts are few enough for that.
    """

    path: Path

    def send(self, title: str, body: str) -> list[str]:
        line = json.dumps({"title": title, "body": body}) + "\n"
        with exclusive(self.path.with_name(f"{self.path.name}.lock")):
            said = self.path.read_bytes() if self.path.exists() else b""
            written = self.path.with_name(f"{self.path.name}.writing")
            handle = os.open(written, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(handle, "wb") as file:
                file.write(said + line.encode())
            written.replace(self.path)
        return []


@dataclass(frozen=True)
class AppriseAlerts:
    """``Alerts`` to the services that Apprise's URLs name. The URLs hold secrets: never shown."""

    urls: tuple[str, ...] = field(repr=False)

    def send(self, title: str, body: str) -> list[str]:
        import apprise

        # One by one: all in one call would not say who was reached. Told that it is text,
        # Apprise escapes it for mail and chats that would read a "<" or "_" as their own.
        text = apprise.NotifyFormat.TEXT
        missed = []
        for number, url in enumerate(self.urls, start=1):
            service = apprise.Apprise()
            if not _add(service, url):
                missed.append(f"address {number} is none that Apprise understands")
            elif not service.notify(title=title, body=body, body_format=text):
                missed.append(f"'{title}' did not reach address {number}")
        if len(missed) == len(self.urls):
            said = "; ".join(missed)
            raise EndpointError(f"alerts: '{title}' could not be delivered to any address; {said}")
        return [f"alerts: {said}" for said in missed]


def _add(service: Any, url: str) -> bool:
    """Whether Apprise understands the address; of one that it does not it would log a part."""
    logger = logging.getLogger("apprise")
    logger.disabled = True
    try:
        return bool(service.add(url))
    finally:
        logger.disabled = False
