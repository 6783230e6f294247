//! Texts that are given in whatever form.

/// Owned texts.
pub(super) fn strings<S: Into<String>>(texts: impl IntoIterator<Item = S>) -> Vec<String> {
    texts.into_iter().map(Into::into).collect()
}
