//! `fieldbook-bindgen generate -l kotlin -o DIR LIBRARY`: a crate of its own, so that the generator's features
//! never rebuild the library.

fn main() {
    uniffi::uniffi_bindgen_main()
}
