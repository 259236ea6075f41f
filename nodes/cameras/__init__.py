"""Samplers of cameras (`Views`) and lights (`Lights`), and reference pictures.

    random_orbit_views  Random Orbit Views: `RandomOrbitViews`
    multi_view_orbit    Multi-View Orbit: `MultiViewOrbit`
    fixed_orbit         Fixed Orbit: `FixedOrbit`
    reference_view      Reference View: a picture and its camera, `make_reference`
    given_views         Given Views: cameras of posed pictures, `GivenViews`; `LearnedViews` trains their poses
    join_pictures       Join Pictures
    dreamfusion_light   DreamFusion Light; magic3d_light: Magic3D Light; headlight: Camera Light
    light_range         checks of the lights' ranges
"""
