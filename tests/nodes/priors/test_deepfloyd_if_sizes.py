"""The published networks, on no device: what our configuration reading and memory talk rest on."""
import pytest
import torch


def if_unet(width):
    """The UNet of IF stage I, whose sizes differ in the width of the first level only."""
    diffusers = pytest.importorskip("diffusers")
    levels = tuple(width * factor for factor in (1, 2, 3, 4))
    with torch.device("meta"):
        return diffusers.UNet2DConditionModel(
            sample_size=64, in_channels=3, out_channels=6, block_out_channels=levels, layers_per_block=3,
            down_block_types=("ResnetDownsampleBlock2D", *["SimpleCrossAttnDownBlock2D"] * 3),
            mid_block_type="UNetMidBlock2DSimpleCrossAttn",
            up_block_types=(*["SimpleCrossAttnUpBlock2D"] * 3, "ResnetUpsampleBlock2D"),
            act_fn="gelu", attention_head_dim=64, cross_attention_dim=levels[-1], cross_attention_norm="group_norm",
            encoder_hid_dim=4096, encoder_hid_dim_type="text_proj", addition_embed_type="text",
            addition_embed_type_num_heads=64, resnet_time_scale_shift="scale_shift", only_cross_attention=False)


def size(network):
    return sum(weight.numel() for weight in network.parameters())


def test_the_xl_model_has_the_published_size():
    unet = if_unet(704)
    assert len(unet.state_dict()) == 775 and size(unet) == 4_304_695_110


@pytest.mark.parametrize("width, millions", [(192, 372), (320, 935)])
def test_the_smaller_models_have_the_published_sizes(width, millions):
    assert round(size(if_unet(width)) / 1e6) == millions


def test_the_text_encoder_is_larger_than_the_network_it_serves():
    """T5 1.1 XXL, encoder only: 9.5 GB in half precision, the UNet 8.6."""
    transformers = pytest.importorskip("transformers")
    with torch.device("meta"):
        encoder = transformers.T5EncoderModel(transformers.T5Config(
            vocab_size=32128, d_model=4096, d_kv=64, d_ff=10240, num_layers=24, num_heads=64,
            feed_forward_proj="gated-gelu", tie_word_embeddings=False))
    assert size(encoder) * 2 / 1e9 == pytest.approx(9.5, abs=0.05) and size(if_unet(704)) < size(encoder)
