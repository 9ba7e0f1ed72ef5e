"""The hour on the robot: a residual policy practises on a frozen base policy, episode after episode."""
