"""The names of the orders in which pairs can be asked. The window knows them before it has arranged any."""

OLDEST, RANDOM, UNCERTAIN, ENSEMBLE = "oldest", "random", "uncertain", "ensemble"
BEST_WORST, COVERAGE, DISAGREE = "best_worst", "coverage", "disagree"
STRATEGIES = (OLDEST, RANDOM, UNCERTAIN, ENSEMBLE, BEST_WORST, COVERAGE, DISAGREE)
SCORED = (UNCERTAIN, ENSEMBLE, BEST_WORST, DISAGREE)  # those that need a reward model's scores
