"""The fault campaign: faults put between the session and its arm, cameras and policy, and a judge beside the arm."""
