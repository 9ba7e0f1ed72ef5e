"""The safety layer: limits, what is watched for, the guard before every command, and the watchdog beside it."""
