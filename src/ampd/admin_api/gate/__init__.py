"""What every request goes through before it comes to a route: who makes it, how many, from where, how large."""
