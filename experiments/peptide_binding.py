"""Networks predict which peptides a protein of the immune system binds better than a matrix of scores does.

Peters et al. 2006, "A community resource benchmarking predictions of peptide binding to MHC-I molecules".

    launch.py run peptide_binding                  peptides that are made, with a motif of two anchors
    launch.py run peptide_binding:affinities --config.data.text=FILE      measured ones, of HLA-A*02:01
    ... --config.data.protein="HLA-B*07:02" --workdir=runs/b0702          of another protein

FILE has a line for each measurement, and columns `mhc`, `sequence` and `meas` (nM) between tabs, as the benchmark of
Kim et al. 2014, "Dataset size and composition impact the reliability of performance benchmarks for peptide-MHC binding
predictions".
"""

from ml_collections import ConfigDict

from canon import config as canon_config
from canon.errors import UserError

ARGUMENTS = ("motif", "affinities")


def get_config(argument="motif"):
    if argument not in ARGUMENTS:
        raise UserError(f"no argument {argument!r}; there are {', '.join(ARGUMENTS)}")
    config = canon_config.default()
    config.title = "Does a recurrent network predict better than a matrix which peptides a protein binds?"
    config.paper = "Peters et al. 2006, A community resource benchmarking predictions of peptide binding to MHC-I"
    config.cost = "2 minutes on two CPU cores"
    config.arguments = ARGUMENTS
    config.seeds = 5
    config.task = "peptide_binding"
    config.model.update(name="peptide_classifier", dropout_rate=0.3)
    config.optimizer.update(name="adam", clip_norm=5.0)
    config.schedule.update(name="cosine", learning_rate=0.003)
    config.loss.update(name="binary_cross_entropy")
    config.deviations = (
        "The network is a bidirectional LSTM, which reads peptides of any length, in place of one for nine residues.",
        "Peptides are split once, by chance, 70% to train and 20% to test, in place of five-fold cross-validation.",
    )
    config.data.source = argument
    if argument == "motif":
        config.data.examples = 6_000
        config.deviations += (
            "The peptides, of 8 to 11 residues, are made: of two anchors each counts for more where the other fits.",
        )
    else:
        config.deviations += ("Measurements of Kim et al. 2014, of one protein; bounds count as values.",)
    config.data.validation_split = "validation"
    config.train.batch_size = 64
    config.train.steps = 800
    if argument == "affinities":  # fewer peptides, which are soon fitted: chosen on validation
        config.model.dropout_rate, config.train.steps = 0.6, 300
    config.train.log_every = 20
    config.train.evaluate_every = 100
    config.train.checkpoint_every = 100
    config.arms = ConfigDict(
        {
            "matrix": {"model": {"name": "peptide_matrix"}, "schedule": {"learning_rate": 0.03}},
            "bilstm": {},
            "bilstm-shared": {"model": {"per_position": False}},
        }
    )
    abstract = "Peters et al. 2006, abstract"
    config.claims = ConfigDict(
        {
            metric: canon_config.claim(
                statement=f"A bidirectional LSTM has a higher {name} than a matrix of scores.",
                higher="bilstm",
                lower="matrix",
                metric=f"test/{metric}",
                published="the ordering: in general a neural network above two matrix methods",
                source=abstract,
            )
            for metric, name in (("auc", "AUC"), ("spearman", "rank correlation"))
        }
    )
    return config
