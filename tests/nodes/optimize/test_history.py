import torch

from distill3d.nodes.optimize.history import History


def history(shots):
    made = History(100)
    for step in range(shots):
        made.add_picture(step, torch.zeros(3 * 96, 96, 3))
    return made.picture()


def test_pictures_share_the_width():
    assert history(8).shape == (3 * 128, 1024, 3) and history(8)[:, :1024].max() == 0


def test_the_few_of_a_run_that_ended_early_are_no_larger_than_four_would_be():
    picture = history(1)
    assert picture.shape == (3 * 256, 1024, 3)
    assert picture[:, :256].max() == 0 and picture[:, 256:].min() == 1
