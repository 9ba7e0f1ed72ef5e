"""The real arm: nothing here yet; the robot core comes after the policy line."""
