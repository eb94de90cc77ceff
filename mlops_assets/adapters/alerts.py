"""Telling people: in a file by default, through Apprise once addresses are set."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path

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

        services = [apprise.Apprise() for _ in self.urls]
        for number, (service, url) in enumerate(zip(services, self.urls, strict=True), start=1):
            if not service.add(url):
                raise EndpointError(f"alerts: address {number} is none that Apprise understands")
        # One by one: all in one call would not say who was reached. Told that it is text,
        # Apprise escapes it for mail and chats that would read a "<" or "_" as their own.
        text = apprise.NotifyFormat.TEXT
        reached = [bool(each.notify(title=title, body=body, body_format=text)) for each in services]
        missed = [number for number, got in enumerate(reached, start=1) if not got]
        if not any(reached):
            raise EndpointError(f"alerts: '{title}' could not be delivered to any address")
        return [f"alerts: '{title}' did not reach address {number}" for number in missed]
