"""The whole story: the stack of decisions, each with what it gained and what it cost."""
