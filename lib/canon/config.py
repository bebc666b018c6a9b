"""The complete default config, locked: every field, its type and its meaning.

An experiment file starts from `default()`, changes what it needs and returns it. The sections `model`, `optimizer`,
`schedule` and `loss` name an entry of a catalog and hold its arguments; which arguments there are, the entry says, and
`canon.study.plan.complete` fills in those that the file leaves out.

This file imports no jax, so that experiments can be listed without it.
"""

import difflib
import json
import math
from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict

from canon.errors import UserError

# What these hold is checked by `canon.study.plan`, which knows the catalogs; the file may set any key in them.
OPEN_SECTIONS = ("model", "optimizer", "schedule", "loss", "arms", "candidates", "claims")


def default() -> ConfigDict:
    """The default of every field, locked: setting a field that is not here raises `AttributeError`."""
    config = ConfigDict()

    # What the experiment is, for `list` and for the report.
    config.title = ""  # the claim as a question, in one line
    config.paper = ""  # authors, year, title, and the figure or table
    config.cost = ""  # minutes and hardware, roughly
    config.arguments = ("",)  # what can stand after the colon in NAME:ARGUMENT; the first is the default
    config.protocol = ""  # the argument whose config is the paper's own protocol; deviations are counted from it
    config.deviations = ("",)[:0]  # deviations from the paper that no field shows, a sentence each

    config.seeds = 3  # runs of each arm; they use the seeds 0, 1, ..., seeds - 1

    # What is learned, of what: see `canon.training.program.WORKLOADS`
    config.task = "classification"

    # An entry of a catalog and any of its arguments; those that are not given here take the entry's own defaults.
    config.model = ConfigDict({"name": "mlp"})
    config.optimizer = ConfigDict({"name": "momentum"})
    config.schedule = ConfigDict({"name": "constant"})
    config.loss = ConfigDict({"name": "softmax_cross_entropy"})

    config.data = ConfigDict()
    config.data.source = "digits"  # `digits`, or the official name of a TFDS image-classification set
    config.data.data_dir = ""  # where TFDS finds prepared sets; empty: TFDS_DATA_DIR, or else TFDS's own default
    config.data.train_split = "train"
    config.data.validation_split = (
        ""  # a split of its own; or else the next three hold examples of the training split out
    )
    config.data.test_split = "test"  # empty: none is looked at
    config.data.validation_examples = 0  # held out of the training split, the same ones for every seed
    config.data.folds = 0  # or the training split is cut into so many parts, of which one is held out
    config.data.fold = 0  # which
    config.data.placement = "auto"  # `device` (resident), `stream` (read by Grain), `auto` (resident where it fits)
    # `mean_image` (per pixel, subtracted), `standardize` (per channel), `imagenet` (its published statistics), `none`
    config.data.normalize = "mean_image"
    config.data.image_size = 0  # pixels of a side; 0: as stored
    config.data.crop = "none"  # `scale_jitter` or `random_resized`, which images of different sizes need; `none`: whole
    config.data.crop_scales = (256, 480)  # `scale_jitter`: the least and greatest shorter side before the crop
    config.data.evaluation_scale = 256  # the shorter side before an evaluation's crop
    # 1: the centre; 10: four corners, centre and their mirror images. train.evaluation_batch_size counts each of them.
    config.data.evaluation_crops = 1

    # For texts. There `source` is `python_source`, or a TFDS set such as `tiny_shakespeare`.
    config.data.text = ""  # the path of a text in UTF-8, in place of `source`; of peptides, of a table
    config.data.chunk = 50  # characters through which gradients go back
    config.data.hand_on_carry = (
        True  # what a network carries goes on from chunk to chunk; else each begins from nothing
    )

    # For sequences that are made: there `source` is one of `canon.data.generated.TASKS`, or of
    # `canon.data.pairs.LANGUAGES` for pairs of them.
    config.data.length = 50  # symbols of each, or at most
    config.data.examples = 2_000  # that an evaluation sees; but for pairs, training sees none twice

    # For pairs of sentences. There `source` can be `parallel_files`: DATA_DIR/SPLIT.LANGUAGE, a sentence a line.
    config.data.source_language = "en"
    config.data.target_language = "de"
    config.data.reverse_source = False  # give sources back to front
    config.data.training_pairs = 0  # how many of the training split, from the first; 0: all
    config.data.copied_targets = 0.0  # so many targets are added as their own sources, as a share of the pairs
    config.data.autoencoded_sources = 0.0  # so many sources as their own targets
    config.data.least_count = 1  # a word that training sees less often is <unk>
    config.data.longest = 50  # words and signs of a sentence in a file at most
    config.data.bucket = 10  # by which the lengths of sentences in one batch may differ

    # For peptides. There `source` is `motif`, or `affinities` with a table of measurements in `text`.
    config.data.protein = "HLA-A*02:01"  # whose binding is predicted

    # What happens to training images, in this order: see `canon.data.augment`. 0 leaves it out.
    config.augment = ConfigDict()
    config.augment.rotation = 0.0  # degrees at most, either way, in one resampling with the next three
    config.augment.scale = 0.0  # each side grows or shrinks by this share at most
    config.augment.shear = 0.0  # pixels at most by which a row moves for each row above it
    config.augment.translation = 0.0  # pixels at most, along each axis
    config.augment.scale_crop = 1.0  # the largest factor by which an image is enlarged before the old size is cut out
    config.augment.brightness = 0.0  # added at most, either way, to values of 0 to 1
    config.augment.contrast = 0.0  # the distance from the image's mean changes by this share at most
    config.augment.colour = 0.0  # the distance from grey changes by this share at most
    config.augment.lighting = 0.0  # deviation of the multiples of the colours' principal components
    config.augment.pad_crop = 0  # pixels of padding on each side, from which a crop of the old size is drawn
    config.augment.flip = False  # mirror half of the images, left to right
    config.augment.erase = 0.0  # probability that a rectangle of an image is covered by noise
    config.augment.mixup = 0.0  # α of the distribution of the weights by which two images are mixed

    config.train = ConfigDict()
    config.train.batch_size = 128
    config.train.steps = 1000
    config.train.log_every = 100  # steps between two lines of metrics
    config.train.evaluate_every = 1000  # steps between two evaluations on validation and test
    config.train.checkpoint_every = 1000  # steps between two checkpoints
    config.train.keep_checkpoints = 2  # the latest ones; the one before is for when the latest is damaged
    config.train.keep_best = True  # also the one with the lowest validation error, where there is a validation split
    config.train.evaluation_batch_size = 500
    config.train.beams = 1  # of the search by which an evaluation decodes sequences; 1: greedily
    # A share of errors: `steps_to_target` is the first recorded step whose mini-batch error, a mean since the line
    # before, is no larger; 0 for none.
    config.train.target_error = 0.0
    config.train.stop_at_target = False  # end the run there
    config.train.give_up_after = 0  # with `stop_at_target`: end the run at this step all the same; 0: never
    config.train.watch = (
        ""  # what else to record: `activity` of nonlinearities, `gradients` of each layer; or both: a,b
    )

    config.parallel = ConfigDict()
    config.parallel.devices = 1  # the batch is split evenly over them; 0: all there are
    config.parallel.step = "jit"  # one program over all of them; or `pmap`: the step on each, which draws its own noise
    config.parallel.micro_batches = 1  # into which a batch is cut, one after another, in the memory of one
    # The runs of an arm: `sequential`, one after another; or all seeds step by step: `concurrent`, each for itself, at
    # the same time (on several devices, and in jobs of a cluster, one after another); `unroll`, in one program (both to
    # the same bits); `vmap`, in one with an axis more for all arrays (the same up to rounding); `auto` measures.
    config.parallel.seeds = "sequential"
    config.parallel.deterministic = False  # on a GPU: training takes the same bits every time, for some of its speed
    # What batch normalisation sees: `global`, the whole (micro-)batch, or `device`, each device's own part of it.
    config.parallel.batch_statistics = "global"

    config.figure = ConfigDict()
    config.figure.panels = (("",),)[:0]  # for each panel of the figure, its arms; empty: one panel with all of them
    config.figure.metric = "error"  # what its curves are of; see `canon.training.measures`
    config.figure.error_limit = 100.0  # top of the error axis, in %; 100 while a curve ends above it

    config.arms = ConfigDict()  # name -> the fields in which this arm differs
    # name -> fields: each arm takes the candidate that is best in trials, before its runs begin; see `canon.sweep`
    config.candidates = ConfigDict()
    config.selection = ConfigDict()
    config.selection.folds = 0  # trials of each candidate, by cross-validation; 0: one, on data.validation_examples
    config.selection.metric = "validation/error"  # the candidate whose trials have the best mean is taken
    config.claims = ConfigDict()  # name -> claim(...)
    config.lock()
    for section in OPEN_SECTIONS:
        config[section].unlock()
    return config


def claim(
    *,
    statement: str,
    higher: str,
    lower: str,
    metric: str = "train/error",
    tolerance: float = 0.0,
    ratio: bool = False,
    published: str = "",
    source: str = "",
) -> ConfigDict:
    """A claim: the arm `higher` has a larger `metric` than the arm `lower`.

    Args:
      statement: the claim in words.
      higher: the arm whose metric the claim says is larger.
      lower: the arm whose metric it says is smaller.
      metric: of a run: `train/error`, `test/loss` and the like are over whole splits at the end; `steps_to_target` is
        when the training error first was `train.target_error` (the length of the run, where it never was); `batch/NAME`
        is anything that was recorded at the last step, and `first/NAME` at the first recorded one.
      tolerance: at 0 the claim is metric(higher) - metric(lower) > 0. Above 0 it is "`lower` is not worse": the
        difference is larger than -tolerance, in the metric's own unit (0.01 is one point of an error rate).
      ratio: compare by the ratio of the two metrics in place of their difference, in the geometric mean.
      published: the numbers of the paper.
      source: where the paper has them.
    """
    return ConfigDict(
        {
            "statement": statement,
            "metric": metric,
            "higher": higher,
            "lower": lower,
            "tolerance": float(tolerance),
            "ratio": ratio,
            "published": published,
            "source": source,
        }
    )


def check(config: ConfigDict) -> None:
    """Raises `UserError` unless `config` has the fields of the default and no others, with values of their types."""
    complete = default()
    _check_section(config, complete, "", complete)


def _check_section(given: ConfigDict, expected: ConfigDict, prefix: str, complete: ConfigDict) -> None:
    for key in expected:
        if key not in given:
            raise UserError(f"config lacks the field {prefix + key!r}; start from canon.config.default()")
    for key in given:
        if key not in expected:
            raise UserError(f"config has no field {prefix + key!r}{nearest_field(prefix + key, complete)}")
        if isinstance(expected[key], ConfigDict) != isinstance(given[key], ConfigDict):
            raise UserError(
                f"config.{prefix}{key} {'is' if isinstance(expected[key], ConfigDict) else 'is not'} a section"
            )
        if not isinstance(expected[key], ConfigDict):
            check_value(f"config.{prefix}{key}", given[key], expected[key])
        elif not (prefix == "" and key in OPEN_SECTIONS):
            _check_section(given[key], expected[key], f"{prefix}{key}.", complete)


def check_value(name: str, value: Any, example: Any) -> Any:
    """`value`, if it is of the type that `example` has; an int passes for a float, and is made one.

    Raises:
      UserError: it is of another type, or not finite; the message begins with `name`.
    """
    if type(example) is float and type(value) is int:
        value = float(value)
    wrong = type(value) is not type(example) or (type(value) is float and not math.isfinite(value))
    if not wrong and type(value) is tuple and example:
        try:
            return tuple(check_value(name, element, example[0]) for element in value)
        except UserError:
            wrong = True
    if wrong:
        raise UserError(f"{name} takes {describe(type(example), example)}, not {value!r}")
    return value


def flatten(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """The leaves of a nested config by dotted key."""
    leaves = {}
    for key in config:
        value = config[key]
        if isinstance(value, Mapping | ConfigDict):
            leaves |= flatten(value, f"{prefix}{key}.")
        else:
            leaves[f"{prefix}{key}"] = value
    return leaves


def nearest_field(key: str, config: ConfigDict) -> str:
    """The words `; did you mean X?` with the dotted key nearest to `key`, by the whole of it or by its last part."""
    spellings = {}
    for known in flatten(config):
        spellings.setdefault(known.rsplit(".", 1)[-1], known)
        spellings[known] = known
    nearest = difflib.get_close_matches(key, spellings, n=1) or difflib.get_close_matches(
        key.rsplit(".", 1)[-1], spellings, n=1
    )
    return f"; did you mean {spellings[nearest[0]]}?" if nearest else ""


def describe(kind: type, current: Any) -> str:
    """What a field of type `kind`, and now with the value `current`, takes, in words."""
    if kind is tuple:
        of = {int: " of whole numbers", float: " of numbers", str: " of texts", tuple: " of tuples"}
        return f"a tuple{of.get(type(current[0]), '') if current else ''}, such as {current!r}"
    return {int: "a whole number", float: "a number", bool: "true or false", str: "text"}.get(kind, kind.__name__)


def to_json(config: ConfigDict) -> str:
    """The config as JSON text with sorted keys; `from_json` is its inverse."""
    return json.dumps(config.to_dict(), indent=2, sort_keys=True)


def from_json(text: str) -> ConfigDict:
    """The config that `to_json` wrote, locked. JSON has no tuples: its lists come back as tuples."""

    def with_tuples(value):
        if isinstance(value, dict):
            return {k: with_tuples(v) for k, v in value.items()}
        return tuple(with_tuples(v) for v in value) if isinstance(value, list) else value

    return ConfigDict(with_tuples(json.loads(text))).lock()
