//! Who may import whom. The table below is the drawing of the house; the test reads the source and holds it against the table.
//!
//! Documentation, comments and `#[cfg(test)]` items do not count. The same way of reading holds the rule by which public structs can
//! grow, in all crates.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Ground: imports nothing of ours but ground.
const GROUND: &[&str] = &["disk", "error", "hash", "id", "num", "page", "time"];

/// Stands on ground alone, under every phase: the strict reader of files, artifacts, governance.
const BASEMENT: &[&str] = &["config", "artifact", "governance"];

/// The phases in the guide's order; each may use the earlier ones. `model` stands between: it is what evaluation, registry,
/// deployment and serving speak of.
const PHASES: &[&str] = &[
    "problem",
    "data",
    "model",
    "experiment",
    "pipeline",
    "evaluation",
    "registry",
    "deploy",
    "serve",
    "monitor",
    "retrain",
    // Not a phase: what governance judges, read from all of them.
    "oversight",
];

/// Backends, wrappers around backends, and suites: may import everything but `local`, and no other floor imports them.
const ROOF: &[&str] = &["memory", "local", "wrap", "conformance"];

/// Whether module `from` may import module `to`; `None` when one of them is not in the drawing.
fn allowed(from: &str, to: &str) -> Option<bool> {
    let floor = |module: &str| [GROUND, BASEMENT, PHASES, ROOF].iter().position(|f| f.contains(&module));
    let place = |module: &str| PHASES.iter().position(|phase| *phase == module);
    if ROOF.contains(&from) {
        // Also the macros by which suites are expanded, which live at the crate's root. The embedded backend is a feature: what others
        // share with it is `disk`.
        return Some(to != "local" || from == "local");
    }
    Some(match (floor(from)?, floor(to)?) {
        _ if from == to => true,
        (0..=2, 0) => true,
        // Policies are files.
        (1, 1) => from == "governance" && to == "config",
        // Where in an artifact a model's bytes lie is part of what a model is.
        (2, 1) => from != "model" || to == "artifact",
        (2, 2) if from == "model" => matches!(to, "problem" | "data"),
        (2, 2) => place(to) < place(from),
        _ => false,
    })
}

/// A piece of source that matters here: a word, or one character of punctuation. Literals and comments are dropped.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Word(String),
    Mark(char),
}

impl Token {
    fn is(&self, text: &str) -> bool {
        match self {
            Self::Word(word) => word == text,
            Self::Mark(mark) => text.chars().eq([*mark]),
        }
    }
}

fn tokens(source: &str) -> Vec<Token> {
    let in_word = |c: &char| c.is_alphanumeric() || *c == '_';
    let chars: Vec<char> = source.chars().collect();
    let (mut out, mut i) = (Vec::new(), 0);
    while let Some(&c) = chars.get(i) {
        let rest = &chars[i..];
        i += match (c, rest.get(1)) {
            ('/', Some('/')) => rest.iter().take_while(|c| **c != '\n').count(),
            ('/', Some('*')) => block_comment(rest),
            ('"', _) => quoted(rest),
            ('\'', _) => character_or_lifetime(rest),
            _ if in_word(&c) => {
                let word: String = rest.iter().copied().take_while(in_word).collect();
                let length = word.chars().count();
                match raw_string(&word, &rest[length..]) {
                    Some(more) => length + more,
                    None => {
                        out.push(Token::Word(word));
                        length
                    }
                }
            }
            _ => {
                if !c.is_whitespace() {
                    out.push(Token::Mark(c));
                }
                1
            }
        };
    }
    out
}

fn block_comment(rest: &[char]) -> usize {
    let (mut depth, mut i) = (0_usize, 0);
    while i < rest.len() {
        match (rest[i], rest.get(i + 1)) {
            ('/', Some('*')) => (depth, i) = (depth + 1, i + 2),
            ('*', Some('/')) if depth == 1 => return i + 2,
            ('*', Some('/')) => (depth, i) = (depth - 1, i + 2),
            _ => i += 1,
        }
    }
    i
}

fn quoted(rest: &[char]) -> usize {
    let mut i = 1;
    while i < rest.len() && rest[i] != '"' {
        i += if rest[i] == '\\' { 2 } else { 1 };
    }
    i + 1
}

/// `'x'`, `'\n'` and `'\u{0}'` are characters, `'a` is a lifetime.
fn character_or_lifetime(rest: &[char]) -> usize {
    match (rest.get(1), rest.get(2)) {
        (Some('\\'), _) => 3 + rest.iter().skip(3).take_while(|c| **c != '\'').count() + 1,
        (Some(_), Some('\'')) => 3,
        _ => 1,
    }
}

/// The length of what follows `word` in `r"…"`, `br#"…"#`, …; `b"…"` and `c"…"` are left to [`quoted`].
fn raw_string(word: &str, rest: &[char]) -> Option<usize> {
    let hashes = rest.iter().take_while(|c| **c == '#').count();
    if !matches!(word, "r" | "br" | "cr") || rest.get(hashes) != Some(&'"') {
        return None;
    }
    let end: Vec<char> = std::iter::once('"').chain(std::iter::repeat_n('#', hashes)).collect();
    let body = &rest[hashes + 1..];
    let close = body.windows(end.len()).position(|window| window == end).unwrap_or(body.len());
    Some(hashes + 1 + close + end.len())
}

/// The index after the bracket that closes the one at `open`.
fn closing(tokens: &[Token], open: usize) -> usize {
    let mut depth = 0_usize;
    for (i, token) in tokens.iter().enumerate().skip(open) {
        match token {
            Token::Mark('(' | '[' | '{') => depth += 1,
            Token::Mark(')' | ']' | '}') if depth == 1 => return i + 1,
            Token::Mark(')' | ']' | '}') => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    tokens.len()
}

/// The tokens without the items that are compiled for tests only, and the names of the modules among those items.
fn without_tests(tokens: &[Token]) -> (Vec<Token>, Vec<String>) {
    let (mut kept, mut modules, mut i) = (Vec::new(), Vec::new(), 0);
    while i < tokens.len() {
        let is_attribute = tokens[i].is("#") && tokens.get(i + 1).is_some_and(|t| t.is("["));
        let end = if is_attribute { closing(tokens, i + 1) } else { i + 1 };
        if !(is_attribute && for_tests_only(&tokens[i..end])) {
            kept.extend_from_slice(&tokens[i..end]);
            i = end;
            continue;
        }
        i = end_of_item(tokens, end);
        let item = &tokens[end..i];
        let name = item.iter().position(|t| t.is("mod")).and_then(|at| item.get(at + 1));
        if let Some(Token::Word(name)) = name {
            modules.push(name.clone());
        }
    }
    (kept, modules)
}

/// `#[cfg(test)]` and `#[cfg(all(test, …))]`.
fn for_tests_only(attribute: &[Token]) -> bool {
    let says = |word: &str| attribute.iter().any(|t| t.is(word));
    attribute.get(2).is_some_and(|t| t.is("cfg")) && says("test") && !says("not") && !says("any")
}

/// The index after an item: after its `;`, or after its braces.
fn end_of_item(tokens: &[Token], start: usize) -> usize {
    let mut i = start;
    while i < tokens.len() {
        match tokens[i] {
            Token::Mark(';') => return i + 1,
            Token::Mark('{') => return closing(tokens, i),
            Token::Mark('(' | '[') => i = closing(tokens, i),
            _ => i += 1,
        }
    }
    i
}

/// Every top-level name a file refers to: by `crate::name`, `crate::{name, …}`, or by `super::` often enough. `depth` is how
/// many modules the file lies below the crate's root.
fn references(tokens: &[Token], depth: usize) -> Vec<String> {
    let is = |i: usize, text: &str| tokens.get(i).is_some_and(|t| t.is(text));
    let path = |i: usize| is(i, ":") && is(i + 1, ":");
    let (mut names, mut i) = (Vec::new(), 0);
    while i < tokens.len() {
        let mut next = i + 1;
        if is(i, "crate") && path(next) {
            names.extend(heads(tokens, next + 2));
        } else if is(i, "super") && path(next) {
            let mut supers = 1;
            while is(next + 2, "super") && path(next + 3) {
                (supers, next) = (supers + 1, next + 3);
            }
            if supers >= depth {
                names.extend(heads(tokens, next + 2));
            }
        }
        i = next;
    }
    names
}

/// The first word of a path, or of every path in a group.
fn heads(tokens: &[Token], at: usize) -> Vec<String> {
    match tokens.get(at) {
        Some(Token::Word(name)) => vec![name.clone()],
        Some(Token::Mark('{')) => group_heads(&tokens[at + 1..closing(tokens, at)]),
        Some(Token::Mark(mark)) => vec![mark.to_string()],
        None => Vec::new(),
    }
}

fn group_heads(group: &[Token]) -> Vec<String> {
    let (mut names, mut i) = (Vec::new(), 0);
    while i < group.len() {
        let Token::Word(name) = &group[i] else {
            i += 1;
            continue;
        };
        names.push(name.clone());
        // On to the comma that ends this path.
        while i < group.len() && !group[i].is(",") {
            i = if group[i].is("{") { closing(group, i) } else { i + 1 };
        }
    }
    names
}

/// What the crate's root re-exports: `Error` is `error`'s.
fn reexports(root: &str) -> BTreeMap<String, String> {
    let (tokens, _) = without_tests(&tokens(root));
    let mut names = BTreeMap::new();
    for (i, _) in tokens.iter().enumerate().filter(|(_, t)| t.is("use")) {
        if let (Some(Token::Word(module)), Some(Token::Mark(':'))) = (tokens.get(i + 1), tokens.get(i + 2)) {
            names.extend(heads(&tokens, i + 4).into_iter().map(|name| (name, module.clone())));
        }
    }
    names
}

/// The broken arrows of one file, each as a sentence. `path` is relative to `src`.
fn broken(path: &str, source: &str, root: &BTreeMap<String, String>) -> Vec<String> {
    let modules: Vec<&str> = path.trim_end_matches(".rs").split('/').filter(|part| *part != "mod").collect();
    let from = modules[0];
    let (kept, _) = without_tests(&tokens(source));
    let mut faults = Vec::new();
    for name in references(&kept, modules.len()) {
        let to = root.get(&name).unwrap_or(&name);
        match allowed(from, to) {
            Some(true) => {}
            Some(false) => faults.push(format!("src/{path}: `{from}` may not import `{to}`")),
            None => faults.push(format!("src/{path}: `{from}` → `{to}` is not in the table of this test")),
        }
    }
    faults.sort();
    faults.dedup();
    faults
}

fn rust_files(folder: &Path, out: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, out);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            out.push(path);
        }
    }
}

/// The files, without `.rs`, of the modules that a file declares for tests only.
fn test_modules(file: &Path) -> Vec<PathBuf> {
    let (_, modules) = without_tests(&tokens(&std::fs::read_to_string(file).unwrap()));
    let folder = match file.file_stem().unwrap().to_str().unwrap() {
        "mod" | "lib" => file.parent().unwrap().to_owned(),
        _ => file.with_extension(""),
    };
    modules.iter().map(|name| folder.join(name)).collect()
}

#[test]
fn arrows_go_down_only() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let root = reexports(&std::fs::read_to_string(src.join("lib.rs")).unwrap());
    assert_eq!(root.get("Error").map(String::as_str), Some("error"));
    let mut files = Vec::new();
    rust_files(&src, &mut files);
    files.sort();
    let for_tests: Vec<PathBuf> = files.iter().flat_map(|file| test_modules(file)).collect();
    let counts = |file: &&PathBuf| !for_tests.iter().any(|only| file.with_extension("").starts_with(only));
    let (mut faults, mut arrows) = (Vec::new(), 0);
    for file in files.iter().filter(counts).filter(|file| **file != src.join("lib.rs")) {
        let path = file.strip_prefix(&src).unwrap().to_str().unwrap().replace('\\', "/");
        let source = std::fs::read_to_string(file).unwrap();
        arrows += source.matches("crate::").count();
        faults.extend(broken(&path, &source, &root));
    }
    assert!(arrows > 50, "only {arrows} paths were looked at");
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn the_table_is_the_drawing() {
    for (from, to, expected) in [
        ("error", "num", Some(true)),
        ("error", "problem", Some(false)),
        ("disk", "error", Some(true)),
        ("disk", "local", Some(false)),
        ("monitor", "disk", Some(true)),
        ("local", "disk", Some(true)),
        ("local", "local", Some(true)),
        ("local", "memory", Some(true)),
        ("wrap", "disk", Some(true)),
        ("wrap", "local", Some(false)),
        ("memory", "local", Some(false)),
        ("conformance", "local", Some(false)),
        ("config", "error", Some(true)),
        ("config", "artifact", Some(false)),
        ("hash", "config", Some(false)),
        ("artifact", "hash", Some(true)),
        ("artifact", "governance", Some(false)),
        ("governance", "artifact", Some(false)),
        ("governance", "config", Some(true)),
        ("governance", "evaluation", Some(false)),
        ("problem", "config", Some(true)),
        ("problem", "data", Some(false)),
        ("data", "model", Some(false)),
        ("model", "data", Some(true)),
        ("model", "artifact", Some(true)),
        ("model", "config", Some(false)),
        ("model", "experiment", Some(false)),
        ("experiment", "serve", Some(false)),
        ("serve", "experiment", Some(true)),
        ("evaluation", "registry", Some(false)),
        ("registry", "evaluation", Some(true)),
        ("retrain", "memory", Some(false)),
        ("retrain", "oversight", Some(false)),
        ("oversight", "retrain", Some(true)),
        ("oversight", "memory", Some(false)),
        ("evaluation", "conformance", Some(false)),
        ("memory", "retrain", Some(true)),
        ("conformance", "memory", Some(true)),
        ("conformance", "__suite", Some(true)),
        ("evaluation", "__suite", None),
        ("evaluation", "evaluation", Some(true)),
        ("evaluation", "cellar", None),
        ("cellar", "error", None),
    ] {
        assert_eq!(allowed(from, to), expected, "{from} → {to}");
    }
}

#[test]
fn every_way_to_break_an_arrow_is_seen() {
    let root = reexports("pub mod error;\npub use error::{Error, Result};\npub use registry::Stage;");
    let bad = |path: &str, source: &str| broken(path, source, &root).len();
    for source in [
        "use crate::registry::Stage;",
        "use crate::{error::Error, registry::{Stage, Version}};",
        "use crate::{\n    error::{self, Error},\n    registry,\n};",
        "fn f() -> crate::registry::Stage { loop {} }",
        "fn f(_: &dyn crate::memory::Store) {}",
        "use super::super::registry::Stage;",
        "pub(crate) use crate::Stage;",
        "#[cfg(feature = \"x\")]\nuse crate::registry::Stage;",
        "#[cfg(not(test))]\nuse crate::registry::Stage;",
        "#[cfg(any(test, feature = \"x\"))]\nuse crate::registry::Stage;",
        "#[cfg(test)]\nmod tests { fn f() { let _ = '{'; let _ = \"}}}\"; } }\nuse crate::registry::Stage;",
        "#[cfg(test)]\n#[allow(x)]\nuse crate::error::Error;\nuse crate::registry::Stage;",
        "const A: &str = r#\"\"}\"#; use crate::registry::Stage;",
        "fn f<'a>(x: &'a str) -> char { '\\'' } use crate::registry::Stage;",
        "macro_rules! m { () => { $crate::registry::Stage } }",
        "/* /* */ */ use crate::registry::Stage;",
        "use crate::*;",
        "use crate::unheard_of::X;",
    ] {
        assert_eq!(bad("evaluation/gate.rs", source), 1, "{source}");
    }
    assert_eq!(bad("wrap/spooled/file.rs", "use crate::local::journal::frame;"), 1);
    assert_eq!(bad("error.rs", "use super::registry::Stage;"), 1);
    assert_eq!(bad("evaluation/mod.rs", "use super::registry::Stage;"), 1);
    assert_eq!(bad("evaluation/a/b.rs", "use super::super::super::registry::Stage;"), 1);
    assert_eq!(bad("cellar.rs", "use crate::error::Error;"), 1);
}

#[test]
fn what_does_not_count_is_not_counted() {
    let root = reexports("pub use error::{Error, Result};");
    for source in [
        "/// See [`Stage`](crate::registry::Stage).",
        "//! use crate::registry::Stage;",
        "// use crate::registry::Stage;",
        "/* use crate::registry::Stage; /* nested */ use crate::memory::X; */",
        "#[cfg(test)]\nmod tests {\n    use crate::registry::Stage;\n    const C: char = '}';\n    use crate::memory::X;\n}",
        "#[cfg(test)]\nuse crate::memory::X;",
        "#[cfg(all(test, unix))]\nfn f() -> [u8; 2] { crate::memory::x() }",
        "const A: &str = \"crate::registry::Stage \\\" crate::memory::X\";",
        "const A: &str = r#\"crate::registry::Stage \" crate::memory::X\"#;",
        "use crate::error::Error;\nuse crate::{Result, problem::{Task, Direction}, hash::Digest};",
        "use super::{Verdict, report::Estimate};",
        "use std::fmt;\nuse my_crate::registry::Stage;",
        "pub(in crate::evaluation) fn f() {}",
    ] {
        assert_eq!(broken("evaluation/gate.rs", source, &root), Vec::<String>::new(), "{source}");
    }
}

/// Structs whose public fields are what they are: another field would be another thing. Every other public struct with nothing but
/// public fields is `#[non_exhaustive]`. A name that ends in `/` or `.rs` is a folder or a file: all that is in there.
const OPEN: &[(&str, &str, &str)] = &[
    ("mlops-core", "Undefined", "a fraction without a value: why, and its two parts"),
    ("mlops-core", "Binomial", "the parameters of the distribution"),
    ("mlops-core", "Hypergeometric", "the parameters of the distribution"),
    ("mlops-core", "Window", "two moments"),
    ("mlops-core", "Blob", "content is named by its digest; the length goes with it"),
    ("mlops-core", "Entry", "a line of a manifest, whose digest is over exactly these"),
    ("mlops-core", "Checkpoint", "where a chain of hashes has come to: its length and its head"),
    ("mlops-core", "Edge", "two nodes and how they are related"),
    ("mlops-core", "ModelRef", "a name and which version"),
    ("mlops-core", "DataRef", "a name and which version"),
    ("mlops-core", "AssetVersion", "a name and a version"),
    ("mlops-core", "ComponentRef", "a name and a version"),
    ("mlops-core", "ItemId", "the identity of a thing"),
    ("mlops-core", "Count", "so many of so many"),
    ("mlops-core", "Report", "a point of a curve"),
    ("mlops-core", "Evidence", "the odds for two statements"),
    ("mlops-drift", "CountRow", "the columns of a statement's result"),
    ("mlops-drift", "ValueRow", "the columns of a statement's result"),
    ("mlops-drift", "CellValues", "the four cells of a table of confusion"),
    ("mlops-eval", "Confusion", "the four cells of a table of confusion"),
    ("mlops-eval", "CostMatrix", "the four cells of a table of confusion"),
    ("mlops-eval", "PairedCounts", "the four cells of a table of pairs"),
    ("mlops-eval", "PairedCells", "a table of pairs for each class"),
    ("mlops-azure", "AclPermissions", "the three bits of POSIX"),
    ("mlops-azure", "fake/", "the stand-in of a service, for tests"),
    ("mlops-azure", "wire/", "the services' own bodies, which they define"),
    ("mlops-azure", "mlflow/wire.rs", "MLflow's own bodies, which it defines"),
];

/// The public structs of a file whose fields are named and public, and whether each is `#[non_exhaustive]`.
fn plain_structs(source: &str) -> Vec<(String, bool)> {
    let (tokens, _) = without_tests(&tokens(source));
    let is = |i: usize, text: &str| tokens.get(i).is_some_and(|t| t.is(text));
    let (mut structs, mut closed, mut i) = (Vec::new(), false, 0);
    while i < tokens.len() {
        if is(i, "#") && is(i + 1, "[") {
            let end = closing(&tokens, i + 1);
            closed |= tokens[i..end].iter().any(|t| t.is("non_exhaustive"));
            i = end;
            continue;
        }
        if is(i, "pub") && is(i + 1, "struct") {
            let end = end_of_item(&tokens, i);
            let open = (i..end).find(|&at| is(at, "{") || is(at, "("));
            if let (Some(Token::Word(name)), Some(open)) = (tokens.get(i + 2), open.filter(|&at| is(at, "{")))
                && only_public_fields(&tokens[open + 1..end - 1])
            {
                structs.push((name.clone(), closed));
            }
            (i, closed) = (end, false);
            continue;
        }
        (i, closed) = (i + 1, false);
    }
    structs
}

/// Whether there are fields, and each is `pub name: Type`.
fn only_public_fields(body: &[Token]) -> bool {
    let is = |i: usize, text: &str| body.get(i).is_some_and(|t| t.is(text));
    let (mut fields, mut i) = (0, 0);
    while i < body.len() {
        while is(i, "#") && is(i + 1, "[") {
            i = closing(body, i + 1);
        }
        if !is(i, "pub") || is(i + 1, "(") {
            return false;
        }
        (fields, i) = (fields + 1, after_field(body, i));
    }
    fields > 0
}

/// The index after the comma that ends a field; commas of `<A, B>` and `(A, B)` do not.
fn after_field(body: &[Token], start: usize) -> usize {
    let (mut angles, mut i) = (0_usize, start);
    while i < body.len() {
        match body[i] {
            Token::Mark(',') if angles == 0 => return i + 1,
            Token::Mark('(' | '[' | '{') => {
                i = closing(body, i);
                continue;
            }
            Token::Mark('<') => angles += 1,
            Token::Mark('>') if !body[i - 1].is("-") => angles -= 1,
            _ => {}
        }
        i += 1;
    }
    i
}

#[test]
fn structs_that_may_grow_are_closed() {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let (mut faults, mut used, mut seen) = (Vec::new(), vec![false; OPEN.len()], 0);
    for krate in ["mlops-core", "mlops-drift", "mlops-eval", "mlops-azure"] {
        let src = workspace.join(krate).join("src");
        // In a package by itself there is only one of them.
        if !src.is_dir() && krate != "mlops-core" {
            OPEN.iter().zip(&mut used).filter(|(open, _)| open.0 == krate).for_each(|(_, used)| *used = true);
            continue;
        }
        let mut files = Vec::new();
        rust_files(&src, &mut files);
        files.sort();
        for file in &files {
            let path = file.strip_prefix(&src).unwrap().to_str().unwrap().replace('\\', "/");
            for (name, closed) in plain_structs(&std::fs::read_to_string(file).unwrap()) {
                seen += 1;
                let matches = |open: &str| match open.ends_with('/') {
                    true => path.starts_with(open),
                    false => open == name || open == path,
                };
                let open = OPEN.iter().position(|(of, open, _)| *of == krate && matches(open));
                match open.filter(|_| !closed) {
                    Some(at) => used[at] = true,
                    None if closed => {}
                    None => faults.push(format!("{krate}/src/{path}: `{name}` is not `#[non_exhaustive]`")),
                }
            }
        }
    }
    let stale = OPEN.iter().zip(&used).filter(|(_, used)| !**used);
    faults.extend(stale.map(|((krate, name, _), _)| format!("{krate}: `{name}` in the list is not open")));
    assert!(seen > 150, "only {seen} structs were looked at");
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn open_and_closed_structs_are_told_apart() {
    let one = |source: &str| plain_structs(source);
    let found = |name: &str, closed| vec![(name.to_owned(), closed)];
    assert_eq!(one("pub struct A { pub x: u8 }"), found("A", false));
    assert_eq!(
        one("#[derive(Debug)]\n#[non_exhaustive]\npub struct A<'a, T> { pub x: &'a T, }"),
        found("A", true)
    );
    assert_eq!(
        one("pub struct A { #[serde(default)] pub x: BTreeMap<u8, Vec<u8>>, pub y: fn(u8, u8) -> u8 }").len(),
        1
    );
    // What was said of the struct before does not count.
    let two = one("#[non_exhaustive]\npub struct A { pub x: u8 }\npub struct B { pub x: u8 }");
    assert_eq!(two, vec![("A".to_owned(), true), ("B".to_owned(), false)]);
    for other in [
        "pub struct A { x: u8 }",
        "pub struct A { pub x: u8, y: BTreeMap<u8, u8> }",
        "pub struct A { pub x: (u8, u8), pub(crate) y: u8 }",
        "pub struct A {}",
        "pub struct A(pub u8);",
        "pub struct A;",
        "struct A { pub x: u8 }",
        "pub(crate) struct A { pub x: u8 }",
        "pub enum A { B { x: u8 } }",
        "// pub struct A { pub x: u8 }",
        "#[cfg(test)]\npub struct A { pub x: u8 }",
    ] {
        assert_eq!(one(other), vec![], "{other}");
    }
}
