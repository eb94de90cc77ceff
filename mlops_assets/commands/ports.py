"""Ports of the loopback interface: which are wanted, and whether they are free."""

from __future__ import annotations

import socket
from dataclasses import dataclass

from mlops_assets.lifecycle.errors import EndpointError

HOST = "127.0.0.1"


@dataclass(frozen=True)
class Ports:
    """Where each part listens on the loopback interface."""

    ui: int
    serving: int
    mlflow: int
    studies: int
    reports: int


def require_free_ports(ports: Ports) -> None:
    """Raise ``EndpointError`` naming the port that something listens on, and how to change it."""
    wanted = {
        "UI_PORT": ports.ui,
        "SERVING_PORT": ports.serving,
        "MLFLOW_PORT": ports.mlflow,
        "STUDIES_PORT": ports.studies,
        "REPORTS_PORT": ports.reports,
    }
    for variable, port in wanted.items():
        with socket.socket() as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listener.bind((HOST, port))
            except OSError as error:
                raise EndpointError(
                    f"dev: port {port} on {HOST} is taken ({error.strerror}); "
                    f"end what listens there, or use make dev {variable}={port + 1}"
                ) from error


def free_port() -> int:
    """A port of the loopback interface that nothing listens on now."""
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        return int(listener.getsockname()[1])
