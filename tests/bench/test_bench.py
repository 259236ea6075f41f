import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def test_quick_run_measures_everything(tmp_path):
    pytest.importorskip("diffusers")
    pytest.importorskip("transformers")
    path = tmp_path / "bench.json"
    done = subprocess.run([sys.executable, "-m", "tests.bench", "--quick", "--repeats", "1", "--device", "cpu",
                           "--threads", "1", "--json", str(path)], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    found = json.loads(path.read_text())
    assert found["machine"]["threads"] == 1 and found["machine"]["device"].startswith("cpu")
    kernels = {row["op"]: row for row in found["kernels"] if row["backend"] == "torch"}
    assert set(kernels) == {"hash grid encode", "composite, accumulate", "march rays", "isosurface", "triangle ids",
                            "bake texture", "nearest on mesh", "unwrap, boxes", "unwrap, xatlas", "tet grid",
                            "marching tets", "rasterise, antialias", "splats"}
    assert all(row["forward"] > 0 for row in kernels.values())
    fast = {row["op"] for row in found["kernels"] if row["backend"] == "warp"}
    assert fast >= {"hash grid encode", "composite, accumulate", "march rays", "triangle ids", "splats"}
    assert set(found["peers missing"]) == {"tiny-cuda-nn", "nerfacc", "nvdiffrast", "gsplat"}
    assert "gsplat is not timed beside these: it needs a CUDA device" in done.stdout
    assert {name for name, row in kernels.items() if row["backward"]} == {"hash grid encode", "composite, accumulate",
                                                                          "isosurface",
                                                                            "marching tets", "rasterise, antialias",
                                                                          "splats"}
    # At its peak the hash grid holds at least the gradient of its table, and the composite those of its inputs.
    assert 1.6e6 < kernels["hash grid encode"]["peak"] < 50e6
    assert 4 * 4 * 20_000 < kernels["composite, accumulate"]["peak"] < 10e6
    parts = found["sds_step"]["parts"]
    assert list(parts) == ["render", "prior", "losses", "backward", "optimiser"] and all(time > 0
                                                                                         for time in parts.values())
    guided = found["guided_denoise"]
    assert guided["prior"] > 0 and guided["ratio"] == pytest.approx(guided["prior"] / guided["diffusers"])
    for word in [*kernels, *parts, "x forward", "torch", "SDS step", "Guided denoise"]:
        assert word in done.stdout
