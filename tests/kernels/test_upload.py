import torch

from distill3d.kernels.upload import upload


def test_a_tensor_on_the_device_is_not_copied():
    values = torch.arange(3)
    assert upload(values, "cpu") is values
    half = upload(torch.ones(2), torch.device("cpu"), torch.float16)
    assert half.dtype == torch.float16 and half.sum() == 2


def test_cuda_is_sent_pinned_memory_and_not_waited_for(monkeypatch):
    """Without such a device: what is asked of the tensor, in this order."""
    asked = []
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda self: asked.append(("pinned", self.dtype)) or self)
    to = torch.Tensor.to

    def watched(self, *args, **options):
        if args and torch.device(args[0]).type == "cuda":
            asked.append(("sent", options))
            return self
        return to(self, *args, **options)

    monkeypatch.setattr(torch.Tensor, "to", watched)
    upload(torch.ones(2, dtype=torch.float64), "cuda", torch.float32)
    assert asked == [("pinned", torch.float32), ("sent", {"non_blocking": True})]
