import numpy as np
from ml_collections import ConfigDict
from PIL import Image

from canon.data import sources
from canon.study import contact_sheet, plan


def arm(config, **augment):
    return plan.merge(config, ConfigDict({"augment": augment}))


def test_the_first_column_is_the_image_and_the_others_are_draws_of_it(tiny_config):
    drawn = contact_sheet.draw(arm(tiny_config, pad_crop=2), images=3, draws=5, seed=0)
    assert drawn.shape == (3, 6, 8, 8, 1)
    train = sources.load("digits", "train")
    for row, index in zip(drawn, (0, len(train) // 3, 2 * len(train) // 3), strict=True):
        np.testing.assert_allclose(row[0], train.images[index] / 255, atol=1e-6)
    assert (drawn[:, 1:] != drawn[:, :1]).any()
    np.testing.assert_array_equal(drawn, contact_sheet.draw(arm(tiny_config, pad_crop=2), 3, 5, seed=0))
    assert (drawn != contact_sheet.draw(arm(tiny_config, pad_crop=2), 3, 5, seed=1)).any()


def test_a_single_image_is_mixed_with_others(tiny_config):
    drawn = contact_sheet.draw(arm(tiny_config, mixup=1.0), images=1, draws=8, seed=0)
    assert np.abs(drawn[:, 1:] - drawn[:, :1]).max() > 0.1


def test_without_augmentation_every_draw_is_the_image(tiny_config):
    drawn = contact_sheet.draw(arm(tiny_config), images=2, draws=3, seed=0)
    np.testing.assert_array_equal(drawn, drawn[:, :1].repeat(4, axis=1))


def test_arms_that_treat_their_images_alike_share_a_block(tiny_config, tmp_path):
    arms = {"a": arm(tiny_config), "b": arm(tiny_config, flip=True), "c": arm(tiny_config)}
    titles = contact_sheet.write(arms, tmp_path / "sheet.png", images=1, draws=2, seed=0)
    assert titles == ["a, c", "b"]
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert min(sheet.size) > 100
