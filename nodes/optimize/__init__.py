"""Optimize: the training loop of a stage.

    optimize            Optimize
    step                one step of training, from top to bottom: `Training`
    loop                steps, with progress, saving, resuming and stopping: `Run`
    objective           Objective; optimizer_settings: Optimizer Settings; schedule: Schedule
    run_state           a run on disk: `RunState`; fingerprint: the name of a run
    save_state          Save State and Load State
    health              detects diverging and empty runs: `Health`
    preview, history, readings   pictures and numbers during a run, its record, and reads without synchronisation
    largest             tries the largest scheduled size first: `try_largest`
    carry               optimiser state of replaced parameters: `carry_averages`
    initial_scene       the scene at the start of a stage: `InitialScene`
"""
