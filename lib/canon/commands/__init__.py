"""One file per verb of `launch.py`: what a user types, turned into calls. Each has `main(arguments, experiments)`."""
