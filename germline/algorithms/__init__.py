"""Pure ask and tell, deterministic, numpy only: usable without a service, see docs/algorithms.md.

The genetic algorithm, random search (no parents), novelty and MAP-Elites are individuals as lines of seeds;
:class:`.vectors.Vectors` builds their weights. EGGROLL's books are :mod:`.eggroll`.
"""
