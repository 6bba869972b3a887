"""What is asked, waiting and lent, and the fleet that plays it. `wire` and `server` import it."""
