"""Pictures and videos made by a formula: what MotionShapes shows, without lists and folders."""
