"""Training steps of recurrent character models, and sampling from one, here and in PyTorch, side by side.

    python -m benchmarks.recurrence [NAME ...] [--rounds=10] [--seconds=2]

Both sides train two LSTM layers on the same random characters, 50 rows of 50: one-hot inputs, softmax cross-entropy, a
gradient clipped to a norm of 5, and Adam, in float32 on all cores. PyTorch's side is as its users write it: `nn.LSTM`
over the whole chunk, `clip_grad_norm_`, its own Adam. `sample` draws 1,000 characters one after another, there with
`nn.LSTM` and the same carry; a step is a character. `products` are the matrix products of a training step here, and
nothing else of it, against PyTorch's whole step: no LSTM on XLA's products can have a smaller ratio. How the two
alternate: see `benchmarks.networks`.

PyTorch comes with the extra `torch`: pip install -e '.[torch]'.
"""

import argparse
import os
from collections.abc import Callable

import jax
import numpy as np
from jax import numpy as jnp

from benchmarks import networks
from canon import models, optimizers, schedules
from canon.generation import sampling
from canon.training import parallel
from canon.training.gradient import of_task
from canon.training.language_model import LanguageModel
from canon.training.state import initial_state
from canon.training.step import make_train_step

SYMBOLS, ROWS, CHUNK, LAYERS = 65, 50, 50, 2
LEARNING_RATE, CLIP = 2e-3, 5.0
TRAINED = {"lstm_128": 128, "lstm_512": 512}
SAMPLED = {"sample_512": 512}
PRODUCTS = {"products_128": 128, "products_512": 512}


def canon_step(features: int, tokens: np.ndarray) -> Callable[[int], None]:
    """A function that takes so many training steps here, and waits for the last."""
    task = LanguageModel(models.create("char_rnn", num_classes=SYMBOLS, features=features, layers=LAYERS))
    schedule = schedules.create("constant", steps=1, learning_rate=LEARNING_RATE)
    optimizer = optimizers.create("adam", learning_rate=schedule, clip_norm=CLIP)
    mesh = parallel.data_mesh(1, ROWS)
    batch = {"tokens": tokens[:, :-1], "targets": tokens[:, 1:], "begins": np.zeros(ROWS, bool)}
    batch = jax.device_put(batch, parallel.split(mesh))
    init = parallel.jit_init(lambda seed: initial_state(task, optimizer, batch, seed), mesh)
    step = parallel.jit(
        make_train_step(of_task(task), optimizer, schedule, lambda b, key: b), mesh, batch, donate_state=True
    )
    state = init(jnp.uint32(0))

    def run(steps: int) -> None:
        nonlocal state
        for _ in range(steps):
            state, metrics = step(state, batch)
        jax.block_until_ready((state, metrics))

    return run


def canon_products(features: int) -> Callable[[int], None]:
    """A function that computes so many times the products of a training step, and waits for the last."""
    random, rows = np.random.default_rng(0), ROWS * CHUNK

    def drawn(*shape: int) -> jax.Array:
        return jnp.asarray(random.normal(size=shape), jnp.float32)

    def layer(inputs: int, has_layer_below: bool):
        kernel, recurrent = drawn(inputs, 4 * features), drawn(features, 4 * features)
        x, h, of_gates = drawn(rows, inputs), drawn(rows, features), drawn(CHUNK, ROWS, 4 * features)

        def forward(h, _):  # each step waits for the one before
            return 1e-3 * (h @ recurrent)[:, :features], None

        def backward(one, of_gates):
            return 1e-3 * ((of_gates + one) @ recurrent.T)[0, 0], None

        def products(one: jax.Array) -> list[jax.Array]:
            flat = of_gates.reshape(rows, -1) + one
            found = [(x + one) @ kernel, jax.lax.scan(forward, h[:ROWS] + one, None, CHUNK)[0]]
            found += [jax.lax.scan(backward, one, of_gates)[0], x.T @ flat, h.T @ flat]
            return [*found, flat @ kernel.T] if has_layer_below else found

        return products

    layers = [layer(SYMBOLS, False)] + [layer(features, True) for _ in range(LAYERS - 1)]
    step = jax.jit(lambda one: [products(one) for products in layers])

    def run(steps: int) -> None:
        for _ in range(steps):
            found = step(jnp.float32(0))
        jax.block_until_ready(found)

    return run


def torch_model(features: int):
    """Two LSTM layers over one-hot characters, and a linear layer."""
    import torch

    torch.set_num_threads(os.cpu_count() or 1)

    class CharRNN(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.lstm = torch.nn.LSTM(SYMBOLS, features, LAYERS, batch_first=True)
            self.logits = torch.nn.Linear(features, SYMBOLS)

        def forward(self, tokens, carry=None):
            outputs, carry = self.lstm(torch.nn.functional.one_hot(tokens, SYMBOLS).float(), carry)
            return self.logits(outputs), carry

    return CharRNN()


def torch_step(features: int, tokens: np.ndarray) -> Callable[[int], None]:
    """The same in PyTorch."""
    import torch

    model = torch_model(features)
    optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE)
    x, y = (torch.from_numpy(t.astype(np.int64)) for t in (tokens[:, :-1], tokens[:, 1:]))
    carry = None

    def run(steps: int) -> None:
        nonlocal carry
        for _ in range(steps):
            optimizer.zero_grad(set_to_none=True)
            logits, carry = model(x, carry)
            carry = tuple(a.detach() for a in carry)
            torch.nn.functional.cross_entropy(logits.flatten(0, 1), y.flatten()).backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
            optimizer.step()

    return run


def canon_sample(features: int, length: int) -> Callable[[int], None]:
    """A function that draws so many texts of `length` characters here."""
    model = models.create("char_rnn", num_classes=SYMBOLS, features=features, layers=LAYERS)
    prompt = jnp.zeros((1, 1), jnp.int32)
    variables = model.init(jax.random.key(0), prompt)
    key, zero, one = jax.random.key(1), jnp.int32(0), jnp.float32(1)

    def run(texts: int) -> None:
        for _ in range(texts):
            logits, carry = sampling.read(model, variables, prompt)
            np.asarray(sampling.sample(model, variables, logits, carry, key, zero, one, length)[0])

    return run


def torch_sample(features: int, length: int) -> Callable[[int], None]:
    """The same in PyTorch."""
    import torch

    model = torch_model(features).eval()

    def run(texts: int) -> None:
        with torch.inference_mode():
            for _ in range(texts):
                token, carry = torch.zeros((1, 1), dtype=torch.long), None
                for _ in range(length):
                    logits, carry = model(token, carry)
                    token = torch.multinomial(torch.softmax(logits[:, -1], dim=-1), 1)

    return run


def main() -> int:
    """Prints the table."""
    known = {**TRAINED, **SAMPLED, **PRODUCTS}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(known)} (default: all)")
    parser.add_argument("--rounds", type=int, default=10, help="how often the two alternate")
    parser.add_argument("--seconds", type=float, default=2.0, help="of each turn")
    options = parser.parse_args()
    if wrong := [name for name in options.names if name not in known]:
        parser.error(f"no work is called {wrong[0]!r} (there are: {', '.join(known)})")
    tokens = np.random.default_rng(0).integers(SYMBOLS, size=(ROWS, CHUNK + 1)).astype(np.int32)
    print(networks.HEADER)
    for name in options.names or known:
        if name in TRAINED:
            sides, rows = (canon_step(known[name], tokens), torch_step(known[name], tokens)), ROWS
        elif name in PRODUCTS:
            sides, rows = (canon_products(known[name]), torch_step(known[name], tokens)), ROWS
        else:
            sides, rows = (canon_sample(known[name], 1000), torch_sample(known[name], 1000)), 1
        print(networks.row(name, rows, *networks.compare(*sides, options.rounds, options.seconds)), flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
