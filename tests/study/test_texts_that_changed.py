"""All seeds of an arm learn the same: a file that changed between two launches is said, and nothing is trained."""

import numpy as np
import pytest
from ml_collections import ConfigDict
from tests.study.test_runner import Watcher

from canon.data import peptides
from canon.errors import UserError
from canon.study import plan, runner
from canon.training import peptide_workload, translation_workload


@pytest.fixture
def table(tiny_config, tmp_path):
    """The config of a study of peptides in a table, and what writes the table."""
    path = tmp_path / "table.txt"

    def write(seed):
        random = np.random.default_rng(seed)
        letters = list(peptides.AMINO_ACIDS)
        lines = [f"A\t{''.join(random.choice(letters, 9))}\t{10 ** random.uniform(0, 5):.1f}" for _ in range(200)]
        path.write_text("mhc\tsequence\tmeas\n" + "\n".join(lines))
        peptide_workload._read.cache_clear()

    write(0)
    with tiny_config.unlocked():
        tiny_config.task, tiny_config.seeds = "peptide_binding", 1
        tiny_config.model = ConfigDict({"name": "peptide_matrix"})
        tiny_config.loss = ConfigDict({"name": "binary_cross_entropy"})
        tiny_config.data.update(source="affinities", text=str(path), protein="A")
    return plan.complete(tiny_config), write


@pytest.fixture
def sentences(tiny_config, tmp_path):
    """The same of a translator."""

    def write(seed):
        for split in ("train", "test"):
            for language in "ab":
                lines = (f"{language}{i} {language}{i + seed}" for i in range(20))
                (tmp_path / f"{split}.{language}").write_text("\n".join(lines))
        translation_workload._split.cache_clear()

    write(0)
    with tiny_config.unlocked():
        tiny_config.task, tiny_config.seeds = "translation", 1
        tiny_config.model = ConfigDict({"name": "seq2seq", "features": 4, "embedding": 4})
        tiny_config.data.update(
            source="parallel_files", data_dir=str(tmp_path), source_language="a", target_language="b"
        )
        tiny_config.train.update(batch_size=8)
    return plan.complete(tiny_config), write


@pytest.mark.parametrize("kind", ["table", "sentences"])
def test_a_second_seed_is_not_trained_on_other_data_than_the_first(kind, tmp_path, request):
    config, write = request.getfixturevalue(kind)
    folder = tmp_path / "w"

    def launch():
        planned = runner.planned(config, folder, config.arms)
        runner.run(planned, runner.Programs(config, folder).build, Watcher())

    launch()
    with config.unlocked():
        config.seeds = 2
    write(1)
    with pytest.raises(UserError, match=r"seed-0 learned another text: the test text is not what the run began with"):
        launch()
    assert not (folder / "only" / "seed-1").exists()
    write(0)
    launch()
    assert (folder / "only" / "seed-1" / "result.json").exists()
