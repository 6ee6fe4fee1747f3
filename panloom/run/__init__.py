"""The main job as a straight line, and its relatives: sharpen, fuse, batch, demo, report."""
