"""Operations, bytes, intensity, footprint and roofline of a graph, by a named convention."""
