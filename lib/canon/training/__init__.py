"""From a model and a loss to a trained run: task, state, step, parallel, loop, checkpoint, metrics."""
