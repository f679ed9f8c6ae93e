"""Tables, figures, HTML and JSON. Renders, never computes."""
