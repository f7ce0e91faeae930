"""Optuna without its own report of every trial: what there is to say, the search says."""

import optuna

__all__ = ["optuna"]

optuna.logging.set_verbosity(optuna.logging.WARNING)
