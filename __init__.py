"""Distill3D: text or an image to a textured 3D asset, by distilling diffusion models, as ComfyUI nodes."""

WEB_DIRECTORY = "./web"


async def comfy_entrypoint():
    from .nodes.comfy import ComfyExtension, register_routes, show_examples

    class Distill3D(ComfyExtension):
        async def on_load(self):
            await register_routes()
            show_examples()

        async def get_node_list(self):
            from .nodes import node_list
            return node_list()

    return Distill3D()
