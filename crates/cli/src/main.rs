//! countersign: what an operator types

fn main() {}
