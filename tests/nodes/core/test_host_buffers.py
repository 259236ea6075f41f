"""Numbers of a module that stay on the host."""
import torch
from torch import nn

from distill3d.nodes.core.host_buffers import HostBuffers


class Levels(HostBuffers):
    on_host = ("active",)

    def __init__(self):
        super().__init__()
        self.register_buffer("active", torch.tensor(3.0))
        self.register_buffer("table", torch.zeros(2))


def test_they_stay_and_belong_to_the_state():
    holder = nn.Sequential(Levels()).to("meta")
    assert holder[0].active.device.type == "cpu" and float(holder[0].active) == 3
    assert holder[0].table.device.type == "meta"
    assert set(holder.state_dict()) == {"0.active", "0.table"}


def test_they_are_loaded():
    fresh = Levels()
    fresh.load_state_dict({"active": torch.tensor(5.0), "table": torch.ones(2)})
    assert float(fresh.double().active) == 5 and fresh.active.dtype == torch.float32
