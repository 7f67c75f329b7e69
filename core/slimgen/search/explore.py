"""The one search loop: ask, evaluate, tell, log. A restarted search replays its log and continues."""

import json
import os
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from slimgen.errors import RunError
from slimgen.files import append_line
from slimgen.search.genotype import Genotype
from slimgen.search.searcher import Searcher
from slimgen.search.trial import Trial

Evaluate = Callable[[Sequence[Genotype]], Sequence[Trial]]


@dataclass(slots=True)
class _Round:
    asked: int
    trials: list[Trial]


def explore(
    searcher: Searcher,
    evaluate: Evaluate,
    *,
    log: Path,
    seed: int,
    step: str,
    rounds: int | None = None,
    evaluations: int | None = None,
    on_round: Callable[[int, Sequence[Trial]], None] | None = None,
) -> list[Trial]:
    """Search until the rounds or evaluations are used up or the searcher asks for nothing more.

    Each round is a line of JSON, written and synced before the next round begins. Existing lines are replayed to the
    searcher instead of evaluated, so a killed search continues where it stopped; a torn last line is dropped. Steps may
    share a log. If `evaluations` cut the last round short and the search is restarted with a larger number, a second
    line completes that round: the result equals that of an uninterrupted search.

    Args:
        searcher: asks for genotypes and is told their trials.
        evaluate: returns one trial for each genotype, in order. Round and step are filled in here.
        log: the file of rounds.
        seed: seeds each round's random generator, together with step and round.
        step: the name of this search in a log that several may share; all of its trials are returned, in order.
        rounds: the largest number of rounds; None for no limit.
        evaluations: the largest number of genotypes, replayed ones included; None for no limit.
        on_round: called after each round, replayed ones included, with its number and trials.

    Raises:
        RunError: the log is damaged, belongs to another search, or cannot be written.
    """
    past = _read(log, step)
    trials: list[Trial] = []
    number = 0
    while (rounds is None or number < rounds) and (evaluations is None or len(trials) < evaluations):
        asked = searcher.ask(random.Random(f"{seed}/{step}/{number}"))
        wanted = asked if evaluations is None else asked[: evaluations - len(trials)]
        if number < len(past):
            _require_same(past[number], asked, log, step, number)
        if not wanted:
            break
        logged = past[number].trials[: len(wanted)] if number < len(past) else []
        missing = wanted[len(logged) :]
        new = list(evaluate(missing)) if missing else []
        if [trial.genotype for trial in new] != missing:
            raise ValueError("evaluate must return one trial for each genotype, in order")
        new = [replace(trial, step=step, round=number) for trial in new]
        answers = [*logged, *new]
        searcher.tell(answers)  # before logging: trials that the searcher rejects must not be replayed for ever
        if new:
            _append(log, {"step": step, "round": number, "asked": len(asked)}, new)
        trials += answers
        if on_round is not None:
            on_round(number, answers)
        number += 1
    return trials


def _require_same(past: _Round, asked: Sequence[Genotype], log: Path, step: str, number: int) -> None:
    logged = [trial.genotype for trial in past.trials]
    if past.asked != len(asked) or logged != list(asked[: len(logged)]):
        raise RunError(
            "a search can only continue with the settings it began with",
            f"other genotypes in round {number} of step {step!r} of {log}",
            "remove the log to search anew, or restore the seed, space, budget and searcher that it was written with",
        )


def _append(log: Path, head: dict[str, object], trials: Sequence[Trial]) -> None:
    line = json.dumps({**head, "trials": [trial.to_json() for trial in trials]}, allow_nan=False)
    try:
        append_line(log, line)
    except OSError as error:
        hint = "correct this and run the same command again: it continues after the last complete round"
        raise RunError(f"cannot write the search log {log}", str(error), hint) from error


def _read(log: Path, step: str) -> list[_Round]:
    """Return the rounds of one step, and cut a torn last line, whatever its step, off the file."""
    if not log.exists():
        return []
    lines = log.read_bytes().splitlines(keepends=True)
    rounds: list[_Round] = []
    for position, line in enumerate(lines):
        try:
            entry = json.loads(line)
            if not isinstance(entry, dict) or not line.endswith(b"\n"):
                raise ValueError("the line is not a JSON object")
        except ValueError as error:
            if position + 1 == len(lines):
                os.truncate(log, sum(len(whole) for whole in lines[:-1]))
                break
            raise _damaged(log, position, error) from error
        try:
            trials = [Trial.from_json(trial) for trial in entry["trials"]] if entry["step"] == step else None
            number, asked = int(entry["round"]), int(entry["asked"])
        except (KeyError, TypeError, ValueError) as error:
            raise _damaged(log, position, error) from error
        if trials is None:
            continue
        if number == len(rounds) - 1 and len(rounds[-1].trials) + len(trials) <= asked == rounds[-1].asked:
            rounds[-1].trials.extend(trials)
        elif number == len(rounds) and (not rounds or len(rounds[-1].trials) == rounds[-1].asked):
            rounds.append(_Round(asked, trials))
        else:
            rule = f"the rounds of step {step!r} in {log} must follow each other"
            raise RunError(rule, f"round {number} after {len(rounds)} rounds", "remove the log to search anew")
    return rounds


def _damaged(log: Path, position: int, error: Exception) -> RunError:
    rule = f"line {position + 1} of the search log {log} is damaged"
    return RunError(rule, repr(error), "remove the log to search anew")
