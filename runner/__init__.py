"""The command line: workflow files without ComfyUI.

    cli            the commands; options: shared options
    run            runs a graph: `run_workflow`; console: progress and Ctrl-C
    graph          a graph of nodes: `Graph`; workflow_file, ui_format: reading it; check: errors before the run
    schema         inputs and outputs of nodes; setting: `--set`, `--seed`
    core_*         stand-ins for core's nodes: core_image, core_3d and so on, listed in core_nodes
    evaluate       `distill3d evaluate`: evaluation, product, true_picture, weights
    ablate         `distill3d ablate`: ablation, and grid, its rows of settings
    listing        `distill3d list`; doctor: `distill3d doctor`
    method         workflow files from workflows/methods; layout places the nodes; describe reads them back
    sync           every generated file; scaffold: `distill3d new`, from templates/
"""
