"""A text to learn by heart, character by character: what the config's sections `data`, `model` and `loss` ask for."""

import functools
import zlib

import numpy as np
from jax.sharding import Mesh
from ml_collections import ConfigDict, FrozenConfigDict

from canon import losses, models
from canon.data import text, text_pipeline
from canon.data.text import Vocabulary
from canon.training import language_model, workload
from canon.training.language_model import LanguageModel
from canon.training.workload import Workload

# What the section `data` has for texts; the rest is for images, and must be left alone.
_FIELDS = (
    "source", "data_dir", "train_split", "validation_split", "test_split", "placement",
    "text", "chunk", "hand_on_carry",
)  # fmt: skip


def create(config: ConfigDict, mesh: Mesh, watch_activity: bool) -> Workload:
    """The workload of an arm. It reads the text.

    Raises:
      UserError: something in the config does not exist or does not fit.
    """
    models.check_kind(config.model.name, "text")
    workload.check_fields(config, _FIELDS, watch_activity, "texts")
    workload.check_cross_entropy(config, "texts")
    data, batch_size = config.data, config.train.batch_size
    vocabulary, tokens = _read(FrozenConfigDict({name: data[name] for name in _FIELDS}))
    model = models.create(**config.model, num_classes=len(vocabulary))
    pipelines = {
        split: text_pipeline.create(of_split, batch_size if split == "train" else None, data.chunk, split)
        for split, of_split in tokens.items()
    }
    return Workload(
        task=LanguageModel(model, losses.create(**config.loss, num_classes=len(vocabulary)), data.hand_on_carry),
        pipelines=pipelines,
        preprocess=lambda batch, key: batch,
        vocabularies={"characters": vocabulary.characters},
        checksums={split: zlib.crc32(of_split) for split, of_split in tokens.items()},
        derive=language_model.derive,
    )


@functools.lru_cache(maxsize=4)
def _read(data: FrozenConfigDict) -> tuple[Vocabulary, dict[str, np.ndarray]]:
    """The characters that there are, and every split in them."""
    wanted = workload.splits(data)
    texts = {name: text.load(data.source, split, data.data_dir, data.text) for name, split in wanted.items()}
    vocabulary = Vocabulary.of("".join(texts.values()))
    return vocabulary, {name: vocabulary.encode(it, f"the {name} text") for name, it in texts.items()}
