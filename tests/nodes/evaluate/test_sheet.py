"""Contact sheets: the positions of their pictures."""
import torch
from PIL import Image

from distill3d.nodes.evaluate.sheet import comparison, contact_sheet, in_one_column, in_one_row, take, write_picture
from distill3d.nodes.evaluate.views import Pictures


def plain(value):
    return Pictures(torch.full((3, 4, 4, 3), value), torch.full((3, 4, 4, 1), value), torch.ones(3, 4, 4, 1),
                    torch.tensor([1.0, 0.0, -1.0]).expand(3, 4, 4, 3))


def test_strips():
    truth, result, normal = comparison(take(plain(0.2), [0, 2]), take(plain(0.6), [0, 2]))
    assert truth.shape == result.shape == normal.shape == (4, 8, 3)
    assert truth.unique().item() == torch.tensor(0.6) and result.unique().item() == torch.tensor(0.2)
    assert normal[0, 0].tolist() == [1.0, 0.5, 0.0]
    assert in_one_row([truth, result]).shape == (4, 20, 3) and in_one_column([truth, result]).shape == (12, 8, 3)
    nothing = plain(0.2)._replace(opacity=torch.zeros(3, 4, 4, 1), normal=torch.zeros(3, 4, 4, 3))
    assert comparison(nothing, nothing)[2].min() == 1, "nothing is white"


def test_sheet(tmp_path):
    strip = write_picture(tmp_path / "strip.png", torch.zeros(5, 400, 3))
    sheet = Image.open(contact_sheet(tmp_path / "sheet.png", [("one", strip), ("two", None), ("three", strip)]))
    assert sheet.width == 400 and sheet.height == 3 * 14 + 2 * (5 + 4)
    assert sheet.getpixel((300, 16)) == (0, 0, 0) and sheet.getpixel((300, 25)) == (255, 255, 255)
