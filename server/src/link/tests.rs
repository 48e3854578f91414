use std::fs::File;

use super::*;

#[test]
fn links_carry_address_pin_and_code() {
    let link = enrolment("10.0.0.1:8443", &[7; 32], "ABCDEFGHJKMNPQRSTVWXYZ0123");
    assert!(link.starts_with("fieldbook://10.0.0.1:8443/enrol?pin="));
    assert!(link.ends_with("&code=ABCDEFGHJKMNPQRSTVWXYZ0123"));
    assert_eq!(pin(&[7; 32]).len(), 43);
}

#[test]
fn pictures_hold_the_modules_with_their_quiet_zone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("qr.png");
    write_png("fieldbook://x", &path).unwrap();
    let mut reader = png::Decoder::new(std::io::BufReader::new(File::open(&path).unwrap())).read_info().unwrap();
    let mut dots = vec![0; reader.output_buffer_size().unwrap()];
    reader.next_frame(&mut dots).unwrap();
    let side = reader.info().width as usize;
    let quiet = QUIET_MODULES * DOTS_PER_MODULE;
    assert!(dots[..side * quiet].iter().all(|dot| *dot == 255));
    assert_eq!(dots[side * quiet + quiet], 0, "the corner of the finder pattern is dark");
    let drawn = terminal_qr("fieldbook://x").unwrap();
    assert_eq!(drawn.lines().count(), (side / DOTS_PER_MODULE).div_ceil(2));
}
