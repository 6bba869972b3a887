"""The stream to the master: connects, greets, obeys, tells. Only `worker.loop` imports it."""
