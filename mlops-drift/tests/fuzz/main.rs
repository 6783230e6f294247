//! Fuzzing on the stable toolchain: arbitrary bytes become arguments of every public entry point.
//!
//! Nothing may panic, and no answer may hold a NaN: a number that does not exist is `Undefined`, with its reason. Every target
//! runs over its kept inputs (`tests/fuzz/corpus/<target>/`) and then over inputs mutated from them, for
//! `MLOPS_FUZZ_SECONDS` seconds in all (1 unless it is set), in an order that a seed fixes (`MLOPS_FUZZ_SEED`, 1 unless it is set).
//! An input that fails is written to the corpus folder under the name in the message, so that it is tried first ever after:
//!
//! ```text
//! MLOPS_FUZZ_SECONDS=60 cargo test -p mlops-drift --test fuzz
//! ```
//!
//! `MLOPS_FUZZ_TARGET` takes one target alone. An input that takes long is named, and no more: time is not a verdict.

mod input;
mod targets;

use std::collections::BTreeSet;
use std::num::NonZeroU64;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use std::{env, fs};

use mlops_core::hash::Digest;
use mlops_core::num::Random;

use input::Input;
use targets::TARGETS;

/// Longer inputs say nothing new: a target reads a few hundred bytes.
const LONGEST: usize = 4096;

/// Inputs are small, so that none has a reason to take this long.
const SLOW: Duration = Duration::from_secs(1);

fn corpus(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(target)
}

/// The kept inputs of a target, by name, so that every machine starts alike.
fn kept(target: &str) -> Vec<Vec<u8>> {
    let mut paths: Vec<PathBuf> = match fs::read_dir(corpus(target)) {
        Ok(entries) => entries.map(|entry| entry.unwrap().path()).collect(),
        Err(_) => vec![],
    };
    paths.sort();
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

/// Runs one input; one that fails is kept.
fn run(name: &str, target: fn(&mut Input<'_>), bytes: &[u8]) {
    let begin = Instant::now();
    let outcome = catch_unwind(AssertUnwindSafe(|| target(&mut Input::new(bytes))));
    if begin.elapsed() > SLOW {
        eprintln!("{name} took {:?} on {bytes:02x?}", begin.elapsed());
    }
    if let Err(panic) = outcome {
        let file = corpus(name).join(Digest::of(bytes).short());
        fs::create_dir_all(corpus(name)).unwrap();
        fs::write(&file, bytes).unwrap();
        eprintln!("{name} failed on {}", file.display());
        std::panic::resume_unwind(panic);
    }
}

/// An input made from others: bits flipped, parts moved, doubled, dropped or taken from elsewhere, bytes drawn anew.
fn mutate(random: &mut Random, pool: &[Vec<u8>]) -> Vec<u8> {
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

#[test]
fn no_input_panics_or_answers_with_a_nan() {
    let seconds = setting("MLOPS_FUZZ_SECONDS", 1);
    let random = Random::new(setting("MLOPS_FUZZ_SEED", 1));
    let only = env::var("MLOPS_FUZZ_TARGET").ok();
    let targets: Vec<_> =
        TARGETS.iter().filter(|(name, _)| only.as_deref().is_none_or(|o| o == *name)).collect();
    assert!(!targets.is_empty(), "there is no target {only:?}");
    let each = Duration::from_secs(seconds) / u32::try_from(targets.len()).unwrap();
    for &&(name, target) in &targets {
        let kept = kept(name);
        kept.iter().for_each(|bytes| run(name, target, bytes));
        let (begin, stream) = (Instant::now(), random.stream(name));
        let mut pool = kept;
        let mut runs = 0;
        while begin.elapsed() < each {
            let mut random = stream.nth(runs);
            let bytes = mutate(&mut random, &pool);
            run(name, target, &bytes);
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

/// Writes the inputs to begin with, once more where targets have changed; those that failed once stay.
#[test]
#[ignore = "writes into the corpus"]
fn seeds_are_written() {
    for (name, bytes) in targets::seeds(&mut Random::new(setting("MLOPS_FUZZ_SEED", 1))) {
        assert!(bytes.len() <= LONGEST, "{name} has a seed of {} bytes", bytes.len());
        fs::create_dir_all(corpus(name)).unwrap();
        fs::write(corpus(name).join(format!("seed-{}", Digest::of(&bytes).short())), bytes).unwrap();
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

/// Every public free function is called by some target, so that a new one cannot be forgotten.
#[test]
fn every_public_function_has_a_target() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let called = fs::read_to_string(root.join("tests/fuzz/targets.rs")).unwrap();
    let mut files = vec![];
    sources(&root.join("src"), &mut files);
    let mut forgotten = BTreeSet::new();
    for file in files {
        for line in fs::read_to_string(&file).unwrap().lines() {
            let Some(rest) = line.strip_prefix("pub fn ") else { continue };
            let name: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            if !called.contains(&format!("{name}(")) && !called.contains(&format!("{name}::<")) {
                forgotten.insert(name);
            }
        }
    }
    assert!(forgotten.is_empty(), "no target calls {forgotten:?}");
}
