import torch

from distill3d.nodes.core.rng import Streams, stream


def draw(generator, count=8):
    return torch.rand(count, generator=generator)


def test_the_same_names_give_the_same_numbers():
    assert torch.equal(draw(stream(3, 5, "noise")), draw(stream(3, 5, "noise")))
    assert torch.equal(draw(Streams(3, 5)("noise")), draw(stream(3, 5, "noise")))


def test_the_seeds_of_streams_stay_what_they_are():
    """A change here changes every result that anyone can reproduce."""
    assert stream(0, 0, "cameras").initial_seed() == 5024684537270341410
    assert stream(2, 7, "a/noise").initial_seed() == 1535647077904074589


def test_seed_step_and_name_each_matter():
    drawn = [draw(stream(*key)) for key in [(0, 0, "a"), (1, 0, "a"), (0, 1, "a"), (0, 0, "b"), (10, 0, "a"),
                                            (1, 1, "a")]]
    for i, first in enumerate(drawn):
        assert all(not torch.equal(first, other) for other in drawn[i + 1:])


def test_large_and_negative_seeds_are_taken():
    assert not torch.equal(draw(stream(2**80, -1, "a")), draw(stream(-1, 2**80, "a")))


def test_a_stream_is_continued_within_its_step():
    streams = Streams(0, 0)
    both = torch.cat([draw(streams("a")), draw(streams("a"))])
    assert torch.equal(both, draw(stream(0, 0, "a"), 16))


def test_streams_do_not_disturb_each_other():
    streams = Streams(0, 0)
    draw(streams("b"))
    assert torch.equal(draw(streams("a")), draw(Streams(0, 0)("a")))


def test_within_gives_streams_of_their_own():
    streams = Streams(0, 0)
    inner = streams.within("second")
    assert not torch.equal(draw(inner("a")), draw(streams("a")))
    assert torch.equal(draw(streams.within("second")("a")), draw(stream(0, 0, "second/a")))


def test_the_global_generator_is_left_alone():
    torch.manual_seed(0)
    expected = torch.rand(4)
    torch.manual_seed(0)
    draw(Streams(7, 7)("a"))
    assert torch.equal(torch.rand(4), expected)
