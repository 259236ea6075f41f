"""The contracts between rooms. Every room imports from here, and nothing here imports a room.

    scene          `Scene`: cameras in, images out; `SceneRecipe`, its wire
    field          `VolumeField`, `SignedDistanceField`, `SurfaceField`, `GaussianField`
    material       `Material`, `Background`
    rendering      `Rendering`, the layers of a picture; `Light`
    cameras        `Cameras`, `look_at`, `orbit`, `relative_pose`
    pictures       `Pictures`: posed pictures, with masks, depth and normals
    objective      `Objective`; `Views` and `Lights`, its samplers
    loss           `Loss`, `PreparedLoss`, and `Look`, what a loss receives at each step
    prior          `Prior`, one denoiser for every model; `AdaptablePrior` for adapters
    tower          `Tower`, a network that compares pictures and texts
    prompt         `Prompt`, the text of each view; view_words and view_guidance compute it
    picture        which layers of a rendering a prior receives: `Shown`
    schedule       `Schedule`: numbers that change during a run
    host_buffers   `HostBuffers`: numbers of a module that stay on the CPU
    rng            `Streams`: random streams named by (seed, step, purpose)
    state          `save_state`, `read_state`: safetensors, written atomically
    fused_step     `take_step`: a step of an optimiser, skipped on the device where gradients are not finite
    reservation    names of files that are about to be written
    tick           progress and cancellation of long work
    errors         `DistillError`, `MissingPackage`, `Cancelled`
"""
