//! Environment variables by an allow-list, and never a secret.

use std::collections::BTreeMap;
use std::ffi::OsString;

/// The longest value that is kept, in bytes.
const MAX: usize = 4_096;

/// What a name contains that stands for a secret. Rather one too many: what is left out is listed.
const SECRET_NAMES: &[&str] = &[
    "AUTH",
    "CERT",
    "CONN",
    "COOKIE",
    "CREDENTIAL",
    "DSN",
    "KEY",
    "PASS",
    "PRIVATE",
    "PWD",
    "SAS",
    "SECRET",
    "SESSION",
    "SIGNATURE",
    "TOKEN",
    "WEBHOOK",
];

/// What a value contains, in lower case, that is a secret or holds one.
const SECRET_PARTS: &[&str] = &[
    "-----begin",
    "accountkey=",
    "bearer ",
    "password=",
    "pwd=",
    "secret=",
    "sharedaccess",
    "sig=",
    "token=",
    "key=",
];

/// How secrets of well-known services begin.
const SECRET_STARTS: &[&str] = &["AIza", "AKIA", "ASIA", "eyJ", "gh", "glpat-", "hf_", "sk-", "xox"];

/// The values of the variables called `names` that may be kept, and why others were left out.
pub(super) fn capture(
    names: &[String],
    lookup: impl Fn(&str) -> Option<OsString>,
) -> (BTreeMap<String, String>, BTreeMap<String, String>) {
    let (mut kept, mut left_out) = (BTreeMap::new(), BTreeMap::new());
    for name in names {
        match value(name, &lookup) {
            Ok(Some(value)) => {
                kept.insert(name.clone(), value);
            }
            Ok(None) => {}
            Err(reason) => {
                left_out.insert(format!("environment.{name}"), reason.to_owned());
            }
        }
    }
    (kept, left_out)
}

fn value(name: &str, lookup: &impl Fn(&str) -> Option<OsString>) -> Result<Option<String>, &'static str> {
    // The standard library panics on these.
    if name.is_empty() || name.contains(['=', '\0']) || name.len() > 256 {
        return Err("is no name of a variable");
    }
    let upper = name.to_ascii_uppercase();
    if SECRET_NAMES.iter().any(|part| upper.contains(part)) {
        return Err("its name says that it may be a secret");
    }
    let Some(value) = lookup(name) else { return Ok(None) };
    let value = value.into_string().map_err(|_| "is not Unicode")?;
    match value {
        value if value.len() > MAX => Err("is longer than 4096 bytes"),
        value if is_secret(&value) => Err("its value looks like a secret"),
        value => Ok(Some(value)),
    }
}

fn is_secret(value: &str) -> bool {
    let lower = value.to_ascii_lowercase();
    let starts = |start: &&str| match *start {
        // `ghp_`, `gho_`, `ghs_`, …, `github_pat_`.
        "gh" => {
            value.starts_with("github_pat_")
                || (value.starts_with("gh") && value.as_bytes().get(3) == Some(&b'_'))
        }
        start => value.starts_with(start),
    };
    // Credentials in a URL, of which there may be several.
    let user_info =
        |rest: &str| rest.split(['/', ' ', '?']).next().is_some_and(|authority| authority.contains('@'));
    SECRET_PARTS.iter().any(|part| lower.contains(part))
        || SECRET_STARTS.iter().any(starts)
        || value.split("://").skip(1).any(user_info)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn captured(variables: &[(&str, &str)]) -> (BTreeMap<String, String>, BTreeMap<String, String>) {
        let names: Vec<String> = variables.iter().map(|(name, _)| (*name).to_owned()).collect();
        capture(&names, |name| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| OsString::from(value))
        })
    }

    #[test]
    fn secrets_are_left_out_by_name_also_when_they_are_asked_for() {
        for name in [
            "AZURE_CLIENT_SECRET",
            "GITHUB_TOKEN",
            "azure_storage_key",
            "AZURE_STORAGE_CONNECTION_STRING",
            "BLOB_SAS",
            "DB_PASSWORD",
            "PGPASSFILE",
            "DB_PWD",
            "AWS_SESSION",
            "SSH_AUTH_SOCK",
            "SENTRY_DSN",
            "SLACK_WEBHOOK_URL",
            "TLS_CERT",
            "GOOGLE_APPLICATION_CREDENTIALS",
        ] {
            let (kept, left_out) = captured(&[(name, "hunter2")]);
            assert!(kept.is_empty(), "{name}");
            assert!(left_out[&format!("environment.{name}")].contains("its name"));
        }
    }

    #[test]
    fn secrets_are_left_out_by_value_under_a_harmless_name() {
        for value in [
            "postgres://user:hunter2@host/db",
            "http://proxy:80, http://user:hunter2@proxy:80",
            "DefaultEndpointsProtocol=https;AccountName=a;AccountKey=hunter2==",
            "Endpoint=sb://x;SharedAccessKeyName=r;SharedAccessKey=hunter2",
            "https://host/c?sv=2024&SIG=hunter2",
            "Authorization: Bearer hunter2",
            "-----BEGIN PRIVATE KEY-----",
            "eyJhbGciOi.eyJzdWIi.c2ln",
            "ghp_hunter2",
            "github_pat_hunter2",
            "sk-hunter2",
            "AKIAHUNTER2",
            "hf_hunter2",
            "xoxb-hunter2",
            "--password=hunter2",
        ] {
            let (kept, left_out) = captured(&[("MODE", value)]);
            assert!(kept.is_empty(), "{value}");
            assert!(!format!("{left_out:?}").contains("hunter2"), "{left_out:?}");
        }
    }

    #[test]
    fn what_is_allowed_is_kept_exactly_and_what_cannot_be_is_listed() {
        let long = "x".repeat(MAX + 1);
        let (kept, left_out) = captured(&[
            ("OMP_NUM_THREADS", "4"),
            ("LANG", ""),
            ("MODE", "ghost https://host/a@b \u{202e}"),
            ("LONG", &long),
            ("A=B", "1"),
            ("", "1"),
            ("N\0UL", "1"),
        ]);
        assert_eq!(kept.keys().collect::<Vec<_>>(), ["LANG", "MODE", "OMP_NUM_THREADS"]);
        assert_eq!(kept["MODE"], "ghost https://host/a@b \u{202e}");
        assert_eq!(left_out.len(), 4);
        let (kept, left_out) = capture(&["NOT_SET".to_owned()], |_| None);
        assert!(kept.is_empty() && left_out.is_empty());
    }

    #[cfg(unix)]
    #[test]
    fn a_value_that_is_no_text_is_listed() {
        use std::os::unix::ffi::OsStringExt as _;
        let (kept, left_out) = capture(&["MODE".to_owned()], |_| Some(OsString::from_vec(vec![0xff])));
        assert!(kept.is_empty());
        assert_eq!(left_out["environment.MODE"], "is not Unicode");
    }
}
