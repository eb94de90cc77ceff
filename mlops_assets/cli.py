"""The few commands around Dagster."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from pathlib import Path

from mlops_assets.lifecycle.errors import MlopsAssetsError


def main(arguments: list[str] | None = None) -> int:
    """Entry point of ``mlops-assets``; returns the exit status."""
    parsed = _parser().parse_args(arguments)
    try:
        return int(parsed.run(parsed) or 0)
    except MlopsAssetsError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"mlops-assets {parsed.command}: interrupted", file=sys.stderr)
        return 130  # what shells say of a command that Ctrl-C ended


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="mlops-assets", description=__doc__)
    words = parser.add_subparsers(required=True, dest="command", metavar="COMMAND")
    demo = words.add_parser("demo", help="run the whole loop once on the real flights")
    demo.add_argument("--build", type=Path, default=Path("build"), help="where to write")
    demo.set_defaults(run=_demo)
    dev = words.add_parser("dev", help="start Dagster, the model server, the MLflow and Optuna UIs")
    dev.add_argument("--state", type=Path, default=Path("state"), help="where to keep everything")
    dev.add_argument("--ui-port", type=int, default=3000)
    dev.add_argument("--serving-port", type=int, default=8080)
    dev.add_argument("--mlflow-port", type=int, default=5000)
    dev.add_argument("--studies-port", type=int, default=8081)
    dev.add_argument("--reports-port", type=int, default=8082)
    dev.set_defaults(run=_dev)
    down = words.add_parser("down", help="end the model server of a state folder")
    down.add_argument("--state", type=Path, default=Path("state"), help="whose server to end")
    down.set_defaults(run=_down)
    bench = words.add_parser("bench", help="measure what the project adds, as ratios")
    bench.add_argument("parts", nargs="*", help="what to measure, everything without a name")
    bench.add_argument("--build", type=Path, default=Path("build"), help="where to write")
    bench.set_defaults(run=_bench)
    simulate = words.add_parser("simulate", help="how often rollouts and drift are judged wrongly")
    simulate.add_argument("parts", nargs="*", help="rollouts, drift; both without a name")
    simulate.add_argument("--runs", type=int, default=10_000, help="rollouts of each kind")
    simulate.add_argument("--seed", type=int, default=7)
    simulate.add_argument("--build", type=Path, default=Path("build"), help="where to write")
    simulate.set_defaults(run=_simulate)
    year = words.add_parser("replay-year", help="a year as a stream, by three retraining policies")
    year.add_argument("--every", type=int, default=1, help="send each so-manieth row of a week")
    year.add_argument("--build", type=Path, default=Path("build"), help="where to write")
    year.set_defaults(run=_replay_year)
    serving = words.add_parser("bench-serving", help="measure the model server beside others")
    serving.add_argument("--build", type=Path, default=Path("build"), help="where to write")
    serving.add_argument(
        "--peers", type=Path, required=True, help="environment that the others run in"
    )
    serving.set_defaults(run=_bench_serving)
    other = words.add_parser("conformance", help="run the protocol's suite on another server")
    other.add_argument("--build", type=Path, default=Path("build"), help="where to write")
    other.add_argument("--peers", type=Path, required=True, help="environment it runs in")
    other.set_defaults(run=_conformance)
    return parser


def _demo(parsed: argparse.Namespace) -> int:
    from mlops_assets.commands.demo import run_demo
    from mlops_assets.commands.story import tell

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that its server ends with it
    print(tell(run_demo(parsed.build), parsed.build))
    return 0


def _dev(parsed: argparse.Namespace) -> int:
    from mlops_assets.commands.dev import run_dev
    from mlops_assets.commands.ports import Ports

    ports = Ports(
        parsed.ui_port,
        parsed.serving_port,
        parsed.mlflow_port,
        parsed.studies_port,
        parsed.reports_port,
    )
    return run_dev(parsed.state.absolute(), ports)


def _down(parsed: argparse.Namespace) -> int:
    from mlops_assets.defs.platform.resources import build_serving, read_settings

    settings = read_settings({**os.environ, "MLOPS_ASSETS_STATE": str(parsed.state)})
    stopped = build_serving(settings).stop()
    print("the model server has ended" if stopped else "no model server was running")
    return 0


def _bench_serving(parsed: argparse.Namespace) -> int:
    from mlops_assets.commands.bench.serving.measure import measure_serving, tell_serving

    print(tell_serving(measure_serving(parsed.build, parsed.peers)))
    return 0


def _bench(parsed: argparse.Namespace) -> int:
    from mlops_assets.commands.bench.report import run_bench

    print(run_bench(parsed.build, parsed.parts))
    return 0


def _conformance(parsed: argparse.Namespace) -> int:
    from mlops_assets.commands.bench.serving.conformance import check_other

    print(check_other(parsed.build, parsed.peers))
    return 0


def _replay_year(parsed: argparse.Namespace) -> int:
    from mlops_assets.commands.replay_year.run import run_replay_year

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that its servers end with it
    print(run_replay_year(parsed.build, parsed.every))
    return 0


def _simulate(parsed: argparse.Namespace) -> int:
    from mlops_assets.commands.simulate.report import PARTS, run_simulate

    parts = parsed.parts or PARTS
    print(run_simulate(parsed.build, parsed.runs, parsed.seed, parts=parts))
    return 0


if __name__ == "__main__":
    sys.exit(main())
