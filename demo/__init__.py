"""The main job, watched: real processes over loopback, in a temporary folder."""
