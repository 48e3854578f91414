//! The workload's random numbers: mulberry32, as JavaScript computes it.

/// 2³², the modulus of JavaScript's unsigned conversion.
const TWO_32: f64 = 4_294_967_296.0;

/// A generator of numbers in 0..1, fixed by its seed.
pub(super) struct Rng {
    state: u32,
}

impl Rng {
    pub(super) fn new(seed: u32) -> Self {
        Self { state: seed }
    }

    /// Seeds from a product that was computed in floating point, as `>>> 0` would convert it.
    pub(super) fn from_product(product: f64) -> Self {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 ≤ remainder < 2³², and whole")]
        Self::new(product.rem_euclid(TWO_32) as u32)
    }

    /// The next number, 0 ≤ x < 1.
    pub(super) fn next(&mut self) -> f64 {
        self.state = self.state.wrapping_add(0x6d2b_79f5);
        let mut t = self.state;
        t = (t ^ (t >> 15)).wrapping_mul(t | 1);
        t ^= t.wrapping_add((t ^ (t >> 7)).wrapping_mul(t | 61));
        f64::from(t ^ (t >> 14)) / TWO_32
    }

    /// A whole number, 0 ≤ x < `n`.
    pub(super) fn int(&mut self, n: u32) -> u32 {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "below `n`")]
        let whole = (self.next() * f64::from(n)).floor() as u32;
        whole
    }

    /// An index into a slice of `length` (below 2³²).
    pub(super) fn index(&mut self, length: usize) -> usize {
        self.int(u32::try_from(length).unwrap_or(u32::MAX)) as usize
    }

    /// One of `items`, which must not be empty.
    pub(super) fn pick(&mut self, items: &[&'static str]) -> &'static str {
        items[self.index(items.len())]
    }

    /// One character of `text`, which must not be empty.
    pub(super) fn pick_char(&mut self, text: &str) -> char {
        let at = self.index(text.chars().count());
        text.chars().nth(at).unwrap_or_default()
    }
}
