//! Names that differ in case only, for a service that takes them for the same.

/// Which letters of a name are capital, one bit each, as hexadecimal digits.
fn capitals(name: &str) -> String {
    let bits: Vec<bool> = name.bytes().map(|b| b.is_ascii_uppercase()).collect();
    let digit = |bits: &[bool]| {
        let value = bits.iter().enumerate().filter(|(_, is)| **is).map(|(i, _)| 1_u32 << i).sum();
        char::from_digit(value, 16).unwrap_or('0')
    };
    let digits: String = bits.chunks(4).map(digit).collect();
    match digits.trim_end_matches('0') {
        "" => "0".to_owned(),
        digits => digits.to_owned(),
    }
}

/// The name under which Azure keeps what has another's name but for the case: the name, `--u`, and which letters are capital.
pub(crate) fn apart(name: &str) -> String {
    format!("{name}--u{}", capitals(name))
}

/// The name that [`apart`] was given; `None` for a name that it does not make.
pub(crate) fn joined(name: &str) -> Option<&str> {
    let (plain, _) = name.rsplit_once("--u")?;
    (apart(plain) == name).then_some(plain)
}

/// Whether two names are the same to a service that does not look at the case, and are not.
pub(crate) fn differ_in_case_only(one: &str, other: &str) -> bool {
    one != other && one.eq_ignore_ascii_case(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_differ_in_case_are_kept_apart_and_found_again() {
        let mut seen = std::collections::BTreeSet::new();
        for name in ["patients", "Patients", "PATIENTS", "patientS", "abcdE", "Abcde", "a", "A"] {
            let kept = apart(name);
            assert!(seen.insert(kept.to_ascii_lowercase()), "{kept}");
            assert_eq!(joined(&kept), Some(name));
        }
        assert_eq!((apart("Patients"), apart("patients")), ("Patients--u1".into(), "patients--u0".into()));
        for other in ["patients", "patients--u1", "Patients--u0", "Patients--U1", "--u", "x--u00"] {
            assert_eq!(joined(other), None, "{other}");
        }
    }

    #[test]
    fn only_case_is_looked_at() {
        assert!(differ_in_case_only("a", "A") && !differ_in_case_only("a", "a"));
        assert!(!differ_in_case_only("a", "b"));
    }
}
