import pytest

from distill3d.nodes.models.ldm_layout import unet_config, unet_renaming
from distill3d.nodes.models.ldm_names import ldm_state
from distill3d.nodes.train.multi_view_trainer import build_unet


@pytest.mark.parametrize("channels,attention", [((32, 64), (True, True)), ((32, 64, 96), (False, True, True))])
def test_names_and_sizes_are_what_loaders_read_back(channels, attention):
    unet = build_unet(channels, attention, 4, 8, "Test")
    own = unet.state_dict()
    named = ldm_state(own, 1)
    assert len(named) == len(own) and not any("{" in name for name in named)
    back = unet_renaming(1)
    assert {back(name): tensor.shape for name, tensor in named.items()} == {
        key: tensor.shape for key, tensor in own.items()}
    config = unet_config({name: tuple(tensor.shape) for name, tensor in named.items()}, "Test")
    for key, value in config.items():
        found = unet.config[key]
        assert found == value or (found,) * len(channels) == value, key


def test_weights_that_the_layout_lacks_are_not_renamed():
    with pytest.raises(KeyError, match="text_proj"):
        ldm_state({"text_proj.weight": 0}, 1)
