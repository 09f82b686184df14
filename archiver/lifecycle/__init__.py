"""What must stay, what must go, and who decides it: requests that two persons agree on."""
