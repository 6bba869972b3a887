"""The playing thread, and the engines that play evaluations."""
