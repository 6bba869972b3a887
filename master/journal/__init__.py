"""What is acknowledged is kept. The only room that knows Redis; every room above may import it."""
