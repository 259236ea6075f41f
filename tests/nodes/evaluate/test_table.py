"""The summary and the Markdown of rows."""
import pytest

from distill3d.nodes.evaluate.table import Row, markdown, summarize, summary_line

ROWS = [Row("a red cube", 1, 0.9, 20.0, 0.1, 5.0, 0.01, True, True, "a red cube", "a red cube", 10.0, 8.0, 500.0),
        Row("a blue cube", 1, 0.7, 10.0, 0.3, 9.0, None, False, True, "a red cube", "a red cube", 30.0, 9.0, 600.0,
            error="Extract Mesh: nothing there."),
        Row("a red cone", 1, seconds=20.0, error="Diverged.")]


def test_summary():
    facts = summarize(ROWS)
    assert (facts["objects"], facts["failed"], facts["without_mesh"]) == (3, 1, 1)
    assert facts["iou_mean"] == pytest.approx(0.8) and facts["iou_min"] == 0.7 and facts["psnr_mean"] == 15
    assert (facts["color_right"], facts["textureless_right"]) == (1, 2)
    assert facts["chamfer_mean"] == 0.01 and facts["seconds_median"] == 20 and facts["peak_memory_mb"] == 600
    assert summary_line(ROWS) == ("3 objects; IoU mean 0.800, min 0.700; PSNR mean 15.0 dB; precision colour 1/3, "
                                  "textureless 2/3; Chamfer mean 0.0100; median 20.0 s, of it 8.5 s optimising; 1 "
                                  "FAILED; 1 without a mesh")


def test_nothing_measured():
    assert summary_line([Row("a red cone", 0, error="no")]).startswith("1 object; IoU mean -, min -;")
    assert summarize([])["iou_mean"] is None


def test_markdown():
    text = markdown(ROWS, {"seed": 1, "torch": "2"})
    lines = text.splitlines()
    table = [line for line in lines if line.startswith("|")]
    assert len(table) == 5 and len({line.count("|") for line in table}) == 1
    assert "no: a red cube" in table[3] and "* a red cone: Diverged." in lines and lines[-1] == "* torch: 2"
