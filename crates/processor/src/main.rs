//! Books what the bus delivers, once

fn main() {}
