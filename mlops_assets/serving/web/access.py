"""Who may change the routing: whoever has the token, or comes through a proxy that names them."""

from __future__ import annotations

import hmac
import ipaddress
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field

from mlops_assets.lifecycle.errors import RequestError
from mlops_assets.serving.settings import TOKEN_VARIABLE, Settings

MAX_PERSON_LENGTH = 100
SCHEME = "Bearer "

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Access:
    """What is asked of a caller who wants to change the routing."""

    token: str | None = field(default=None, repr=False)
    proxy_header: str | None = None

    def identify(self, headers: Mapping[str, str]) -> str:
        """Who the caller is, for the record.

        Raises ``RequestError``: 403 while neither token nor proxy is configured, 401 for a caller
        who has neither.
        """
        if not self.token and not self.proxy_header:
            raise RequestError(
                "routing cannot be changed here: no token is configured; start the server with "
                f"--token-file FILE or {TOKEN_VARIABLE}, or with --proxy-header NAME behind a "
                "proxy that authenticates people",
                status=403,
            )
        sent = headers.get("authorization", "")
        if self.token and sent.startswith(SCHEME) and _same(sent.removeprefix(SCHEME), self.token):
            return "token"
        person = headers.get(self.proxy_header, "").strip() if self.proxy_header else ""
        if not person:
            raise RequestError(f"routing is changed by {self._whom()} alone", status=401)
        return person[:MAX_PERSON_LENGTH]

    def _whom(self) -> str:
        ways = []
        if self.token:
            ways.append("callers with the header 'Authorization: Bearer TOKEN'")
        if self.proxy_header:
            ways.append(f"people the proxy names in the header '{self.proxy_header}'")
        return " and by ".join(ways)


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches the address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def warn_of_open_address(settings: Settings) -> None:
    """Say so when others reach a server that asks nobody who they are."""
    if not is_loopback(settings.host) and not settings.token:
        logger.warning(
            "%s is reached from other machines and no token is configured: everybody there can "
            "ask for predictions; bind a loopback address behind a proxy that authenticates",
            settings.host,
        )


def _same(sent: str, token: str) -> bool:
    """Compared in a time that does not tell how much of it was right."""
    return hmac.compare_digest(sent.strip().encode(), token.encode())
