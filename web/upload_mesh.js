// Load Mesh gets a button that uploads a 3D file into the input folder and writes its name into the widget.
import { app } from "../../scripts/app.js";
import { api } from "../../scripts/api.js";

const NODE = "Distill3D_LoadMesh";
const KINDS = ".glb,.gltf,.obj,.stl,.ply";

async function upload(file) {
  const body = new FormData();
  body.append("image", file); // the host's route for files of any kind
  const answer = await api.fetchApi("/upload/image", { method: "POST", body });
  if (!answer.ok) throw new Error(`${answer.status} ${answer.statusText}`);
  const { name, subfolder } = await answer.json();
  return subfolder ? `${subfolder}/${name}` : name;
}

app.registerExtension({
  name: "distill3d.upload_mesh",
  nodeCreated(node) {
    if (node.comfyClass !== NODE) return;
    const widget = node.widgets?.find((one) => one.name === "file");
    if (!widget) return;
    const choose = () => {
      const input = Object.assign(document.createElement("input"), { type: "file", accept: KINDS });
      input.onchange = async () => {
        try {
          widget.value = await upload(input.files[0]);
          widget.callback?.(widget.value);
        } catch (error) {
          app.extensionManager.toast.add({ severity: "error", summary: "Load Mesh", detail: String(error) });
        }
        app.graph.setDirtyCanvas(true, true);
      };
      input.click();
    };
    const button = node.addWidget("button", "choose file to upload", null, choose);
    button.serialize = false; // files keep one value
    button.options.serialize = false;
  },
});
