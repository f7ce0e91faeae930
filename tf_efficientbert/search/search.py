"""The search job."""

import json
import logging

from tf_efficientbert.errors import UserError
from tf_efficientbert.search.inputs import read_inputs
from tf_efficientbert.search.oom_guard import OomGuard
from tf_efficientbert.search.options import SearchOptions
from tf_efficientbert.search.space import SpaceError
from tf_efficientbert.search.stage_budgets import check_budgets, search_budget
from tf_efficientbert.search.stage_sequence import StageSequence
from tf_efficientbert.search.stages import read_stages
from tf_efficientbert.search.study import STUDY, Study
from tf_efficientbert.storage import write_file
from tf_efficientbert.training.run_directory import RunDirectory, open_run_directory

__all__ = ["ARCHITECTURE", "search"]

_log = logging.getLogger(__name__)

ARCHITECTURE = "architecture.json"  # the result


def search(options: SearchOptions) -> dict:
    """Searches the feed-forward cells; after stage 3, writes the best to architecture.json.

    Dong et al. 2021, section 3.4. All candidates and their scores are in `output_dir`/study.journal
    (see `Study`). Scores come from held-out examples of the training set.

    Returns: {"architecture": as in architecture.json, "parameters": int, "score": float,
        "metric": str, "candidates": {stage: count}, "seconds": float} of the last stage that ran. A
        finished search returns its result again; an interrupted one resumes.

    Raises:
        SearchError: three candidates in a row failed (a new run resumes after them), or all
            candidates of a stage failed.
        UserError: a flag or file is invalid.
    """
    with open_run_directory(options) as run:
        if run.result:
            return run.result
        guard = OomGuard(run.path / "running.json")
        if guard.kills:
            _log.warning(
                "the kernel's out-of-memory killer was active while this search last ran. If it "
                "ends the search again, use another --output_dir with a smaller --group_size, "
                "--teacher_memory_gb or batch_size of the stages"
            )
        try:
            with guard:
                inputs = read_inputs(options)
                supernet, stages = inputs.context.supernet, read_stages(options.stages)
                budget = search_budget(
                    options.min_parameters,
                    options.max_parameters,
                    supernet.architecture,
                    (supernet.fit_size, supernet.vocabulary_size, supernet.max_positions),
                )
                check_budgets(stages, supernet.architecture, budget)
                sequence = StageSequence(
                    stages=stages,
                    sampler=options.sampler,
                    budget=budget,
                    context=inputs.context,
                    shared_supernet=inputs.shared_supernet,
                    tokenizer=inputs.tokenizer,
                    study=_open_study(options.from_stage, run),
                    run_directory=run,
                )
                best = sequence.run(options.from_stage, options.to_stage)
        except SpaceError as error:
            raise UserError(f"--stages={options.stages}: {error}") from error
        result = {
            "architecture": json.loads(best.architecture.to_json()),
            "parameters": best.parameters,
            "score": best.score,
            "metric": sequence.metric,
            "candidates": sequence.counts,
        }
        if options.to_stage < 3:
            run.save_clock()
            return {**result, "seconds": run.seconds}
        write_file(run.path / ARCHITECTURE, best.architecture.to_json().encode("utf-8"))
        return run.finish(result)


def _open_study(from_stage: int, run: RunDirectory) -> Study:
    """Opens the study in the run's folder; raises UserError if an earlier stage is missing."""
    journal = run.path / STUDY
    if from_stage > 1 and not journal.exists():
        raise UserError(f"--from_stage={from_stage}: no stage has been run in {run.path} yet")
    study = Study(journal)
    if run.has_checkpointed and not study.stages:
        raise UserError(
            f"{journal} is empty, but a search has run here: restore it from a copy, or delete "
            f"{run.path} to start over"
        )
    return study
