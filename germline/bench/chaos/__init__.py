"""Chaos: two masters, a store and real workers, and everything that can happen to them, again and again.

Run ``python -m germline.bench.chaos --minutes 20``. Processes are killed, ended, stopped for up to a minute
and replaced; the store is restarted; between all of them a proxy delays, drops, cuts and refuses, and where
this machine allows it, each process has a network of its own whose cable is pulled. Workers play two
experiments in whole numbers, and write down what masters acknowledged. In the end an auditor compares that
with the journal, entry by entry as the store's own file has them: nothing may be lost, doubled or altered,
and the evolution strategy's centre must be that of the same run left in peace.
"""
