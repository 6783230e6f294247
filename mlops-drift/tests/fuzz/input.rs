//! Arguments out of bytes: short ones are read as zeros, so that every input means something.

use mlops_core::data::Validity;

/// A reader of bytes.
#[derive(Debug)]
pub struct Input<'a> {
    bytes: &'a [u8],
}

const HOSTILE: [f64; 24] = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    0.5,
    2.0,
    5e-324,
    -5e-324,
    f64::MIN_POSITIVE,
    1e-300,
    1e300,
    -1e300,
    f64::MAX,
    f64::MIN,
    1e15,
    9_007_199_254_740_993.0,
    f64::INFINITY,
    f64::NEG_INFINITY,
    f64::NAN,
    -f64::NAN,
    f64::EPSILON,
    1.0 + f64::EPSILON,
    1e-12,
    100.0,
];

impl<'a> Input<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    pub fn byte(&mut self) -> u8 {
        let Some((&first, rest)) = self.bytes.split_first() else { return 0 };
        self.bytes = rest;
        first
    }

    pub fn bool(&mut self) -> bool {
        self.byte() & 1 == 1
    }

    /// Below `bound`, which is at least 1.
    pub fn below(&mut self, bound: usize) -> usize {
        (usize::from(self.byte()) | usize::from(self.byte()) << 8) % bound
    }

    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    pub fn word(&mut self) -> u64 {
        (0..8).fold(0, |word, i| word | u64::from(self.byte()) << (8 * i))
    }

    /// A count: mostly small, sometimes huge.
    pub fn count(&mut self) -> u64 {
        match self.byte() % 8 {
            0 => 0,
            1 => self.word(),
            2 => u64::MAX - u64::from(self.byte()),
            3 => 1 << (self.byte() % 64),
            _ => u64::from(self.byte()),
        }
    }

    /// A double: small, hostile, or any at all.
    pub fn f64(&mut self) -> f64 {
        match self.byte() % 6 {
            0 => f64::from_bits(self.word()),
            1 => self.pick(&HOSTILE),
            2 => f64::from(i32::from(self.byte()) - 128) / 16.0,
            3 => f64::from(self.byte() % 4),
            _ => (self.word() >> 11) as f64 / (1u64 << 53) as f64,
        }
    }

    fn many<T>(&mut self, longest: usize, mut next: impl FnMut(&mut Self) -> T) -> Vec<T> {
        let len = self.below(longest + 1);
        // What is not there is not made up: a short input gives a short list.
        let mut values = vec![];
        while values.len() < len && !self.bytes.is_empty() {
            values.push(next(self));
        }
        values
    }

    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Two lists, drawn by turns, so that an input that ends early leaves neither empty.
    pub fn two<T>(&mut self, longest: usize, next: fn(&mut Self) -> T) -> [Vec<T>; 2] {
        let lens = [self.below(longest + 1), self.below(longest + 1)];
        let mut lists = [vec![], vec![]];
        while !self.is_empty() && (0..2).any(|i| lists[i].len() < lens[i]) {
            for i in 0..2 {
                if lists[i].len() < lens[i] {
                    lists[i].push(next(self));
                }
            }
        }
        lists
    }

    pub fn real(&mut self) -> f64 {
        let value = self.f64();
        if value.is_finite() { value } else { 0.0 }
    }

    /// A small number of values, so that there are ties.
    pub fn tied(&mut self) -> f64 {
        f64::from(self.byte() % 8) / 2.0 - 1.0
    }

    pub fn f32(&mut self) -> f32 {
        #[expect(clippy::cast_possible_truncation, reason = "any narrow float will do")]
        {
            self.f64() as f32
        }
    }

    pub fn i64(&mut self) -> i64 {
        match self.byte() % 4 {
            0 => i64::from_le_bytes(self.word().to_le_bytes()),
            1 => self.pick(&[i64::MIN, i64::MAX, i64::MIN + 1, i64::MAX - 1, 0, -1, 1 << 53, (1 << 53) + 1]),
            _ => i64::from(self.byte() % 7),
        }
    }

    /// A length or a limit: small, at a border, or far too large.
    pub fn size(&mut self) -> usize {
        match self.byte() % 4 {
            0 => self.pick(&[0, 1, 2, 3, 1000, 1 << 14, 1 << 40, usize::MAX - 1, usize::MAX]),
            _ => usize::from(self.byte() % 20),
        }
    }

    pub fn f64s(&mut self) -> Vec<f64> {
        self.many(120, Self::f64)
    }

    pub fn counts(&mut self) -> Vec<u64> {
        self.many(40, Self::count)
    }

    pub fn codes(&mut self, levels: u32) -> Vec<u32> {
        // Now and then a code that is no level.
        self.many(120, |input| u32::from(input.byte()) % (levels.max(1) + u32::from(input.byte() == 255)))
    }

    /// Short texts with everything that quoting and escaping have to survive.
    pub fn text(&mut self) -> String {
        const PIECES: [&str; 20] = [
            "a", "b", "Z", "0", " ", "\"", "'", "`", "]", "[", "\\", "\n", "\0", "é", "🦀", "--", ";", "<b>",
            "&", "\u{202e}",
        ];
        let len = usize::from(self.byte() % 6);
        (0..len).map(|_| self.pick(&PIECES)).collect()
    }

    pub fn texts(&mut self) -> Vec<Option<String>> {
        self.many(60, |input| if input.byte().is_multiple_of(8) { None } else { Some(input.text()) })
    }

    pub fn validity(&mut self, len: usize) -> Validity<'static> {
        let bits: Vec<bool> = (0..len).map(|_| !self.byte().is_multiple_of(4)).collect();
        Validity::from_bools(&bits)
    }

    /// What is left, as text.
    pub fn rest(&mut self) -> String {
        String::from_utf8_lossy(std::mem::take(&mut self.bytes)).into_owned()
    }
}
