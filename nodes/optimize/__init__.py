"""Optimize: the training loop of a stage.

    optimize            Optimize
    step                one step of training, from top to bottom: `Training`
    loop                steps, with progress, saving, resuming and stopping: `Run`
    objective           Objective; schedule: Schedule
    optimizer_settings  Optimizer Settings: learning rates by parameter group
    run_state           a run on disk: `RunState`; fingerprint: the hash that identifies a run and names its state
    save_state          Save State and Load State
    health              detects diverging and empty runs: `Health`
    preview, history, readings   pictures and numbers during a run, its record, and reads without synchronisation
    largest             tries the largest scheduled size first, against late memory errors: `try_largest`
    carry               optimiser state of replaced parameters: `carry_averages`
    initial_scene       the scene at the start of a stage: `InitialScene`
"""
