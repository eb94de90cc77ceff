"""What a person does to a rollout: hold it, let it go on, end it, or go back to what served before.

Each launch is done once: what it did is a row of the ledger, written with the rollout's next state
or the promotion, both or neither. A launch that was killed and is tried again sets the registry's
aliases right and says what it did before.
"""

from __future__ import annotations

from dataclasses import replace

from mlops_assets.adapters.journal import (
    ROLLOUT,
    find_previous_champion,
    read_champion,
    read_intervention,
    read_rollout,
    sequence_of,
    write_champion,
    write_rollout,
)
from mlops_assets.adapters.ports import Clock, Ledger, Registry
from mlops_assets.components.definition import ModelDefinition
from mlops_assets.components.stages.release import apply_aliases
from mlops_assets.lifecycle.clearance import require_person
from mlops_assets.lifecycle.errors import RefusedError
from mlops_assets.lifecycle.rollout import strategy
from mlops_assets.lifecycle.rollout.decision import RolloutDecision
from mlops_assets.lifecycle.rollout.intervention import Intervention, InterventionAction
from mlops_assets.lifecycle.rollout.state import RolloutState


def pause(
    model: ModelDefinition, by: str, reason: str, ledger: Ledger, clock: Clock, *, request: str
) -> str:
    """Hold the rollout in progress at its share; harm still takes it back. Says what was done.

    ``request`` names the launch. Raises ``RefusedError`` when there is none, or it is held.
    """
    known = read_intervention(ledger, model.name, request)
    if known:
        return known.done
    person = require_person("pause", by, reason)
    after = sequence_of(ledger, "rollout", model.name, ROLLOUT)
    state = _require_rollout(model, "pause", ledger)
    if state.paused:
        raise RefusedError(
            f"pause: {model.name} {state.version} is held already ({state.reason}); launch "
            f"{model.name}__resume to let it go on"
        )
    held = strategy.pause(state, person, reason.strip(), clock.now())
    done = f"the rollout of {state.version} is held at {state.weight} %"
    told = Intervention(request, "pause", state.version, person, reason.strip(), done)
    write_rollout(ledger, model.name, held, clock.now(), after=after, told=told)
    return done


def resume(
    model: ModelDefinition, by: str, reason: str, ledger: Ledger, clock: Clock, *, request: str
) -> str:
    """Let a rollout that is held go on. Says what was done.

    ``request`` names the launch. Raises ``RefusedError`` when none is held.
    """
    known = read_intervention(ledger, model.name, request)
    if known:
        return known.done
    person = require_person("resume", by, reason)
    after = sequence_of(ledger, "rollout", model.name, ROLLOUT)
    state = _require_rollout(model, "resume", ledger)
    if not state.paused:
        raise RefusedError(f"resume: the rollout of {model.name} {state.version} is not held")
    going = strategy.resume(state, person, reason.strip(), clock.now())
    done = f"the rollout of {state.version} goes on at {state.weight} %"
    told = Intervention(request, "resume", state.version, person, reason.strip(), done)
    write_rollout(ledger, model.name, going, clock.now(), after=after, told=told)
    return done


def abort(
    model: ModelDefinition,
    by: str,
    reason: str,
    ledger: Ledger,
    registry: Registry,
    clock: Clock,
    *,
    request: str,
) -> str:
    """End the rollout in progress; the champion answers everything again. Says what was done.

    ``request`` names the launch. Raises ``RefusedError`` when there is none: an abort never
    takes a champion back.
    """
    known = read_intervention(ledger, model.name, request)
    if known is None:
        person = require_person("abort", by, reason)
        after = sequence_of(ledger, "rollout", model.name, ROLLOUT)
        state = _require_rollout(model, "abort", ledger)
        return _end(
            model, state, after, ("abort", person, reason.strip()), ledger, registry, clock, request
        )
    apply_aliases(model, read_rollout(ledger, model.name), ledger, registry)
    return known.done


def roll_back(
    model: ModelDefinition,
    by: str,
    reason: str,
    ledger: Ledger,
    registry: Registry,
    clock: Clock,
    *,
    request: str,
) -> str:
    """End the rollout in progress, or go back to the champion before; says which was done.

    ``request`` names the launch; ``by`` may be empty: nobody is kept from taking traffic away.
    Raises ``RefusedError`` when there is nothing to go back to.
    """
    known = read_intervention(ledger, model.name, request)
    if known:
        apply_aliases(model, read_rollout(ledger, model.name), ledger, registry)
        return known.done
    after = sequence_of(ledger, "rollout", model.name, ROLLOUT)
    state = read_rollout(ledger, model.name)
    said: tuple[InterventionAction, str, str] = ("roll_back", by.strip(), reason.strip())
    if state and state.active:
        return _end(model, state, after, said, ledger, registry, clock, request)
    promoted = sequence_of(ledger, "promotion", model.name, "champion")
    champion = read_champion(ledger, model.name)
    if champion is None:
        raise RefusedError(f"{model.name}: nothing was released yet")
    earlier = find_previous_champion(ledger, model.name)
    if earlier is None:
        raise RefusedError(f"{model.name}: no rollout in progress and no champion before this one")
    done = f"champion is {earlier.version} again, instead of {champion.version}"
    told = Intervention(request, "roll_back", champion.version, said[1], said[2], done)
    back = replace(earlier, reason=told.describe())
    write_champion(ledger, model.name, back, clock.now(), after=promoted, told=told)
    apply_aliases(model, state, ledger, registry)
    return done


def _end(
    model: ModelDefinition,
    state: RolloutState,
    after: int,
    said: tuple[InterventionAction, str, str],
    ledger: Ledger,
    registry: Registry,
    clock: Clock,
    request: str,
) -> str:
    """Take the version's traffic away; ``after``: the sequence of the state that was read."""
    action, by, reason = said
    done = f"the rollout of {state.version} was ended at {state.weight} %"
    told = Intervention(request, action, state.version, by, reason, done)
    ended = strategy.apply_decision(
        state, RolloutDecision("roll_back", 0, told.describe()), clock.now()
    )
    write_rollout(ledger, model.name, ended, clock.now(), after=after, told=told)
    apply_aliases(model, ended, ledger, registry)
    return done


def _require_rollout(model: ModelDefinition, what: str, ledger: Ledger) -> RolloutState:
    """The rollout in progress. Raises ``RefusedError`` when there is none."""
    state = read_rollout(ledger, model.name)
    if state is None or not state.active:
        raise RefusedError(
            f"{what}: {model.name} has no rollout in progress; to go back to the champion before, "
            f"launch {model.name}__roll_back"
        )
    return state
