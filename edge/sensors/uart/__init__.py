"""Sensors that speak a protocol of their own on a serial port: bytes → frames → readings that may be believed."""
