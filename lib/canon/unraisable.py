"""What Python says on standard error of errors that nobody can catch, and which of them nobody needs to see."""

import sys


def drop_closed_loops() -> None:
    """From now on, an error that an event loop is closed is not told of where nobody can catch it.

    Of the arrays that Orbax reads or writes side by side it gives up all when one fails, and raises that. The others
    come back later, to a loop that is closed.
    """
    before = sys.unraisablehook
    if getattr(before, "drops_closed_loops", False):
        return

    def hook(unraisable: "sys.UnraisableHookArgs") -> None:
        if "Event loop is closed" not in str(unraisable.exc_value):
            before(unraisable)

    hook.drops_closed_loops = True
    sys.unraisablehook = hook
