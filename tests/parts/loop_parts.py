"""Parts for runs of the loop in tests: views around the object, and a host that stops them."""
from distill3d.nodes.comfy import Host
from distill3d.nodes.core.cameras import turntable


class Around:
    """Views: evenly spaced cameras."""

    def __repr__(self):
        return "Around"

    def sample(self, batch, height, width, step, total, streams):
        return turntable(batch, 15, 3, 40, height)


class StopAt(Host):
    """Cancels, or asks to finish, when a given step has been reached."""

    def __init__(self, output, step, finish=False):
        super().__init__(output)
        self.left, self.finish = step, finish

    def check(self):
        self.left -= 1
        if self.left < 0:
            if self.finish:
                self.finish_now("7")
            else:
                self.cancelled = True
        super().check()
