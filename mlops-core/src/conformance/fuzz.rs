//! Fuzzing on the stable toolchain: arbitrary bytes become arguments of every public entry point of a crate.
//!
//! A *target* draws arguments from an [`Input`] and panics when an answer breaks a promise; [`no_nan`] and [`sound`] ask what
//! is asked everywhere. A crate that fuzzes has a test binary `tests/fuzz` with its targets, and a *corpus*:
//! `tests/fuzz/corpus/<target>/` below its root holds the inputs that are tried first. Inputs mutated from them follow.
//!
//! | variable | what it sets | default |
//! |---|---|---|
//! | `MLOPS_FUZZ_INPUTS` | how many mutated inputs a target gets | 40 |
//! | `MLOPS_FUZZ_SECONDS` | seconds for all targets together, instead of a number of inputs | – |
//! | `MLOPS_FUZZ_SEED` | the order of the mutations | 1 |
//! | `MLOPS_FUZZ_TARGET` | one target alone | every target |
//!
//! A number of inputs is the same inputs on every machine; how far a time reaches depends on how fast it is.
//!
//! An input that fails is written to the corpus under the name in the message, so that it is tried first ever after. An input
//! that takes long is named, and no more: time is not a verdict.
//!
//! ```
//! use mlops_core::conformance::fuzz::{self, Input, Target};
//!
//! fn doubling(input: &mut Input<'_>) {
//!     let value = input.real();
//!     assert!(value + value == 2.0 * value);
//! }
//!
//! const TARGETS: &[Target] = &[("doubling", doubling)];
//! // In a test: `fuzz::run(Path::new(env!("CARGO_MANIFEST_DIR")), TARGETS)`.
//! # let root = std::env::temp_dir();
//! fuzz::run(&root, TARGETS);
//! ```

use std::collections::BTreeSet;
use std::fmt::{Debug, Display};
use std::num::NonZeroU64;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use std::{env, fs};

use serde_json::Value;

use crate::data::Validity;
use crate::hash::Digest;
use crate::num::Random;

/// A name, which is that of the corpus, and what to do with an input.
pub type Target = (&'static str, fn(&mut Input<'_>));

/// Longer inputs say nothing new: a target reads a few hundred bytes, or a state as text.
const LONGEST: usize = 4096;

/// Inputs are small, so that none has a reason to take this long.
const SLOW: Duration = Duration::from_secs(1);

fn corpus(root: &Path, target: &str) -> PathBuf {
    root.join("tests/fuzz/corpus").join(target)
}

/// The kept inputs of a target, by name, so that every machine starts alike.
fn kept(folder: &Path) -> Vec<Vec<u8>> {
    let mut paths: Vec<PathBuf> = match fs::read_dir(folder) {
        Ok(entries) => entries.map(|entry| entry.unwrap().path()).collect(),
        Err(_) => vec![],
    };
    paths.sort();
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

/// Runs one input; one that fails is kept.
fn run_one(folder: &Path, (name, target): Target, bytes: &[u8]) {
    let begin = Instant::now();
    let outcome = catch_unwind(AssertUnwindSafe(|| target(&mut Input::new(bytes))));
    if begin.elapsed() > SLOW {
        eprintln!("{name} took {:?} on {bytes:02x?}", begin.elapsed());
    }
    if let Err(panic) = outcome {
        let file = folder.join(Digest::of(bytes).short());
        fs::create_dir_all(folder).unwrap();
        fs::write(&file, bytes).unwrap();
        eprintln!("{name} failed on {}", file.display());
        std::panic::resume_unwind(panic);
    }
}

/// An input made from others: bits flipped, parts moved, doubled, dropped or taken from elsewhere, bytes drawn anew.
fn mutated(random: &mut Random, pool: &[Vec<u8>]) -> Vec<u8> {
    let below = |random: &mut Random, bound: usize| match NonZeroU64::new(bound as u64) {
        Some(bound) => usize::try_from(random.below(bound)).unwrap(),
        None => 0,
    };
    let mut bytes = if pool.is_empty() { vec![] } else { pool[below(random, pool.len())].clone() };
    for _ in 0..=below(random, 8) {
        let at = below(random, bytes.len() + 1);
        let end = (at + below(random, 33)).min(bytes.len());
        match below(random, 8) {
            0 if at < bytes.len() => bytes[at] ^= 1 << below(random, 8),
            1 if at < bytes.len() => bytes[at] = random.next_u64().to_le_bytes()[0],
            2 if at < bytes.len() => bytes[at] = [0, 1, 0x7f, 0x80, 0xff][below(random, 5)],
            3 => drop(bytes.drain(at..end)),
            4 => {
                let part = bytes[at..end].to_vec();
                bytes.splice(at..at, part);
            }
            5 if !pool.is_empty() => {
                let other = &pool[below(random, pool.len())];
                let from = below(random, other.len() + 1);
                bytes.truncate(at);
                bytes.extend(&other[from..]);
            }
            6 => bytes.truncate(at),
            _ => {
                let fresh: Vec<u8> =
                    (0..=below(random, 64)).map(|_| random.next_u64().to_le_bytes()[0]).collect();
                bytes.splice(at..at, fresh);
            }
        }
    }
    bytes.truncate(LONGEST);
    bytes
}

fn setting(name: &str, default: u64) -> u64 {
    env::var(name)
        .map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} is {text:?}, no number")))
}

/// The source of randomness, of the seed in `MLOPS_FUZZ_SEED`.
pub fn random() -> Random {
    Random::new(setting("MLOPS_FUZZ_SEED", 1))
}

/// Runs the targets of the crate whose root is `root`: each over its kept inputs, then over mutated ones until it had its number of
/// them, or its share of the time is over.
///
/// # Panics
/// When a target does, and when there is none of the name in `MLOPS_FUZZ_TARGET`.
pub fn run(root: &Path, targets: &[Target]) {
    let seconds = env::var_os("MLOPS_FUZZ_SECONDS").map(|_| setting("MLOPS_FUZZ_SECONDS", 0));
    let inputs = setting("MLOPS_FUZZ_INPUTS", 40);
    let random = random();
    let only = env::var("MLOPS_FUZZ_TARGET").ok();
    let targets: Vec<Target> =
        targets.iter().filter(|(name, _)| only.as_deref().is_none_or(|o| o == *name)).copied().collect();
    assert!(!targets.is_empty(), "there is no target {only:?}");
    let count = u32::try_from(targets.len()).unwrap();
    let each = seconds.map(|seconds| Duration::from_secs(seconds) / count);
    for target in targets {
        let (name, folder) = (target.0, corpus(root, target.0));
        let mut pool = kept(&folder);
        pool.iter().for_each(|bytes| run_one(&folder, target, bytes));
        let (begin, stream) = (Instant::now(), random.stream(name));
        let mut runs = 0;
        while each.map_or(runs < inputs, |each| begin.elapsed() < each) {
            let mut random = stream.nth(runs);
            let bytes = mutated(&mut random, &pool);
            run_one(&folder, target, &bytes);
            runs += 1;
            // Without coverage to steer by, a pool that drifts slowly explores more than one that never changes.
            if pool.len() < 256 {
                pool.push(bytes);
            } else {
                let at = usize::try_from(random.next_u64() % 256).unwrap();
                pool[at] = bytes;
            }
        }
        println!("{name}: {runs} inputs");
    }
}

/// Writes inputs to begin with into the corpus; those that are there stay.
///
/// # Panics
/// When an input is too long, or cannot be written.
pub fn keep(root: &Path, seeds: impl IntoIterator<Item = (&'static str, Vec<u8>)>) {
    for (name, bytes) in seeds {
        assert!(bytes.len() <= LONGEST, "{name} has a seed of {} bytes", bytes.len());
        let folder = corpus(root, name);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(format!("seed-{}", Digest::of(&bytes).short())), bytes).unwrap();
    }
}

/// Rust sources below a folder.
fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// Every line below `src/`, unit tests left out.
pub fn lines(root: &Path) -> Vec<String> {
    let mut files = vec![];
    sources(&root.join("src"), &mut files);
    files.sort();
    let texts = files.iter().map(|file| fs::read_to_string(file).unwrap());
    texts
        .flat_map(|text| {
            let code = text.lines().take_while(|line| *line != "#[cfg(test)]").map(str::to_owned);
            code.collect::<Vec<_>>()
        })
        .collect()
}

/// The name of the public function that a line begins, at the top level of a file (`""`) or in an `impl` (`"    "`).
pub fn function<'a>(line: &'a str, indent: &str) -> Option<&'a str> {
    let rest = line.strip_prefix(indent)?.strip_prefix("pub ")?;
    let rest = rest.strip_prefix("const ").unwrap_or(rest).strip_prefix("fn ")?;
    rest.split(|c: char| !c.is_alphanumeric() && c != '_').next().filter(|name| !name.is_empty())
}

/// The names that no target calls: neither `name(` nor `name::<` is in a file of `tests/fuzz/`.
pub fn uncalled(root: &Path, names: impl IntoIterator<Item = String>) -> BTreeSet<String> {
    let mut files = vec![];
    sources(&root.join("tests/fuzz"), &mut files);
    let called: String = files.iter().map(|file| fs::read_to_string(file).unwrap()).collect();
    let is_called = |name: &String| {
        [format!("{name}("), format!("{name}::<")].iter().any(|call| {
            called.match_indices(call).any(|(at, _)| {
                let before = called[..at].chars().next_back();
                before.is_none_or(|c| !c.is_alphanumeric() && c != '_')
            })
        })
    };
    names.into_iter().filter(|name| !is_called(name)).collect()
}

/// The answer holds no NaN.
///
/// # Panics
/// When it does.
#[track_caller]
pub fn no_nan(name: &str, answer: &impl Debug) {
    let text = format!("{answer:?}");
    assert!(!text.contains("NaN"), "{name} answers {text}");
}

/// An answer without a NaN, or an error that says something.
///
/// # Panics
/// When it is neither.
#[track_caller]
pub fn sound<T: Debug, E: Debug + Display>(name: &str, result: Result<T, E>) -> Option<T> {
    match result {
        Ok(answer) => {
            no_nan(name, &answer);
            Some(answer)
        }
        Err(error) => {
            assert!(!error.to_string().is_empty(), "{name} refuses without a reason: {error:?}");
            None
        }
    }
}

/// Arguments out of bytes: short ones are read as zeros, so that every input means something.
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
    /// Reads from the first byte on.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    /// The next byte; 0 when there is none.
    pub fn byte(&mut self) -> u8 {
        let Some((&first, rest)) = self.bytes.split_first() else { return 0 };
        self.bytes = rest;
        first
    }

    /// The lowest bit of the next byte.
    pub fn bool(&mut self) -> bool {
        self.byte() & 1 == 1
    }

    /// Below `bound`, which is at least 1.
    pub fn below(&mut self, bound: usize) -> usize {
        (usize::from(self.byte()) | usize::from(self.byte()) << 8) % bound
    }

    /// One of the values, of which there is at least one.
    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    /// Eight bytes, the lowest first.
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

    /// At most `longest` values.
    pub fn many<T>(&mut self, longest: usize, mut next: impl FnMut(&mut Self) -> T) -> Vec<T> {
        let len = self.below(longest + 1);
        // What is not there is not made up: a short input gives a short list.
        let mut values = vec![];
        while values.len() < len && !self.bytes.is_empty() {
            values.push(next(self));
        }
        values
    }

    /// Whether every byte has been read.
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

    /// A double that is finite.
    pub fn real(&mut self) -> f64 {
        let value = self.f64();
        if value.is_finite() { value } else { 0.0 }
    }

    /// A small number of values, so that there are ties.
    pub fn tied(&mut self) -> f64 {
        f64::from(self.byte() % 8) / 2.0 - 1.0
    }

    /// A narrow float: small, hostile, or any at all.
    pub fn f32(&mut self) -> f32 {
        #[expect(clippy::cast_possible_truncation, reason = "any narrow float will do")]
        {
            self.f64() as f32
        }
    }

    /// A whole number: small, at a border, or any at all.
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

    /// At most 120 of [`f64`](Self::f64).
    pub fn f64s(&mut self) -> Vec<f64> {
        self.many(120, Self::f64)
    }

    /// At most 40 of [`count`](Self::count).
    pub fn counts(&mut self) -> Vec<u64> {
        self.many(40, Self::count)
    }

    /// At most 120 codes below `levels`, which is at least 1; now and then one that is no level.
    pub fn codes(&mut self, levels: u32) -> Vec<u32> {
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

    /// At most 60 of [`text`](Self::text), some of them missing.
    pub fn texts(&mut self) -> Vec<Option<String>> {
        self.many(60, |input| if input.byte().is_multiple_of(8) { None } else { Some(input.text()) })
    }

    /// Which of `len` values are there: three of four.
    pub fn validity(&mut self, len: usize) -> Validity<'static> {
        let bits: Vec<bool> = (0..len).map(|_| !self.byte().is_multiple_of(4)).collect();
        Validity::from_bools(&bits)
    }

    /// A text with up to five of its parts replaced by one of the pieces, of which there is at least one.
    pub fn edited(&mut self, text: &str, pieces: &[&str]) -> String {
        let mut bytes = text.as_bytes().to_vec();
        for _ in 0..self.below(6) {
            let from = self.below(bytes.len() + 1);
            let to = (from + usize::from(self.byte() % 12)).min(bytes.len());
            let piece = self.pick(pieces);
            bytes.splice(from..to, piece.bytes());
        }
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// What is left, as text.
    pub fn rest(&mut self) -> String {
        String::from_utf8_lossy(std::mem::take(&mut self.bytes)).into_owned()
    }

    /// A document like this one: up to four of its values became hostile, went away, stand twice, or changed places.
    pub fn json(&mut self, document: &Value) -> Value {
        let mut document = document.clone();
        for _ in 0..=self.below(4) {
            self.spoil(&mut document);
        }
        document
    }

    /// Walks down to a value of the document, and changes it.
    fn spoil(&mut self, value: &mut Value) {
        let deeper = !self.byte().is_multiple_of(8);
        match value {
            Value::Array(items) if deeper && !items.is_empty() => {
                let at = self.below(items.len());
                match self.byte() % 16 {
                    0 => drop(items.remove(at)),
                    1 => items.insert(at, items[at].clone()),
                    2 => items.swap(0, at),
                    3 => items.truncate(at),
                    _ => self.spoil(&mut items[at]),
                }
            }
            Value::Object(fields) if deeper && !fields.is_empty() => {
                let at = self.below(fields.len());
                let Some(key) = fields.keys().nth(at).cloned() else { return };
                match self.byte() % 16 {
                    0 => drop(fields.remove(&key)),
                    1 => drop(fields.insert(self.text(), Value::Null)),
                    _ => {
                        if let Some(field) = fields.get_mut(&key) {
                            self.spoil(field);
                        }
                    }
                }
            }
            Value::Number(number) if deeper => {
                *value = match (self.byte() % 4, number.as_f64()) {
                    // Near what was there, which only a careful reader takes for wrong.
                    (0, Some(near)) => Value::from(near + 1.0),
                    (1, Some(near)) => Value::from(-near),
                    (2, _) => Value::from(self.count()),
                    _ => Value::from(self.f64()),
                };
            }
            _ => *value = self.scalar(),
        }
    }

    fn scalar(&mut self) -> Value {
        match self.byte() % 8 {
            0 => Value::Null,
            1 => Value::Bool(self.bool()),
            2 => Value::from(self.count()),
            3 => Value::from(self.i64()),
            4 => Value::from(self.text()),
            5 => Value::from(self.pick(&["NaN", "Infinity", "-Infinity", ""])),
            6 => Value::Array(vec![]),
            _ => Value::from(self.f64()),
        }
    }
}
