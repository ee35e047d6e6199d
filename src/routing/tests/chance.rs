//! Chance that can be repeated: numbers that a case's own number decides.

/// A source of numbers.
pub(super) struct Chance(u64);

impl Chance {
    /// The same numbers for the same case.
    pub(super) fn of(case: u64) -> Self {
        Self(case.wrapping_mul(0xd134_2543_de82_ef95) ^ 0x9e37_79b9_7f4a_7c15)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below another one.
    pub(super) fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() >> 32).unwrap_or_default() % end
    }

    /// Whether something happens that does so often in a hundred.
    pub(super) fn is(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    /// One of several.
    pub(super) fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }
}
