"""What a network is, and what it does, seen from outside: nothing that trains imports this."""
