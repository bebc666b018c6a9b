"""Making sequences with trained networks, each way one jitted loop."""
