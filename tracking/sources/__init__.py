"""Where clips come from: annotations of data sets and folders in, a manifest of actions to track out (`mpr find`)."""
