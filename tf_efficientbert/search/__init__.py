"""The three-stage search of the feed-forward cells; `search.search` is the way in."""

import optuna

# It would report every trial of its own; what there is to say, the search says.
optuna.logging.set_verbosity(optuna.logging.WARNING)
