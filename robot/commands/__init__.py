"""The commands `mpr robot check | demos | run | replay | export`."""
