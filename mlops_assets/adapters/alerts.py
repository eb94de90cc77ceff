"""Telling people: in a file by default, through Apprise once addresses are set."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path

from mlops_assets.lifecycle.errors import EndpointError


@dataclass(frozen=True)
class FileAlerts:
    """``Alerts`` as JSON lines in a file; whole lines only, also when the process is killed."""

    path: Path

    def send(self, title: str, body: str) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        line = json.dumps({"title": title, "body": body}) + "\n"
        handle = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(handle, line.encode())
        finally:
            os.close(handle)


@dataclass(frozen=True)
class AppriseAlerts:
    """``Alerts`` to the services that Apprise's URLs name. The URLs hold secrets: never shown."""

    urls: tuple[str, ...] = field(repr=False)

    def send(self, title: str, body: str) -> None:
        import apprise

        service = apprise.Apprise()
        for number, url in enumerate(self.urls, start=1):
            if not service.add(url):
                raise EndpointError(f"alerts: address {number} is none that Apprise understands")
        if not service.notify(title=title, body=body):
            raise EndpointError(f"alerts: '{title}' could not be delivered to every address")
