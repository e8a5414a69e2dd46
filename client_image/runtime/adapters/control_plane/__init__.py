"""The control plane as the proxy reaches it: ``transport`` says what is asked and answered, ``http`` asks it by HTTP."""
