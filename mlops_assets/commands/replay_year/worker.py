"""A process of a replay: it fits some of the models, or lives through the year by one policy."""

from __future__ import annotations

import argparse
import signal
import sys
import time
from pathlib import Path

from mlops_assets.commands.bench.processes import read_model
from mlops_assets.commands.replay_year.fitting import fit_models, list_weeks
from mlops_assets.commands.replay_year.place import Place, open_location, stop_server
from mlops_assets.commands.replay_year.policies import apply_policy, simplify
from mlops_assets.commands.replay_year.processes import end_with_stdin
from mlops_assets.commands.replay_year.stream import Stream
from mlops_assets.commands.replay_year.weeks import Course, Week, write_course
from mlops_assets.components.definition import ModelDefinition
from mlops_assets.lifecycle.errors import MlopsAssetsError


def replay_policy(model: ModelDefinition, place: Place, policy: str, every: int) -> Course:
    """Live through the year in the policy's folder, and keep what came of it.

    The server is stopped however it ends.
    """
    state = place.begin(policy)
    begun = time.perf_counter()
    location, resources, clock = open_location(apply_policy(model, policy), state)
    weeks: list[Week] = []
    try:
        for week in Stream(location, resources, clock, every=every).run(list_weeks(model)):
            weeks.append(week)
            print(f"{policy:9} {describe_week(week)}", flush=True)
    finally:
        stop_server(state)
    course = Course(policy, weeks, round(time.perf_counter() - begun, 1))
    write_course(course, place.course(policy))
    return course


def describe_week(week: Week) -> str:
    """What happened in a week, in one line."""
    said = [f"{week.week} {week.champion:4} late {week.late_rate:5.1%} Brier {week.brier:.4f}"]
    if week.estimated is not None:
        said.append(f"(estimated {week.estimated:.4f})")
    said += [f"promoted {version}" for version in week.promoted]
    said += [f"rolled back {version}" for version in week.rolled_back]
    if week.alarm:
        said.append(f"alarm: {week.cause.replace('_', ' ')}")
    if week.asked:
        said.append(f"retrained as of {week.asked}")
    if week.refused:
        said.append(f"refused: {week.refused[:90]}")
    return "  ".join(said)


def fit_part(model: ModelDefinition, place: Place, part: int, parts: int) -> None:
    """Fit each ``parts``-th model, from the one at ``part`` on."""
    weeks = list_weeks(model)[part::parts]
    fit_models(model, weeks, place.base, lambda text: print(text, flush=True))


def main(arguments: list[str] | None = None) -> int:
    """Replay one policy, or fit one part; exit status 1 says on stderr what went wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--policy")
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--part", type=int, default=0)
    parser.add_argument("--parts", type=int, default=1)
    parsed = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that its server ends with it
    end_with_stdin()
    model, place = simplify(read_model()), Place(parsed.root)
    try:
        if parsed.policy:
            replay_policy(model, place, parsed.policy, parsed.every)
        else:
            fit_part(model, place, parsed.part, parsed.parts)
    except MlopsAssetsError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
