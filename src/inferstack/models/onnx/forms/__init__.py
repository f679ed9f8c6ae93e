"""What groups of nodes compute together, found by being here: a file offers `FORM`."""
