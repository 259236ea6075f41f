from dataclasses import replace

import numpy as np
import pytest
import torch

from distill3d.nodes.assets.splat import Splat
from distill3d.nodes.assets.splat_file import ply_bytes, read_ply
from distill3d.nodes.core.errors import DistillError
from random_splat import random_splat


@pytest.mark.parametrize("degree", [0, 1, 3])
def test_what_is_written_is_read(degree):
    one = random_splat(40, degree)
    back = read_ply(ply_bytes(one), "Test")
    for name, value in vars(one).items():
        torch.testing.assert_close(getattr(back, name), value, atol=1e-6, rtol=1e-6)
    assert torch.equal(back.positions, one.positions) and torch.equal(back.sh, one.sh)


def test_the_file_holds_numbers_before_their_activation():
    one = Splat(torch.tensor([[1.0, 2.0, 3.0]]), torch.tensor([[1.0, 0, 0, 0]]), torch.full((1, 3), 0.5),
                torch.full((1, 1), 0.5), torch.arange(12.0).view(1, 4, 3))
    data = ply_bytes(one)
    head, body = data.split(b"end_header\n")
    names = [line.split()[2] for line in head.decode().splitlines() if line.startswith("property")]
    row = dict(zip(names, torch.frombuffer(bytearray(body), dtype=torch.float32).tolist()))
    assert [row[name] for name in "xyz"] == [2, -3, -1]                    # Y down, looked at along +z
    assert row["opacity"] == 0 and row["scale_1"] == pytest.approx(-0.6931472)
    assert [row[f"f_dc_{k}"] for k in range(3)] == [0, 1, 2]
    assert [row[f"f_rest_{k}"] for k in range(9)] == [3, 6, 9, 4, 7, 10, 5, 8, 11]     # one colour after the other
    assert [row[f"rot_{k}"] for k in range(4)] == [0.5, 0.5, 0.5, -0.5]


def test_opaque_gaussians_survive():
    one = random_splat()
    back = read_ply(ply_bytes(Splat(one.positions, one.rotations, one.scales, torch.ones_like(one.opacities), one.sh)),
                    "Test")
    assert float(back.opacities.min()) > 1 - 2e-6


def changed(splat, name, values):
    """The file with one of its columns changed."""
    data = ply_bytes(splat)
    head, body = data.split(b"end_header\n")
    names = [line.split()[2] for line in head.decode().splitlines() if line.startswith("property")]
    table = np.frombuffer(body, "<f4").reshape(len(splat), -1).copy()
    table[:, names.index(name)] = values
    return head + b"end_header\n" + table.tobytes()


def test_one_broken_gaussian_of_four_is_left_out(output_host):
    one = random_splat(4)
    back = read_ply(changed(one, "x", [0, np.nan, 0, 0]), "Test")
    assert len(back) == 3 and "1 of 4 Gaussians" in output_host.warnings[0]
    with pytest.raises(DistillError, match="none of the 4 Gaussians"):
        read_ply(changed(one, "x", np.inf), "Test")


@pytest.mark.parametrize("name, message", [("opacity", "opacity in the PLY file lies in 0..1"),
                                           ("scale", "every scale")])
def test_numbers_that_are_activated_already_are_suspected(name, message, output_host):
    one = random_splat(4)
    read_ply(ply_bytes(one), "Test")
    assert output_host.warnings == []
    if name == "scale":
        data = ply_bytes(replace(one, scales=torch.full_like(one.scales, 0.05).exp()))
    else:
        data = changed(one, "opacity", [0.1, 0.5, 0.9, 1.0])
    read_ply(data, "Test")
    assert len(output_host.warnings) == 1 and message in output_host.warnings[0]


def test_text_and_the_other_byte_order_are_read():
    one = random_splat(4)
    head, body = ply_bytes(one).split(b"end_header\n")
    table = np.frombuffer(body, "<f4")
    swapped = head.replace(b"little", b"big") + b"end_header\n" + table.astype(">f4").tobytes()
    words = " ".join(map(repr, table.tolist())).encode()
    text = head.replace(b"binary_little_endian", b"ascii") + b"end_header\n" + words
    for data in (swapped, text):
        torch.testing.assert_close(read_ply(data, "Test").positions, one.positions)


HEAD = b"ply\nformat binary_little_endian 1.0\n"


@pytest.mark.parametrize("data, message", [
    (b"PK\x03\x04", "is no PLY"), (ply_bytes(random_splat())[:-3], "is cut off"), (b"", "is no PLY"),
    (HEAD + b"element face 0\nend_header\n", "point cloud"),
    (HEAD + b"element vertex 0\nproperty float x\nend_header\n", 'no "y".*Load Mesh'),
    (HEAD + b"element vertex 0\nproperty list uchar int x\nend_header\n", 'no "x"'),
    (HEAD + b"element chunk 1\nproperty float min_x\nelement vertex 1\nproperty uint packed_position\nend_header\n"
     + b"\0" * 8, "compressed splat"),
    (ply_bytes(random_splat()).replace(b"float scale_2", b"float thick_2"), "2D Gaussian Splatting"),
    (ply_bytes(random_splat()).replace(b"vertex 20", b"vertex many"), "header is damaged"),
    (ply_bytes(random_splat()).replace(b"vertex 20", b"vertex"), "header is damaged"),
    (ply_bytes(random_splat()).replace(b"float nz", b"float f_rest_1"), 'no "f_rest_0"'),
    (ply_bytes(random_splat()).replace(b"vertex 20", b"vertex 0"), "the splat is empty")])
def test_other_files_are_refused(data, message):
    with pytest.raises(DistillError, match=f"^Test: .*{message}"):
        read_ply(data, "Test")
