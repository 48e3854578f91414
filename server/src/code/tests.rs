#[test]
fn codes_encode_and_canonicalise() {
    assert_eq!(super::encode(&[0xff; 5]), "ZZZZZZZZ");
    assert_eq!(super::encode(&[0; 16]).len(), 26);
    assert_eq!(super::encode(&[0x08]), "10");
    assert_eq!(super::canonical(" abol-i1 "), "AB0111");
}
