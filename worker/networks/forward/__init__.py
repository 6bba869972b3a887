"""Forward passes of many networks at once; which one is fastest depends on the device and the network."""
