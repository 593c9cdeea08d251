//! tare: the program.

fn main() {}
