// The color of each type of wire. A test compares the list with the types of the pack.
export const COLORS = {
  DISTILL3D_BACKGROUND: "#8fa6b8",
  DISTILL3D_DATASET: "#b98a5b",
  DISTILL3D_FIELD: "#4fc3d9",
  DISTILL3D_LIGHT: "#ffe27a",
  DISTILL3D_LOSS: "#ff6b6b",
  DISTILL3D_MATERIAL: "#c9a227",
  DISTILL3D_OBJECTIVE: "#ff9f43",
  DISTILL3D_OPTIMIZER: "#9aa05a",
  DISTILL3D_PRIOR: "#b388ff",
  DISTILL3D_PROMPT: "#7ed957",
  DISTILL3D_REFERENCE: "#ff8fc7",
  DISTILL3D_SCENE: "#4d9dff",
  DISTILL3D_SCHEDULE: "#d0d0d0",
  DISTILL3D_TOWER: "#e056fd",
  DISTILL3D_VIEWS: "#2ee6a8",
  DISTILL3D_VIEW_DATASET: "#d9b48f",
};
