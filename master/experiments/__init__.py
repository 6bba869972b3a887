"""An experiment: settings, algorithm, progress, recovery. `centres`, `work` and `wire` may import it."""
