"""The works in PyTorch, as a competent user of PyTorch writes them for a CPU, and with nothing of canon.

Convolutional networks in `channels_last`, which is the quicker layout; `nn.LSTM` over whole chunks; PyTorch's own
fused optimizers; `zero_grad(set_to_none=True)`; `inference_mode` where nothing is learned; as many threads as cores.
Eager, as most users run it: `torch.compile` needs a C++ compiler, and minutes. The C library is left as it is.
"""

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from benchmarks import side, torch_networks, work


def mlp() -> nn.Module:
    first, second = work.MLP_HIDDEN
    layers = [nn.Flatten(), nn.Linear(28 * 28, first), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers, nn.Linear(first, second), nn.ReLU(inplace=True), nn.Linear(second, 10))


NETWORKS = {
    "mlp": mlp,
    "lenet5": torch_networks.lenet5_modern,
    "alexnet_fig1": torch_networks.alexnet_fig1,
    "resnet20": lambda: torch_networks.cifar_resnet(20),
    "resnet50": lambda: torch_networks.resnet(50),
}


def image_step(name: str) -> side.Run:
    """A training step of an image classifier."""
    images = work.IMAGES[name]
    height, width, channels = images.shape
    model = NETWORKS[name]().train().to(memory_format=torch.channels_last)
    x = torch.randn(images.batch, channels, height, width).to(memory_format=torch.channels_last)
    y = torch.randint(images.classes, (images.batch,))
    optimizer = torch.optim.SGD(
        model.parameters(), lr=work.LEARNING_RATE, momentum=work.MOMENTUM, weight_decay=work.WEIGHT_DECAY, fused=True
    )

    def run(steps: int) -> None:
        for _ in range(steps):
            optimizer.zero_grad(set_to_none=True)
            functional.cross_entropy(model(x), y).backward()
            optimizer.step()

    return run


class CharRNN(nn.Module):
    """Two LSTM layers over one-hot characters, and a linear layer."""

    def __init__(self, units: int):
        super().__init__()
        self.lstm = nn.LSTM(work.SYMBOLS, units, work.LAYERS, batch_first=True)
        self.logits = nn.Linear(units, work.SYMBOLS)

    def forward(self, tokens, carry=None):
        outputs, carry = self.lstm(functional.one_hot(tokens, work.SYMBOLS).float(), carry)
        return self.logits(outputs), carry


def text_step(units: int) -> side.Run:
    """A training step of a character model, which goes on from the carry of the step before."""
    model = CharRNN(units)
    optimizer = torch.optim.Adam(model.parameters(), lr=work.TEXT_RATE, fused=True)
    tokens = torch.randint(work.SYMBOLS, (work.ROWS, work.CHUNK + 1))
    x, y = tokens[:, :-1], tokens[:, 1:]
    carry = None

    def run(steps: int) -> None:
        nonlocal carry
        for _ in range(steps):
            optimizer.zero_grad(set_to_none=True)
            logits, carry = model(x, carry)
            carry = tuple(a.detach() for a in carry)
            functional.cross_entropy(logits.flatten(0, 1), y.flatten()).backward()
            nn.utils.clip_grad_norm_(model.parameters(), work.CLIP)
            optimizer.step()

    return run


class Seq2Seq(nn.Module):
    """An encoder whose last carry is the decoder's first, with an embedding for each language."""

    def __init__(self, pairs: work.Pairs):
        super().__init__()
        self.source = nn.Embedding(pairs.source_words, pairs.units)
        self.target = nn.Embedding(pairs.target_words, pairs.units)
        self.encoder = nn.LSTM(pairs.units, pairs.units, pairs.layers, batch_first=True)
        self.decoder = nn.LSTM(pairs.units, pairs.units, pairs.layers, batch_first=True)
        self.logits = nn.Linear(pairs.units, pairs.target_words)

    def forward(self, source, lengths, tokens):
        packed = nn.utils.rnn.pack_padded_sequence(self.source(source), lengths, batch_first=True, enforce_sorted=False)
        outputs, _ = self.decoder(self.target(tokens), self.encoder(packed)[1])
        return self.logits(outputs)


def seq2seq_step() -> side.Run:
    """A training step of sequence to sequence."""
    pairs = work.PAIRS
    model = Seq2Seq(pairs)
    optimizer = torch.optim.Adam(model.parameters(), lr=work.TEXT_RATE, fused=True)
    source = torch.randint(pairs.source_words, (pairs.batch, pairs.source_length))
    lengths = torch.full((pairs.batch,), pairs.source_length)
    target = torch.randint(pairs.target_words, (pairs.batch, pairs.target_length + 1))
    x, y = target[:, :-1], target[:, 1:]

    def run(steps: int) -> None:
        for _ in range(steps):
            optimizer.zero_grad(set_to_none=True)
            functional.cross_entropy(model(source, lengths, x).flatten(0, 1), y.flatten()).backward()
            nn.utils.clip_grad_norm_(model.parameters(), work.CLIP)
            optimizer.step()

    return run


def sample() -> side.Run:
    """Draws texts, a character after the other; a step is a text."""
    model = CharRNN(work.SAMPLED_UNITS).eval()

    @torch.inference_mode()
    def run(texts: int) -> None:
        for _ in range(texts):
            token, carry = torch.zeros((1, 1), dtype=torch.long), None
            for _ in range(work.SAMPLED_LENGTH):
                logits, carry = model(token, carry)
                token = torch.multinomial(torch.softmax(logits[:, -1], dim=-1), 1)

    return run


def startup() -> None:
    """From nothing to one step of ResNet-20."""
    image_step("resnet20")(1)


# The default study of `plain_vs_residual`, as its config has it.
ARMS = {"plain-20": (20, "none"), "plain-56": (56, "none"), "residual-20": (20, "A"), "residual-56": (56, "A")}
CLAIMS = (("plain-56", "plain-20", 0.0), ("plain-56", "residual-56", 0.0), ("residual-20", "residual-56", -0.01))
SEEDS, TEST_EXAMPLES = 3, 360
STUDY_BATCH, STUDY_STEPS, STUDY_RATE, EVALUATE_EVERY = 64, 200, 0.03, 20


def study() -> None:
    """Trains every arm with every seed on scikit-learn's digits, and judges the claims by paired t intervals."""
    from scipy import stats
    from sklearn.datasets import load_digits

    digits = load_digits()
    order = np.random.default_rng(0).permutation(len(digits.target))
    x = torch.from_numpy(digits.images[order].astype(np.float32) / 16)[:, None].to(memory_format=torch.channels_last)
    y = torch.from_numpy(digits.target[order])
    splits = {"test": (x[:TEST_EXAMPLES], y[:TEST_EXAMPLES]), "train": (x[TEST_EXAMPLES:], y[TEST_EXAMPLES:])}
    errors = {arm: [train(*arm_of, splits, seed) for seed in range(SEEDS)] for arm, arm_of in ARMS.items()}
    for higher, lower, threshold in CLAIMS:
        differences = np.subtract(errors[higher], errors[lower])
        mean, spread = differences.mean(), stats.sem(differences)
        margin = stats.t.ppf(0.975, SEEDS - 1) * spread
        print(f"{higher} minus {lower}: {mean:.4f} ± {margin:.4f}, reproduced: {mean - margin > threshold}", flush=True)


def train(depth: int, shortcut: str, splits: dict, seed: int) -> float:
    """The error on the training set after one run."""
    torch.manual_seed(seed)
    model = torch_networks.cifar_resnet(depth, shortcut=shortcut, channels=1).to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(
        model.parameters(), lr=STUDY_RATE, momentum=work.MOMENTUM, weight_decay=work.WEIGHT_DECAY, fused=True
    )
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, [STUDY_STEPS // 2, STUDY_STEPS * 3 // 4])
    x, y = splits["train"]
    order = torch.randperm(len(x))
    found = {}
    for step in range(1, STUDY_STEPS + 1):
        if len(order) < STUDY_BATCH:
            order = torch.randperm(len(x))
        batch, order = order[:STUDY_BATCH], order[STUDY_BATCH:]
        model.train()
        optimizer.zero_grad(set_to_none=True)
        functional.cross_entropy(model(x[batch]), y[batch]).backward()
        optimizer.step()
        schedule.step()
        if step % EVALUATE_EVERY == 0:  # the training set at the end alone, as the experiment has it
            model.eval()
            with torch.inference_mode():
                now = splits if step == STUDY_STEPS else {"test": splits["test"]}
                found = {name: float((model(a).argmax(1) != b).float().mean()) for name, (a, b) in now.items()}
    print(f"depth {depth}, shortcut {shortcut}, seed {seed}: {found}", flush=True)
    return found["train"]


SIDES = {
    **{name: lambda name=name: image_step(name) for name in work.IMAGES},
    **{name: lambda units=units: text_step(units) for name, units in work.TEXTS.items()},
    "seq2seq": seq2seq_step,
    "sample_1000": sample,
}
WHOLE = {"startup_cold": startup, "startup_warm": startup, "study": study}

if __name__ == "__main__":
    side.main(SIDES, WHOLE, torch.set_num_threads)
