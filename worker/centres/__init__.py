"""An evolution strategy's centre on this machine, and the members around it."""
