"""Optuna without its log line per trial; the search logs its own progress."""

import optuna

__all__ = ["optuna"]

optuna.logging.set_verbosity(optuna.logging.WARNING)
