//! Lists against what a slow reading of all records says.
