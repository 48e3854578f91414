//! Tells cargo that the console's pages are part of the program: files that are new in the folder count as a change.

fn main() {
    println!("cargo:rerun-if-changed=console/dist");
}
